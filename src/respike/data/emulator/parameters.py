"""The emulator's parameters, and what both of its back ends make of them.

All numbers are in emulator.json; respike.data.fit_emulator fits them to pairs of image and real
recording and writes that file with its provenance.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PARAMETERS = Path(__file__).with_name("emulator.json")
SENSOR = 34  # pixels a side
FINE = 3  # samples per pixel of the blurred image
MARGIN = 6  # pixels of image kept beyond the sensor: more than it ever moves
PITCH = SENSOR + 2 * MARGIN  # pixels a side of the kept image
SIDE = PITCH * FINE  # samples a side
TAPS = 5  # image pixels that reach one sample through the blur, each axis


class EmulatorError(ValueError):
    """The images or the parameters cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Parameters:
    """The fitted camera; times in ms, lengths in sensor pixels, thresholds in units of L."""

    times: np.ndarray  # (n_knots,) knots of the motion
    motion: np.ndarray  # (n_knots, 2) displacement (x, y) of the image on the sensor
    rests: np.ndarray  # (2, 2) begin and end of the rests before the second and third saccade
    variations: np.ndarray  # (n, 5) delay of saccade 2 and 3, offset x and y, end of recording
    blur: float  # standard deviation of the Gaussian
    contrast: float
    affine: np.ndarray  # (2, 2) added to the identity: image coordinates = (1 + affine) sensor
    threshold_on: np.ndarray  # (34, 34) float32
    threshold_off: np.ndarray  # (34, 34) float32
    threshold_jitter: float  # standard deviation, relative
    photoreceptor: float  # time constant with which a pixel follows the light
    refractory: float
    time_jitter: float  # standard deviation
    initial_spread: float  # 0: every pixel starts half-way between its thresholds; 1: anywhere
    noise_on: float  # events per pixel and ms
    noise_off: float

    def steps(self) -> int:
        """Return the number of 1-ms steps of a recording."""
        return int(math.ceil(self.variations[:, 4].max()))


def load_parameters(path: Path | str = PARAMETERS) -> Parameters:
    """Return the parameters that respike.data.fit_emulator wrote.

    Raises
    ------
    EmulatorError
        The file is missing or is no file of parameters.
    """
    cure = "restore it with git, or fit anew: python -m respike.data.fit_emulator --help"
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))["parameters"]
        values = {
            name: np.array(raw[name]) if isinstance(raw[name], list) else float(raw[name])
            for name in Parameters.__dataclass_fields__
        }
    except FileNotFoundError:
        raise EmulatorError(f"{path}: no such file; {cure}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmulatorError(
            f"{path}: not a file of emulator parameters ({error}); {cure}"
        ) from None
    for name in ("threshold_on", "threshold_off"):
        values[name] = values[name].astype(np.float32)
    return Parameters(**values)


def fitted_images(path: Path | str = PARAMETERS) -> np.ndarray:
    """Return the numbers of the training images whose recordings the parameters were fitted to."""
    first, last = json.loads(Path(path).read_text(encoding="utf-8"))["provenance"][
        "fitted_to_images"
    ]
    return np.arange(first, last + 1)


def follow(p: Parameters) -> float:
    """Return how far the photoreceptor moves towards the present light in a step of 1 ms."""
    return 1.0 - math.exp(-1.0 / p.photoreceptor) if p.photoreceptor > 0 else 1.0


def blur_taps(blur: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (SIDE, TAPS) float32 and first image row (SIDE,) of each fine sample.

    The image is a grid of uniform squares, so a weight is the Gaussian's integral over a square.
    """
    at = (np.arange(SIDE) - (SIDE - 1) / 2) / FINE + 14  # in image pixels from the image's edge
    first = np.floor(at).astype(np.int64) - TAPS // 2
    edges = first[:, None] + np.arange(TAPS + 1) - at[:, None]
    below = np.vectorize(math.erf)(edges / (blur * math.sqrt(2))) / 2
    return np.diff(below, axis=1).astype(np.float32), first
