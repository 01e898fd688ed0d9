"""Settings of the experiments on stdp-tables-paper.md: names, types and bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal

from respike.sources.shared.settings import Ann
from respike.workflow.settings import Above, Count, Items, NonNegative, Positive, Range, Whole

__all__ = ["Ann"]


Rule = Literal["PostPre", "WeightDependentPostPre", "Hebbian"]


@dataclass(frozen=True)
class Parameters:
    """Neurons and synapses; voltages in mV, times in ms, one step is 1 ms."""

    neuron: Literal["if", "lif", "srm0", "diehl_cook"]  # one of NEURONS
    n_neurons: Count  # output neurons (source: 100)
    v_thresh_mV: float  # Table 2: -52
    v_rest_mV: float  # Table 2: -65; without meaning for `if`, which starts at the reset
    v_reset_mV: float  # Table 2: -60
    refrac_ms: NonNegative  # Table 2: 5
    tc_decay_ms: Positive  # leak; Table 2: 100; without meaning for `if`
    theta_plus_mV: NonNegative  # diehl_cook: rise of a threshold at a spike; Table 2: 0.05
    tc_theta_decay_ms: Positive  # diehl_cook: decay of the rise; U5
    d_thresh_mV: Positive  # srm0: width of the escape noise; U6
    inhibit_mV: NonNegative  # output spike onto every other neuron; U2
    nu_pre: NonNegative  # Table 3, LTD: at an input spike
    nu_post: NonNegative  # Table 3, LTP: at an output spike
    w_max: Positive  # Table 3: 1; the least is 0
    w_start: Positive  # weights start uniform between 0 and this; U1
    norm: Positive  # sum of a neuron's weights, restored after each batch; U3
    tc_trace_ms: Positive  # of both spike traces; U4


@dataclass(frozen=True)
class Cell(Parameters):
    """Constants of the network, coding and budget."""

    # learning rules
    rules: Annotated[tuple[Rule, ...], Items(1, unique=True)]
    encoder: Literal["poisson", "bernoulli", "rank_order"]  # how images become spikes
    num_steps: Annotated[int, Range(1, 32_767)]  # ms of a presentation (source: 100)
    intensity: Positive  # Hz of a white pixel (source: 128)
    batch_size: Count  # images per update (source: 64)
    n_train: Annotated[int, Range(1, 60_000)]  # training images, the first ones (source: 60,000)
    n_test: Annotated[int, Range(1, 10_000)]  # test images (source: 10,000)
    assign_images: Count  # images of one assignment of labels; U7


@dataclass(frozen=True)
class Explain(Parameters):
    """The condition, and the values of each explanation; the first value is the document's."""

    rule: Rule  # learning rule
    encoder: Literal["poisson", "bernoulli", "rank_order"]
    num_steps: Annotated[int, Range(1, 32_767)]
    intensity: Positive
    batch_size: Count
    n_train: Annotated[int, Range(1, 60_000)]
    # the last training images; accuracies here are on them, not on the test images
    n_val: Annotated[int, Range(1, 59_999)]
    assign_images: Count
    # ms of a presentation
    steps_tried: Annotated[tuple[Annotated[int, Range(1, 32_767)], ...], Items(2)]
    batches_tried: Annotated[tuple[Count, ...], Items(2)]  # batch sizes
    neurons_tried: Annotated[tuple[Count, ...], Items(2)]  # numbers of output neurons


@dataclass(frozen=True)
class Search(Parameters):
    """The condition and the budget of the search."""

    rule: Rule
    encoder: Literal["poisson", "bernoulli", "rank_order"]
    num_steps: Annotated[int, Range(1, 32_767)]
    intensity: Positive
    batch_size: Count
    n_trials: Whole  # points that are tried besides the document's
    n_search: Annotated[int, Range(1, 60_000)]  # training images of a trial, the first ones
    n_val: Annotated[int, Range(1, 59_999)]  # the last training images
    n_train: Annotated[int, Range(1, 60_000)]  # of the final training
    n_test: Annotated[int, Range(1, 10_000)]
    assign_images: Count


@dataclass(frozen=True)
class ShowRules(Parameters):
    """Constants of the network and what is shown."""

    num_steps: Annotated[int, Range(1, 32_767)]
    intensity: Positive
    image: Annotated[int, Range(0, 9999)]  # index of the test image shown
    n_images: Annotated[int, Range(1, 10_000)]  # test images over which encodings are measured
    trace_weight: Positive  # weight of every input in the membrane traces
    window_ms: Annotated[int, Range(3)]  # largest distance between the two spikes of a pair
    # weights at which the window is measured
    window_weights: Annotated[tuple[Annotated[float, Above(0, 0.5)], ...], Items(1)]
