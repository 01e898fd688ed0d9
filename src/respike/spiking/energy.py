"""Operations and energy of one inference, spiking network against ANN of equal size.

Energy per operation: M. Horowitz, "Computing's energy problem (and what we can do about it)",
ISSCC 2014, pages 10-14: 32-bit floating point at 45 nm and 0.9 V takes 0.9 pJ to add and 3.7 pJ to
multiply. Memory traffic is left out, as the sources leave it out.
"""

ADD_PJ = 0.9
MULTIPLY_PJ = 3.7
MAC_PJ = ADD_PJ + MULTIPLY_PJ


def ann_macs(sizes) -> int:
    """Return the multiply-accumulates of one forward pass through dense layers of `sizes`."""
    return sum(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


def synaptic_operations(sizes, spikes_per_layer) -> float:
    """Return the accumulates of one image: every spike is added to each neuron of the next layer.

    `spikes_per_layer[k]` is the number of spikes per image, all steps, that leave layer k.
    """
    return float(sum(s * n for s, n in zip(spikes_per_layer, sizes[1:], strict=True)))


def leak_operations(sizes, num_steps: int) -> int:
    """Return the multiply-accumulates that decay the membrane potentials of one image."""
    return num_steps * sum(sizes[1:])


def costs(sizes, spikes_per_layer, num_steps: int) -> dict[str, float]:
    """Return operations and energy of the spiking network and of its ANN counterpart, per image."""
    synaptic = synaptic_operations(sizes, spikes_per_layer)
    leak = leak_operations(sizes, num_steps)
    macs = ann_macs(sizes)
    energy_snn = synaptic * ADD_PJ + leak * MAC_PJ
    energy_ann = macs * MAC_PJ
    return {
        "synaptic_operations": synaptic,
        "leak_operations": leak,
        "ann_macs": macs,
        "operations_ratio": (synaptic + leak) / macs,
        "energy_snn_nj": energy_snn / 1000,
        "energy_ann_nj": energy_ann / 1000,
        "energy_ratio": energy_snn / energy_ann,
    }
