"""Settings of the experiments on Kulkarni and Rajendran (2018): names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.sources.kulkarni_forward.settings import Constants
from respike.workflow.settings import Count, NonNegative, Positive, Range

Schedule = Literal["constant", "inverse", "exponential", "halved_5", "halved_3"]
Bits = tuple[Annotated[int, Range(1, 16)], ...]
# Which images the trained network is tested on: the test set, or the held-out training images.
TestOn = Literal["test", "held_out"]


@dataclass(frozen=True)
class Encode(Constants):
    """The constants, and the kernels."""

    n_kernels: Annotated[int, Range(1, 12)]  # source: 12


@dataclass(frozen=True)
class Train(Constants):
    """The constants, the network, and its training."""

    layers: Literal["three", "two"]  # two: the pixels drive the outputs
    # article: as read off Figure 2 (U1); random: three pixels each, drawn by the seed;
    # one_epoch: the filters that kulkarni_forward trains
    kernels: Literal["article", "random", "one_epoch"]
    n_kernels: Annotated[int, Range(1, 12)]  # source: 12
    # pulse: an input spike is a current in its step alone (U3)
    synapse: Literal["double_exponential", "pulse"]
    gain_pA: Positive  # hidden current per unit of weight and c(t); U2
    clips: bool  # whether potentials of the hidden and output layer stay in [E_L, V_T]
    n_train: Annotated[int, Range(1, 60_000)]  # drawn by the seed from all that are not held out
    n_held_out: Annotated[int, Range(0, 59_999)]  # last training images, not learned from
    test_on: TestOn
    n_test: Annotated[int, Range(1, 10_000)]
    epochs: Count
    period_ms: Positive  # between the spikes asked of the true class
    rate_pA: Positive  # r0; U4
    schedule: Schedule
    decay: NonNegative  # k of the schedules inverse and exponential; U11
    tau_leak_ms: Positive  # tau_L
    inhibit_pA: NonNegative  # lateral inhibition; U4, U13
    tau_read_ms: Positive  # of the correlation; U5
    bits: Bits  # precisions of the weights; U9
    coarse_ms: tuple[Count, ...]  # times per image at steps of 1 ms; U14
    early: tuple[Count, ...]  # numbers of images after which the first epoch is interrupted to test

    def __post_init__(self):
        super().__post_init__()
        if self.n_train + self.n_held_out > 60_000:
            raise ValueError(
                f"n_train, n_held_out: found {self.n_train} + {self.n_held_out}, allowed: "
                "60000 in all"
            )
        if self.test_on == "held_out" and self.n_test > self.n_held_out:
            raise ValueError(
                f"n_test: found {self.n_test}, allowed: at most n_held_out, {self.n_held_out}"
            )


@dataclass(frozen=True)
class Ann:
    """The ANN on rectified maps of the same kernels."""

    kernels: Literal["article", "random", "one_epoch"]
    n_kernels: Annotated[int, Range(1, 12)]
    n_train: Annotated[int, Range(1, 60_000)]  # drawn by the seed, as for the spiking network
    # the last training images choose the schedule, in a training that leaves them out
    n_held_out: Annotated[int, Range(1, 59_999)]
    n_test: Annotated[int, Range(1, 10_000)]
    epochs: Count
    lr: Positive
    schedules: tuple[Schedule, ...]  # that are tried; one is taken without a trial
    decay: NonNegative
    batch_size: Count
    bits: Bits
