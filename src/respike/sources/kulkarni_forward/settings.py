"""Settings of the experiments on kulkarni-forward-paper.md: names, types and bounds."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from respike.workflow.settings import Above, Count, NonNegative, Positive, Range


@dataclass(frozen=True)
class Constants:
    """Constants of Sections III and VI, in the document's units.

    Raises
    ------
    ValueError
        If a constant has no meaning, or the step makes the integration unstable.
    """

    num_steps: Count  # source: 1000
    dt_ms: Positive  # source: 0.1 (100 ms in 1000 steps)
    c_pF: Positive  # membrane capacitance, source: 300
    g_leak_nS: Positive  # leak conductance, source: 30
    v_rest_mV: float  # E_L, source: 70 as printed, -70 in the code
    v_thresh_mV: float  # V_T, source: 20
    refrac_ms: NonNegative  # source: 3
    tau1_ms: Positive  # slow time constant of the synapse, source: 5
    tau2_ms: Positive  # fast one, source: 1.25
    i0_pA: float  # current of pixel value 0, source: 2700
    ip_pA: float  # current per unit of pixel value, source: 101.2

    def __post_init__(self):
        for name in ("num_steps", "dt_ms", "c_pF", "g_leak_nS", "tau1_ms", "tau2_ms"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: found {value}, allowed: a finite number above 0")
        if self.refrac_ms < 0:
            raise ValueError(f"refrac_ms: found {self.refrac_ms}, allowed: 0 or more")
        limit = 2 * self.c_pF / self.g_leak_nS
        if self.dt_ms >= limit:
            raise ValueError(
                f"dt_ms: found {self.dt_ms}, the integration of the membrane is unstable from "
                f"2 C / g_L = {limit:g} ms on; choose a smaller step"
            )

    @property
    def refrac_steps(self) -> int:
        """Steps for which a neuron is held at rest after a spike."""
        return round(self.refrac_ms / self.dt_ms)


@dataclass(frozen=True)
class Encode(Constants):
    """The constants, and which account is followed."""

    # whose equations are computed
    variant: Literal["as_documented", "as_coded", "corrected"]


@dataclass(frozen=True)
class FullPass(Constants):
    """The constants, the filters, and the scales that the document leaves open."""

    variant: Literal["as_documented", "as_coded", "corrected"]
    n_filters: Annotated[int, Range(1, 12)]  # source: 12
    # trained: one epoch as documented; random: as they were before
    filters: Literal["trained", "random"]
    # images of the filters' training (source: 60,000)
    n_train_filters: Annotated[int, Range(1, 60_000)]
    n_test: Annotated[int, Range(1, 10_000)]  # test images passed through the network
    n_modified: Annotated[int, Range(1, 10_000)]  # of them those that take the modified passes too
    # of them those whose trains are compared spike by spike
    n_compare: Annotated[int, Range(0, 10_000)]
    # images passed step by step, for the time that the document's loop takes
    n_plain: Annotated[int, Range(0, 10_000)]
    gain_pA: Positive  # hidden layer's current per unit of the convolution; U2
    modified_gain_pA: Positive  # the same in the modified pass; U3
    gain_out_pA: Positive  # output layer's current per unit of weight; U4
    # share of the modified pass's current left after a step (code: 0.966)
    decay_coded: Annotated[float, Above(0, 1)]


@dataclass(frozen=True)
class Train(Constants):
    """The constants, and the training."""

    variant: Literal["as_documented", "as_coded", "corrected"]
    # original or modified: what the hidden layer's spikes come from
    forward_pass: Literal["original", "modified"]
    n_filters: Annotated[int, Range(1, 12)]  # source: 12
    # images of the filters' training (source: 60,000)
    n_train_filters: Annotated[int, Range(1, 60_000)]
    n_train: Annotated[int, Range(1, 60_000)]  # training images, the first ones ([6]: 60,000)
    # the last training images, for choices; not learned from if n_train leaves them
    n_val: Annotated[int, Range(1, 60_000)]
    n_test: Annotated[int, Range(1, 10_000)]
    gain_pA: Positive  # U2
    modified_gain_pA: Positive  # U3
    period_ms: Positive  # between the spikes asked of the true class; U5
    rate_pA: Positive  # learning rate of the first epoch; U6
    rate_decay: Annotated[float, Above(0, 1)]  # its factor from epoch to epoch; U6
    epochs: Count  # passes over the training images; U6
    tau_leak_ms: Positive  # filter of the trace in the rule; U7
    inhibit_pA: NonNegative  # lateral inhibition; U8
    bits: tuple[Annotated[int, Range(1, 16)], ...]  # precisions of the weights; U9


@dataclass(frozen=True)
class Readout(Constants):
    """The constants of the spiking layers, and the training of the linear layer."""

    variant: Literal["as_documented", "as_coded", "corrected"]
    # what the linear layer reads: the convolution, or spikes of one of the passes
    features: Literal["relu", "original", "modified"]
    n_filters: Annotated[int, Range(1, 12)]
    filters: Literal["trained", "random"]
    n_train_filters: Annotated[int, Range(1, 60_000)]
    n_train: Annotated[int, Range(1, 60_000)]
    n_val: Annotated[int, Range(1, 60_000)]
    n_test: Annotated[int, Range(1, 10_000)]
    gain_pA: Positive  # U2
    modified_gain_pA: Positive  # U3
    lr: Positive  # learning rate of the linear layer; U10
    batch_size: Count  # images per update of the linear layer; U10
    epochs: Count  # passes over the training images; U10
    bits: tuple[Annotated[int, Range(1, 16)], ...]  # U9
