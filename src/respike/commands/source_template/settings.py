"""Settings of the experiments: one class per module of experiments, named after it.

Each field is a setting of config.yaml with its type and bounds (respike.workflow.settings) and, in
a comment, its unit and what the document says. What is not as declared here is an error before
anything runs.
"""

from dataclasses import dataclass
from typing import Annotated

from respike.workflow.settings import Above, Count, Range


@dataclass(frozen=True)
class Train:
    """What train.py can be set to."""

    n_train: Annotated[int, Range(1, 60_000)]  # training images, the first ones
    n_test: Annotated[int, Range(1, 10_000)]  # test images, the first ones
    rate: Annotated[float, Above(0, 1)]  # spikes of a white pixel per time step; U1
    num_steps: Count  # time steps that an image is shown; U2
