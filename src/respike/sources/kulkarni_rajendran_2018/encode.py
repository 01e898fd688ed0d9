"""What Section 2 and 3 of Kulkarni and Rajendran (2018) say before any training: exact numbers."""

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.kulkarni_rajendran_2018 import kernels, reference
from respike.sources.kulkarni_rajendran_2018.reference import MAP, N_CLASSES
from respike.sources.kulkarni_rajendran_2018.settings import Encode as Settings

MOST_PA = 4000  # currents that are tried, in whole pA


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Return the numbers; no data and no chance take part."""
    s = settings
    currents = np.arange(MOST_PA + 1.0)
    fired = reference.layer_spikes(np.tile(currents, (s.num_steps, 1)), s, True).any(axis=0)
    pixels = np.tile(reference.pixel_current(np.arange(256), s), (s.num_steps, 1))
    counts = reference.layer_spikes(pixels, s, True).sum(axis=0)
    hidden = s.n_kernels * MAP * MAP
    return Result(
        metrics={
            "largest_silent_pA": currents[fired].min() - 1 if fired.any() else MOST_PA,
            "hidden_neurons": hidden,
            "output_weights": hidden * N_CLASSES,
            "largest_kernel_sum": kernels.article(s.n_kernels).sum(axis=(1, 2)).max(),
            "spikes_of_black": counts[0],
            "spikes_of_white": counts[255],
            "input_highest_Hz": counts.max() / (s.num_steps * s.dt_ms) * 1000,
        },
        arrays={"counts": counts.astype(np.uint8)},
    )
