"""How close emulated N-MNIST recordings come to real ones of the same images.

Judged are real recordings that respike.data.fit_emulator did not see; the fitted ones are reported
beside them. Emulated and real recordings are compared image by image where that says more.
"""

import numpy as np

from respike.data.emulator import camera, parameters
from respike.data.inputs import Inputs, load
from respike.data.nmnist import statistics
from respike.runs.progress import Progress
from respike.runs.result import Result, SettingsError
from respike.sources.nmnist_emulator.settings import Fidelity as Settings

__all__ = ["Settings", "load", "run"]


def run(settings: Settings, data: Inputs, seed: int, progress: Progress) -> Result:
    """Emulate the images of the real recordings with this seed and compare."""
    if data.mnist is None or data.recordings is None or data.kind == "emulated":
        raise SettingsError("needed are MNIST and real recordings of its training images")
    real = data.recordings.splits["train"]
    fitted = np.isin(real.index, parameters.fitted_images())
    judged = np.nonzero(~fitted)[0][: settings.n_judged]
    if not len(judged):
        raise SettingsError("every real recording was used in the fit; more of them are needed")
    result = Result(metrics={}, data_kind=f"{data.kind} and emulated")
    for name, chosen in (("fitted_", np.nonzero(fitted)[0]), ("", judged)):
        if not len(chosen):
            continue
        theirs = real.take(chosen)
        index = real.index[chosen].astype(np.int64)
        events, counts = camera.emulate(data.mnist.train_images[index], index, seed)
        ours = events, np.concatenate(([0], np.cumsum(counts)))
        progress("part", 1 + (name == ""), 2)
        found, arrays = compare(ours, theirs, settings.bin_ms)
        result.metrics |= {name + key: value for key, value in found.items()}
        if name == "":
            result.arrays |= arrays | _samples(ours, theirs, real.labels[chosen])
    result.arrays |= _camera()
    return result


def compare(ours: tuple, theirs: tuple, bin_ms: float) -> tuple[dict, dict]:
    """Return metrics and arrays of two sets of recordings (events, offsets) of the same images."""
    counts = [np.diff(offsets) for _, offsets in (ours, theirs)]
    saccades = [statistics.saccade_counts(*one) for one in (ours, theirs)]
    end_ms = max(int(events.max() >> 13) for events, _ in (ours, theirs)) / 1000
    profiles = [statistics.rate_profile(*one, bin_ms, end_ms + bin_ms) for one in (ours, theirs)]
    both = [profile.sum(0) for profile in profiles]
    maps = [statistics.maps(*one) for one in (ours, theirs)]
    gaps = [statistics.intervals(*one) / len(counts[0]) for one in (ours, theirs)]
    similar = statistics.map_correlations(maps[0].sum(1), maps[1].sum(1))
    share = [float((events >> 12 & 1).mean()) for events, _ in (ours, theirs)]
    per_pixel = [np.bincount(m.sum(1).reshape(-1).clip(max=40), minlength=41) for m in maps]
    metrics = {
        "n_recordings": len(counts[0]),
        "events_real": counts[1].mean(),
        "events_emulated": counts[0].mean(),
        "events_mean_ratio": counts[0].mean() / counts[1].mean(),
        "events_sd_ratio": counts[0].std() / counts[1].std(),
        "events_correlation": np.corrcoef(*counts)[0, 1],
        "on_share_real": share[1],
        "on_share_emulated": share[0],
        "on_share_difference": share[0] - share[1],
        "rate_deviation": np.abs(both[0] - both[1]).max() / both[1].max(),
        "rate_deviation_on": np.abs(profiles[0][1] - profiles[1][1]).max() / profiles[1][1].max(),
        "rate_deviation_off": np.abs(profiles[0][0] - profiles[1][0]).max() / profiles[1][0].max(),
        "map_correlation": similar.mean(),
        "map_correlation_least": similar.min(),
        "intervals_differing": np.abs(gaps[0] - gaps[1]).sum() / gaps[1].sum(),
    }
    for k in range(3):
        a, b = saccades[0][:, k], saccades[1][:, k]
        metrics[f"saccade_{k + 1}_mean_ratio"] = a.mean() / b.mean()
        metrics[f"saccade_{k + 1}_sd_ratio"] = a.std() / b.std()
    arrays = {"bin_ms": bin_ms, "map_correlations": similar}
    for name, k in (("emulated", 0), ("real", 1)):
        arrays |= {
            f"counts_{name}": counts[k],
            f"saccades_{name}": saccades[k],
            f"profile_{name}": profiles[k],
            f"intervals_{name}": gaps[k],
            f"per_pixel_{name}": per_pixel[k] / len(counts[0]),
        }
    return {name: float(value) for name, value in metrics.items()}, arrays


def _samples(ours: tuple, theirs: tuple, labels: np.ndarray) -> dict:
    """Return the first recording of each digit, real and emulated: events one after another."""
    found = {}
    digits = [d for d in range(10) if (labels == d).any()]
    chosen = [int(np.argmax(labels == d)) for d in digits]
    for name, (events, offsets) in (("emulated", ours), ("real", theirs)):
        parts = [events[offsets[i] : offsets[i + 1]] for i in chosen]
        found[f"sample_{name}"] = np.concatenate(parts)
        found[f"sample_{name}_offsets"] = np.cumsum([0, *map(len, parts)])
    return found | {"sample_digits": np.array(digits)}


def _camera() -> dict:
    """Return what the figure of the fitted camera shows."""
    p = parameters.load_parameters()
    return {
        "times": p.times,
        "motion": p.motion,
        "rests": p.rests,
        "variations": p.variations,
        "threshold_on": p.threshold_on,
        "threshold_off": p.threshold_off,
    }
