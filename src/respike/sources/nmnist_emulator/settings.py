"""Settings of the experiments on emulated recordings: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated

from respike.workflow.settings import Count, Positive, Range


@dataclass(frozen=True)
class Fidelity:
    """Settings of the comparison."""

    n_judged: Count  # most recordings to judge
    bin_ms: Positive  # time bins of the rate profile


@dataclass(frozen=True)
class Transfer:
    """Settings of the training."""

    n_train: Annotated[int, Range(1, 59_000)]  # emulated training recordings
    n_unseen: Annotated[int, Range(1, 59_000)]  # emulated recordings of other images for the test
    n_hidden: Count  # hidden neurons
    t_window: Count  # us of a frame
    num_steps: Count  # frames of a recording
    lr: Positive  # learning rate
    batch_size: Count  # recordings per update
    epochs: Count  # passes over the training recordings
