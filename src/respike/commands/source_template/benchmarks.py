"""Cases of `respike bench`: ours beside what a user would otherwise run, on the same work."""

import numpy as np

from respike.commands.benchmark import Case
from respike.sources.NEW_SOURCE.train import mean_images, show

N_IMAGES, RATE, NUM_STEPS = 64, 0.05, 10


def cases(data, device, threads):
    """Return one `Case` per comparison; none for a device on which there is nothing to compare."""
    if device != "cpu":
        return []
    images = data.train_images[:N_IMAGES].reshape(N_IMAGES, 784)
    weights, biases = mean_images(images, data.train_labels[:N_IMAGES])

    def ours():
        *_, last = show(images, weights, biases, RATE, NUM_STEPS, np.random.default_rng(0))
        return last

    def peer():
        rng = np.random.default_rng(0)
        for image in images:
            potentials = np.zeros(10, np.float32)
            for _ in range(NUM_STEPS):
                potentials += RATE * biases
                for pixel in np.flatnonzero(rng.random(784, np.float32) * 255 < RATE * image):
                    potentials += weights[:, pixel]

    return [
        Case(
            "NEW_SOURCE test",
            unit="ms per image",
            ours=ours,
            peer=peer,
            per_call=N_IMAGES,
            threads=1,
            note="784-10, T=10; peer: image by image, spike by spike",
        )
    ]
