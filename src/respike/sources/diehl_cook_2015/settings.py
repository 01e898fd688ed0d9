"""Settings of the experiments on Diehl & Cook (2015): names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.workflow.settings import Count, Items, NonNegative, Positive, Range, Whole

Images = Annotated[int, Range(1, 60_000)]
Tests = Annotated[int, Range(1, 10_000)]


@dataclass(frozen=True)
class Parameters:
    """The network and what it is shown; voltages in mV, times in ms, conductances in leaks."""

    n_exc: Count  # excitatory neurons, and as many inhibitory ones
    dt_ms: Positive  # authors' script: 0.5
    present_ms: Positive  # authors' script: 350
    rest_ms: NonNegative  # authors' script: 150
    intensity: Positive  # a pixel fires at pixel / 8 x intensity Hz; authors' script: 2
    min_spikes: Whole  # fewer output spikes: shown again with intensity + 1; authors' script: 5
    max_intensity: Positive  # not beyond this one; D5
    delay_max_ms: Annotated[float, Range(0, 30)]  # of an input, uniform from 0; script: 10
    tau_mem_exc_ms: Positive  # excitatory neurons, membrane; script: 100
    v_rest_exc_mV: float  # excitatory rest; script: -65
    v_reset_exc_mV: float  # excitatory reset; script: -65
    v_thresh_exc_mV: float  # -52, to which theta - theta_offset is added
    refrac_exc_ms: NonNegative  # excitatory refractory time; script: 5
    theta_start_mV: float  # threshold adaptation before training; script: 20
    theta_offset_mV: float  # taken off it; script: 20
    theta_plus_mV: NonNegative  # rise at a spike: 0.05
    tc_theta_ms: Positive  # its decay: 1e7
    tau_mem_inh_ms: Positive  # inhibitory neurons, membrane; script: 10
    v_rest_inh_mV: float  # inhibitory rest; script: -60
    v_reset_inh_mV: float  # inhibitory reset; script: -45
    v_thresh_inh_mV: float  # inhibitory threshold; script: -40
    refrac_inh_ms: NonNegative  # inhibitory refractory time; script: 2
    tau_ge_ms: Positive  # decay of excitatory conductances: 1
    tau_gi_ms: Positive  # of inhibitory ones: 2
    e_exc_mV: float  # reversal of excitatory conductances: 0
    e_inh_mV: float  # of the inhibitory one of excitatory neurons: -100
    w_exc_inh: NonNegative  # excitatory to its inhibitory neuron; script: 10.4
    w_inh_exc: NonNegative  # inhibitory neuron onto all but its own: 17
    w_start: Positive  # weights start as this x (U(0,1) + 0.01): 0.3
    w_max: Positive  # largest weight; script: 1
    norm: Positive  # sum of a neuron's weights before a presentation: 78
    nu_pre: NonNegative  # at an input spike: 1e-4
    nu_post: NonNegative  # at an output spike: 1e-2
    tc_pre_ms: Positive  # trace of an input: 20
    tc_post1_ms: Positive  # first trace of an output: 20
    tc_post2_ms: Positive  # second trace: 40
    potential: Literal["exponential", "euler"]  # how potentials are integrated; U1
    conductances: Literal["exact", "euler"]  # how they decay; U2
    synapses: Literal["conductance", "current"]  # of excitatory neurons; U10
    inhibition: Literal["population", "direct"]  # through neurons of its own, or at once
    rule: Literal["triplet", "pair"]  # whether the second output trace counts
    one_spike: bool  # of several neurons above threshold at a step one spikes, all are reset
    reset_state: bool  # back to rest, traces included, before every presentation
    batch_size: Count  # images from the same weights; D6


@dataclass(frozen=True)
class Train(Parameters):
    """The network and the budget of its training."""

    n_train: Images  # training images, the first ones; U6
    n_passes: Count  # through them
    n_test: Tests  # test images, the first ones
    label_images: Images  # the last ones of training, whose spikes assign labels; U5
    frozen_labels: bool  # also assign labels with the trained network frozen; U5


Change = Literal[
    "currents", "direct_inhibition", "reset", "short", "no_rest", "no_repeat", "batch_64",
    "one_spike", "pair_rule", "rate_128", "all",
    "theta_plus_half", "theta_plus_double", "tc_theta_half", "inhibition_half",
    "inhibition_double", "norm_half", "norm_double", "rates_half", "rates_double", "no_delays",
    "euler_conductances", "euler_potential",
]  # fmt: skip


@dataclass(frozen=True)
class Changes(Parameters):
    """The unchanged network, the budget of each training, and the changes tried one by one."""

    n_train: Images  # training images, shown once
    n_test: Tests  # test images, the first ones
    label_images: Images  # the last ones of training
    # names of changes, each made alone
    changes: Annotated[tuple[Change, ...], Items(1, unique=True)]
