"""What an experiment returns, checked at once: a run is not paid for and refused later."""

import dataclasses
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Network:
    """A trained network and what one inference costs: how the report sets networks side by side.

    An experiment that trains a classifier returns one in its `Result`, and
    keeps two arrays: `predictions` and `labels`, uint8 (n_test,), of the test images in their
    order. The accuracy is not declared, it follows from these. Costs are means over the same
    images, for all time steps of one image.

    Raises
    ------
    ValueError
        On a name that is empty, or a negative or infinite number.
    """

    name: str  # size and what sets it apart, as "784-250-10, T = 50"
    data_set: str  # that it is tested on: networks on equal test images are compared
    rule: str  # how the weights are learned, as the report names it
    n_neurons: int  # without the inputs
    n_parameters: int  # weights, biases, thresholds that inference needs, trained or fixed
    n_state: int  # numbers kept from step to step: potentials, traces, currents; an ANN's outputs
    num_steps: int  # of one image in the test; 0 for an ANN
    spikes: float | None  # of inputs and neurons, per image; None for an ANN
    synaptic_operations: float | None  # accumulates that these spikes cause; None for an ANN
    macs: int  # multiply-accumulates of an ANN with the same connections; of an ANN its own
    n_train: int  # different training images
    presentations: int  # training images shown, all epochs
    train_s: float  # of training, tests left out: CPU time of the process, on a GPU wall time

    def __post_init__(self):
        for name in ("name", "rule", "data_set"):
            if not getattr(self, name).strip():
                raise ValueError(f"network {name}: found nothing, needed is a name")
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, str | None) and not 0 <= value < float("inf"):
                raise ValueError(f"network {item.name}: found {value!r}, allowed: 0 or more")


@dataclass
class Result:
    """What an experiment returns."""

    metrics: dict[str, float]  # one number per name; fractions, not per cent
    series: dict[str, list[float]] = field(default_factory=dict)  # curves
    arrays: dict[str, object] = field(default_factory=dict)  # per-image predictions, pictures
    data_kind: str = ""  # where it is not that of the data set, as when the run makes its own
    network: Network | None = None  # the trained network; needs `predictions` and `labels`

    def __post_init__(self):
        import numpy as np  # not above: whoever checks settings imports this module, quickly

        for part, depth in (("metrics", 0), ("series", 1)):
            for name, value in getattr(self, part).items():
                shape = np.shape(value)
                if len(shape) != depth or np.asarray(value).dtype.kind not in "biuf":
                    kind = "one number" if depth == 0 else "a list of numbers"
                    raise ValueError(
                        f"{part}.{name}: found {value!r:.80}, a result has {kind} there"
                    )
        if self.network:
            found = [self.arrays.get(name) for name in ("predictions", "labels")]
            kinds = [(str(getattr(a, "dtype", None)), getattr(a, "shape", ())) for a in found]
            if kinds[0] != kinds[1] or kinds[0][0] != "uint8" or len(kinds[0][1]) != 1:
                raise ValueError(
                    "a Result with a network needs the arrays predictions and labels, both uint8 "
                    f"(n_test,): found {kinds[0]} and {kinds[1]}"
                )


class SettingsError(ValueError):
    """The settings do not fit the experiment; the message names the key."""
