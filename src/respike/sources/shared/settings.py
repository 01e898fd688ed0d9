"""Settings of experiments that several documents share: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.workflow.settings import Count, Items, Positive, Range


@dataclass(frozen=True)
class Ann:
    """Size and training of the ANN."""

    n_train: Annotated[int, Range(1, 60_000)]  # training images, the first ones
    n_test: Annotated[int, Range(1, 10_000)]  # test images, the first ones
    hidden: Annotated[tuple[Count, ...], Items(1)]  # neurons of each hidden layer
    optimiser: Literal["adam", "sgd"]  # what takes the steps
    lr: Positive  # learning rate
    batch_size: Count  # images per update
    epochs: Count  # passes over the training images
    tests_per_epoch: Count  # points of the learning curve in an epoch
