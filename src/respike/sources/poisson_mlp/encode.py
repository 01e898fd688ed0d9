"""Spike encoding of MNIST images, and how much of the image survives it.

Source: poisson-mlp-report.md, Step 1. Claim P1-a. Ledger: claims.yaml.
Cost: seconds.
"""

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.poisson_mlp.settings import Encode as Settings
from respike.spiking.encoding import encode, stream_key, unpack


def correlation(images: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """Return Pearson's r between image and time-averaged spikes, float64 (batch,).

    images uint8 (batch, n_pixels), spikes (num_steps, batch, n_pixels).
    """
    a = images - images.mean(axis=1, keepdims=True)
    rate = spikes.mean(axis=0, dtype=np.float64)
    b = rate - rate.mean(axis=1, keepdims=True)
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Encode random training images for the pictures, and test images for the correlation."""
    rng = np.random.default_rng(seed)
    train = data.train_images.reshape(-1, 784)
    shown = np.sort(rng.choice(len(train), settings.n_images, replace=False))
    spikes = unpack(
        encode(train[shown], shown, settings.num_steps, stream_key(seed, 0)), settings.num_steps
    )

    images = data.test_images[: settings.n_test].reshape(-1, 784)
    index = np.arange(len(images))
    longest = max(*settings.steps_curve, settings.num_steps)
    words = encode(images, index, longest, stream_key(seed, 1))
    curve = {}
    for steps in sorted({*settings.steps_curve, settings.num_steps}):
        # Blocks of images: (T, n_test, 784) would be gigabytes.
        r = np.concatenate(
            [
                correlation(images[k : k + 500], unpack(words[k : k + 500], steps))
                for k in range(0, len(images), 500)
            ]
        )
        curve[steps] = r
        progress("T", len(curve), len({*settings.steps_curve, settings.num_steps}), r=r.mean())
    at = curve[settings.num_steps]
    return Result(
        metrics={
            "correlation": at.mean(),
            "correlation_lowest_image": at.min(),
            "spikes_per_pixel_step": spikes.mean(),
            "mean_intensity": train[shown].mean() / 255,
        },
        series={
            "steps": list(curve),
            "correlation_by_steps": [r.mean() for r in curve.values()],
            "correlation_sd_by_steps": [r.std(ddof=1) for r in curve.values()],
        },
        arrays={
            "images": train[shown].reshape(-1, 28, 28),
            "labels": data.train_labels[shown],
            "index": shown,
            "spikes": spikes.reshape(settings.num_steps, -1, 28, 28),
        },
    )
