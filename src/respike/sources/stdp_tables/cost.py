"""Memory and operations of one inference: the comparison the document announces and never shows."""

from respike.sources.stdp_tables.model import N_CLASSES, N_PIXELS, Constants
from respike.spiking.energy import ADD_PJ, MAC_PJ, ann_macs

FLOAT_BYTES = 4


def ann_bytes(n_hidden: int) -> int:
    """Return the bytes of the ANN's weights and biases in float32."""
    return FLOAT_BYTES * (n_hidden * (N_PIXELS + 1) + N_CLASSES * (n_hidden + 1))


def network_bytes(c: Constants) -> int:
    """Return the bytes of weights, inhibition (a matrix, as in BindsNET), thresholds and labels."""
    n = c.n_neurons
    thresholds = n if c.neuron == "diehl_cook" else 0
    return FLOAT_BYTES * (N_PIXELS * n + n * n + thresholds) + n  # a label is one byte


def network_cost(c: Constants, spikes_in: float, spikes_out: float, num_steps: int) -> dict:
    """Return operations, energy and memory of one presentation, and their ratios to the ANN's.

    A spike is added to every neuron that it reaches. A leak is a multiply-accumulate of each
    neuron at each step (`if` has none). The two exponentials of an srm0 neuron at each step are
    counted beside them, without energy. The ANN is 784-n-10. Energy as in `respike.spiking.energy`.
    """
    n = c.n_neurons
    additions = spikes_in * n + spikes_out * (n - 1)
    leaks = 0 if c.neuron == "if" else n * num_steps
    macs = ann_macs((N_PIXELS, n, N_CLASSES))
    energy = additions * ADD_PJ + leaks * MAC_PJ
    return {
        "additions": additions,
        "leak_operations": leaks,
        "exponentials": 2 * n * num_steps if c.neuron == "srm0" else 0,
        "ann_macs": macs,
        "operations_ratio": (additions + leaks) / macs,
        "energy_nj": energy / 1000,
        "energy_ann_nj": macs * MAC_PJ / 1000,
        "energy_ratio": energy / (macs * MAC_PJ),
        "memory_bytes": network_bytes(c),
        "memory_ratio": network_bytes(c) / ann_bytes(n),
    }
