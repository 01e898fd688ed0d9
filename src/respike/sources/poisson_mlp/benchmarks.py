"""Local learning of the Poisson-coded MLP report: ours against the same rule in plain NumPy."""

import numpy as np

from respike.commands.benchmark import Case
from respike.sources.poisson_mlp import cpu, reference
from respike.spiking.encoding import encode, stream_key, unpack

N_IMAGES, NUM_STEPS = 8, 50


def cases(data, device, threads):
    """Return the training of a few images; one thread, as an experiment runs it."""
    if device != "cpu":
        return []
    images = data.train_images[:N_IMAGES].reshape(N_IMAGES, 784)
    labels, order = data.train_labels[:N_IMAGES], np.arange(N_IMAGES)
    w1, w2 = cpu.initial_weights(784, 250, 10, 0.02, 0)
    constants = {
        "beta": 0.98, "v_thresh": 0.5, "lr": 0.0, "alpha": 5.0, "surrogate_clip": 10.0,
        "grad_clip": 1.0, "target_rate": 1.0, "error": "count", "batch_size": 1,
    }  # fmt: skip
    key = stream_key(0, 0)

    def ours():
        words = encode(images, order, NUM_STEPS, key)
        cpu.train_epoch(words, labels, order, w1, w2, num_steps=NUM_STEPS, **constants)

    w1_64, w2_64 = w1.astype(float), w2.astype(float)
    spikes = unpack(encode(images, order, NUM_STEPS, key), NUM_STEPS).transpose(1, 0, 2)

    def peer():
        reference.train_epoch(spikes, labels, order, w1_64, w2_64, **constants)

    return [
        Case(
            "poisson_mlp training", unit="ms per image", ours=ours, peer=peer, per_call=N_IMAGES,
            threads=1,
            note="784-250-10, T=50, one image per update; peer: plain NumPy, step by step, given "
            "ready-made spikes (ours encodes them)",
        )
    ]  # fmt: skip
