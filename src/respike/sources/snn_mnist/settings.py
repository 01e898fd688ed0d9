"""Settings of the experiments on snn-mnist-readme.md: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.sources.shared.settings import Ann
from respike.workflow.settings import Above, Count, Items, Positive, Range, Share

__all__ = ["Ann"]


@dataclass(frozen=True)
class Train:
    """What the document states, and what it leaves open (U items)."""

    # training images, the first ones (source: all 60,000)
    n_train: Annotated[int, Range(1, 60_000)]
    n_test: Annotated[int, Range(1, 10_000)]  # test images (source: all 10,000)
    hidden: Annotated[tuple[Count, ...], Items(1)]  # neurons of each hidden layer; U1
    num_steps: Count  # time steps T in training (source: 25-50)
    # T in the test; the first one counts for test_accuracy_final
    num_steps_test: Annotated[tuple[Count, ...], Items(1)]
    beta: Share  # share of the potential left after a step; U2
    reset: Literal["subtract", "zero"]  # subtract or zero; U3
    reset_detached: bool  # whether gradients ignore the reset; U3
    surrogate: Literal["fast_sigmoid", "sigmoid", "arctan"]  # source: fast_sigmoid
    slope: Positive  # of the surrogate; U4
    init: Literal["default", "kaiming", "small"]  # source: kaiming
    # adam or sgd (source: mini-batch stochastic gradient descent); U5
    optimiser: Literal["adam", "sgd"]
    lr: Positive  # learning rate; U5
    batch_size: Count  # images per update; U5
    epochs: Count  # source: 10+
    rate_gain: Annotated[float, Above(0, 1)]  # spike probability of a white pixel
    tests_per_epoch: Count  # points of the learning curve in an epoch
