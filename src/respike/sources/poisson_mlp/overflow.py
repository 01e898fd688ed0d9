"""When the exponential of the surrogate derivative overflows, and what the clip changes.

Source: poisson-mlp-report.md, "Surrogate Gradient Overflow": NumPy warns "overflow encountered in
exp"; clipping v - theta to [-10, 10] is the cure. Claim P1-f. The formula is evaluated exactly as
printed, with NumPy, in both float types. Deterministic. Cost: seconds.
"""

import warnings

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.poisson_mlp.cpu import initial_weights, trace_sample
from respike.sources.poisson_mlp.settings import Overflow as Settings
from respike.spiking.encoding import encode, stream_key

TYPES = {"float32": np.float32, "float64": np.float64}


def surrogate_as_printed(v, v_thresh, alpha, clip, dtype):
    """Return alpha e / (1 + e)^2, e = exp(-alpha (v - theta)), and whether exp overflowed.

    `v` is any array; `clip` bounds v - theta, None leaves it free.
    """
    x = np.asarray(v, dtype) - dtype(v_thresh)
    if clip is not None:
        x = np.clip(x, dtype(-clip), dtype(clip))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        e = np.exp(-dtype(alpha) * x)
        h = dtype(alpha) * e / (1 + e) ** 2
    return h, any("overflow encountered in exp" in str(w.message) for w in caught)


def smallest_overflow(alpha: float, dtype) -> float:
    """Return the distance theta - v beyond which exp(alpha (theta - v)) overflows."""
    return float(np.log(np.finfo(dtype).max)) / alpha


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Map overflow and NaN over alpha and v; read off what an untrained network reaches."""
    s = settings
    grid = np.linspace(-s.reach, s.reach, 2001)
    metrics, arrays = {}, {"alphas": np.array(s.alphas), "x": grid}
    for name, dtype in TYPES.items():
        for label, clip in (("free", None), ("clipped", s.surrogate_clip)):
            h, warned = surrogate_as_printed(grid, 0.0, s.surrogate_alpha, clip, dtype)
            metrics[f"overflow_{name}_{label}"] = float(warned)
            metrics[f"not_finite_{name}_{label}"] = float((~np.isfinite(h)).mean())
            arrays[f"surrogate_{name}_{label}"] = h.astype(np.float64)
            by_alpha = np.array(
                [surrogate_as_printed(grid, 0.0, a, clip, dtype)[1] for a in s.alphas]
            )
            metrics[f"overflowing_alphas_{name}_{label}"] = by_alpha.mean()
            arrays[f"overflow_by_alpha_{name}_{label}"] = by_alpha
        metrics[f"overflow_distance_{name}"] = smallest_overflow(s.surrogate_alpha, dtype)
        # The clip protects a type only up to this sharpness.
        metrics[f"safe_alpha_{name}"] = smallest_overflow(1.0, dtype) / s.surrogate_clip
    progress("types", len(TYPES), len(TYPES))

    w1, w2 = initial_weights(784, s.n_hidden, 10, s.w_std, seed)
    images = data.train_images[: s.n_images].reshape(-1, 784)
    words = encode(images, np.arange(len(images)), s.num_steps, stream_key(seed, 0))
    low = min(
        min(v.min() for v in (v1, v2)) - s.v_thresh
        for v1, _, v2, _ in (
            trace_sample(w, w1, w2, s.beta, s.v_thresh, s.num_steps) for w in words
        )
    )
    metrics["distance_reached_untrained"] = -low
    return Result(metrics=metrics, arrays=arrays)
