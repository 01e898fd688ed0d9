"""What one image costs in the Kulkarni network: spikes, accumulates, numbers that are kept.

Source: kulkarni-forward-paper.md, Sections III to VIII. In the modified pass the image is convolved
once, its 676 x 9 products per filter are counted like accumulates, and no input neuron spikes.
"""

import numpy as np

from respike.sources.kulkarni_forward.neuron import Constants, Variant, pixel_trains
from respike.sources.kulkarni_forward.reference import FIELD, MAP, N_CLASSES, SIDE


def fields_of_pixels() -> np.ndarray:
    """Return how many fields each pixel is in, int64 (28, 28): 9 but for the border."""
    along = np.minimum(np.arange(SIDE) + 1, FIELD)
    along = np.minimum(along, along[::-1])
    return np.outer(along, along)


def of_pass(
    c: Constants, variant: Variant, images: np.ndarray, n_filters: int, modified: bool,
    hidden_spikes: float, output_spikes: float, inhibits: bool,
) -> dict[str, float]:  # fmt: skip
    """Return the fields `n_neurons`, `n_state`, `spikes` and `synaptic_operations` of a network.

    Means over images uint8 (n, 28, 28); hidden_spikes and output_spikes are means per image. With
    `inhibits` each output spike reaches the nine other outputs. See `respike.runs.result.Network`.
    """
    n_hidden = n_filters * MAP * MAP
    outputs = hidden_spikes * N_CLASSES + output_spikes * (N_CLASSES - 1) * inhibits
    state = 3 * n_hidden + N_CLASSES  # potentials, and two decaying traces per hidden neuron
    if modified:
        return {
            "n_neurons": n_hidden + N_CLASSES,
            "n_state": state + n_hidden,  # the hidden currents decay
            "spikes": hidden_spikes + output_spikes,
            "synaptic_operations": n_hidden * FIELD**2 + outputs,
        }
    spikes = pixel_trains(c, variant).sum(axis=0)[images]  # (n, 28, 28)
    return {
        "n_neurons": SIDE**2 + n_hidden + N_CLASSES,  # the inputs are neurons here
        "n_state": SIDE**2 + state,
        "spikes": float(spikes.sum() / len(images)) + hidden_spikes + output_spikes,
        "synaptic_operations": float((spikes * fields_of_pixels()).sum() / len(images)) * n_filters
        + outputs,
    }


def macs(n_filters: int) -> int:
    """Return the multiply-accumulates of an ANN of the same connections, one image."""
    return n_filters * MAP * MAP * (FIELD**2 + N_CLASSES)
