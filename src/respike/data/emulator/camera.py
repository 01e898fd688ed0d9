"""N-MNIST recordings emulated from MNIST images: a model of the camera, fitted to real recordings.

The camera of N-MNIST (Orchard et al. 2015) looks at a screen and makes three small saccades. Here:

1. Screen and optics. The digit is dark on bright (ON events mark falling MNIST intensity). A pixel
   sees the darkness L = -log(1 - contrast * I), I the image blurred by a Gaussian, slightly
   turned and scaled.
2. Motion. The image moves rigidly on the sensor along d(t). Recordings differ in when the second
   and third saccade start, in a small offset and in when they end.
3. Pixel. An OFF event when L has risen by the pixel's OFF threshold since the pixel's last event,
   an ON event when it has fallen by the ON threshold. Thresholds differ from pixel to pixel (a
   fixed pattern) and jitter from event to event; after an event the pixel is blind for the
   refractory period, then compares again with the level of that event. Time stamps jitter.
4. Background events, uniform over pixels and time.

Its numbers are those of respike.data.emulator.parameters.

A recording depends on its image, its index and the seed alone: every random number is a hash of
(seed, index, pixel, number of the event), so batches, order, threads and device do not matter.
"""

import functools
from collections.abc import Iterator

import numpy as np

from respike.data.emulator.parameters import EmulatorError, Parameters, load_parameters

BLOCK = 1000  # recordings at a time: 12 MB of images and at most 100 MB of events


def emulate(
    images: np.ndarray,
    indices: np.ndarray,
    seed: int = 0,
    parameters: Parameters | None = None,
    device: str = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the recordings of some images.

    Parameters
    ----------
    images
        (n, 28, 28) uint8, 0 is background.
    indices
        (n,) number of each image in its data set; with the seed it fixes all that is random.
    device
        "cpu" or "cuda". The two differ in single events, by the order of float operations.

    Returns
    -------
    events
        uint32, packed as in respike.data.nmnist.binary_format, each recording in order of time.
    counts
        (n,) int64, events of each recording.

    Raises
    ------
    EmulatorError
        The images have another shape or type, or there are not as many indices.
    """
    images, indices = np.asarray(images), np.asarray(indices, dtype=np.int64)
    if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
        raise EmulatorError(
            f"images of shape {images.shape} and type {images.dtype}; needed: (n, 28, 28) uint8"
        )
    if indices.shape != (len(images),):
        raise EmulatorError(f"{indices.size} indices for {len(images)} images")
    p = parameters or load_parameters()
    key = recording_keys(indices, seed)
    path, end = motion_paths(p, key)
    if device == "cpu":
        from respike.data.emulator import cpu as backend
    else:
        from respike.data.emulator import gpu as backend
    return backend.emulate(images, key, path, end, p, device)


def emulate_blocks(
    images: np.ndarray,
    indices: np.ndarray,
    seed: int = 0,
    parameters: Parameters | None = None,
    device: str = "cpu",
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (which recordings, events, counts) for many images, in bounded memory."""
    p = parameters or load_parameters()
    for start in range(0, len(images), BLOCK):
        part = slice(start, min(start + BLOCK, len(images)))
        yield part, *emulate(images[part], indices[part], seed, p, device)


# ------------------------------------------------------------------------------------- randomness


def mix(z: np.ndarray) -> np.ndarray:
    """Return the hash of each uint64: one step of splitmix64 (Steele, Lea & Flood 2014)."""
    z = np.asarray(z, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def recording_keys(indices: np.ndarray, seed: int) -> np.ndarray:
    """Return the key (n,) uint64 from which all random numbers of a recording are hashed."""
    return mix(mix(np.asarray(indices).astype(np.uint64)) + mix(np.array([seed], dtype=np.uint64)))


# ----------------------------------------------------------------------------------------- motion


def motion_paths(p: Parameters, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the image is at each ms, (n, steps + 1, 2) float32 px, and the ends (n,) ms.

    Each recording takes its delays, its offset and its end from one of the real recordings of the
    fit, drawn with its key: they keep their joint distribution.
    """
    chosen = draw_variations(p, key)
    t = np.arange(p.steps() + 1, dtype=np.float64)
    knots = [0.0, *p.rests[0], *p.rests[1], t[-1]]
    path = np.empty((len(key), len(t), 2), np.float32)
    spline = _spline(p.times.tobytes(), p.motion.tobytes())
    for i, (delay_2, delay_3, x, y, _) in enumerate(chosen):
        # The clock of a saccade runs late by its delay; the rests take up the difference.
        warped = t - np.interp(t, knots, [0.0, 0.0, delay_2, delay_2, delay_3, delay_3])
        path[i] = spline(np.clip(warped, p.times[0], p.times[-1])) + (x, y)
    return path, chosen[:, 4].astype(np.float32)


def draw_variations(p: Parameters, key: np.ndarray) -> np.ndarray:
    """Return the row (n, 5) of `variations` that each recording takes."""
    return p.variations[(mix(key) % np.uint64(len(p.variations))).astype(np.int64)]


@functools.lru_cache(maxsize=4)
def _spline(times: bytes, motion: bytes):
    from scipy.interpolate import CubicSpline

    return CubicSpline(np.frombuffer(times), np.frombuffer(motion).reshape(-1, 2))
