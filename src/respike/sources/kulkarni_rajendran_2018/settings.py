"""Settings of the experiments on Kulkarni and Rajendran (2018): names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.workflow.settings import Count, NonNegative, Positive, Range

Schedule = Literal["constant", "inverse", "exponential", "halved_5", "halved_3"]
Bits = tuple[Annotated[int, Range(1, 16)], ...]
# Which images the trained network is tested on: the test set, or the held-out training images.
TestOn = Literal["test", "held_out"]


@dataclass(frozen=True)
class Constants:
    """Constants of Section 2, in the article's units.

    Raises
    ------
    ValueError
        If the step makes the integration of the membrane unstable.
    """

    num_steps: Count  # source: 1000, 100 ms an image
    dt_ms: Positive  # time step, source: 0.1
    c_pF: Positive  # membrane capacitance, source: 300
    g_leak_nS: Positive  # leak conductance, source: 30
    v_rest_mV: float  # rest E_L, source: -70
    v_thresh_mV: float  # threshold V_T, source: 20
    refrac_ms: NonNegative  # refractory time, source: 3
    tau1_ms: Positive  # slow time constant of the synapse, source: 5
    tau2_ms: Positive  # fast one, source: 1.25
    i0_pA: float  # current of a black pixel, source: 2700
    ip_pA: float  # current per unit of pixel value, source: 101.2

    def __post_init__(self):
        limit = 2 * self.c_pF / self.g_leak_nS
        if self.dt_ms >= limit:
            raise ValueError(
                f"dt_ms: found {self.dt_ms}, allowed: below 2 C / g_L = {limit:g} ms, where the "
                "integration of the membrane becomes unstable"
            )

    @property
    def refrac_steps(self) -> int:
        """Steps for which a neuron is held at rest after a spike."""
        return round(self.refrac_ms / self.dt_ms)


@dataclass(frozen=True)
class Encode(Constants):
    """The constants, and the kernels."""

    n_kernels: Annotated[int, Range(1, 12)]  # the first ones, source: 12


@dataclass(frozen=True)
class Train(Constants):
    """The constants, the network, and its training."""

    layers: Literal["three", "two"]  # two: the pixels drive the outputs
    # article: as read off Figure 2 (U1); random: three pixels each, drawn by the seed;
    # one_epoch: filters of a linear network after an epoch, as kulkarni_forward has them
    kernels: Literal["article", "random", "one_epoch"]
    n_train_filters: Annotated[int, Range(1, 60_000)]  # training images of that network
    n_kernels: Annotated[int, Range(1, 12)]  # the first ones, source: 12
    # pulse: an input spike is a current in its step alone (U3)
    synapse: Literal["double_exponential", "pulse"]
    gain_pA: Positive  # hidden current per unit of weight and c(t); U2
    clips: bool  # whether potentials of the hidden and output layer stay in [E_L, V_T]
    n_train: Annotated[int, Range(1, 60_000)]  # drawn by the seed from all that are not held out
    n_held_out: Annotated[int, Range(0, 59_999)]  # last training images, not learned from
    test_on: TestOn  # test set or held-out training images
    n_test: Annotated[int, Range(1, 10_000)]  # images tested on
    epochs: Count  # times that each image is shown, source: 20
    period_ms: Positive  # between the spikes asked of the true class
    rate_pA: Positive  # learning rate r0 of the first epoch; U4
    schedule: Schedule  # how it falls, Table 1
    decay: NonNegative  # k of the schedules inverse and exponential; U11
    tau_leak_ms: Positive  # filter of NormAD, tau_L, source: 1
    inhibit_pA: NonNegative  # lateral inhibition; U4, U13
    tau_read_ms: Positive  # time constant of the correlation; U5
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

    kernels: Literal["article", "random"]  # U1
    n_kernels: Annotated[int, Range(1, 12)]
    n_train: Annotated[int, Range(1, 60_000)]  # drawn by the seed, as for the spiking network
    # the last training images choose the schedule, in a training that leaves them out
    n_held_out: Annotated[int, Range(1, 59_999)]
    n_test: Annotated[int, Range(1, 10_000)]
    epochs: Count
    lr: Positive  # learning rate of the first epoch; U10
    schedules: tuple[Schedule, ...]  # that are tried; one is taken without a trial
    decay: NonNegative
    batch_size: Count  # images of a step; U10
    bits: Bits
