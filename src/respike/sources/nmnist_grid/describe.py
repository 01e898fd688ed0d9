"""What N-MNIST recordings are: length, events, noise filter and frames (document, 3.1 and 3.2)."""

import numpy as np
from scipy import ndimage

from respike.data.emulator import parameters
from respike.data.inputs import Inputs, load
from respike.data.nmnist import event_frames
from respike.data.nmnist.binary_format import SIZE
from respike.data.nmnist.statistics import recording_of
from respike.runs.progress import Progress
from respike.runs.result import Result, SettingsError
from respike.sources.nmnist_grid.settings import Describe as Settings

__all__ = ["Settings", "load", "run"]


def run(settings: Settings, data: Inputs, seed: int, progress: Progress) -> Result:
    """Measure; nothing here is random."""
    if data.recordings is None or data.mnist is None:
        raise SettingsError("needed are MNIST and a table of N-MNIST recordings")
    s, half = settings, data.recordings.splits["train"]
    events, offsets = half.take(np.arange(min(s.n, len(half))))
    labels = half.labels[: len(offsets) - 1]
    kept, kept_offsets = event_frames.denoise(events, offsets, s.filter_time)
    progress("step", 1, 2)
    t_ms = (events >> 13) / 1000
    last = t_ms[offsets[1:] - 1]
    counts = np.diff(offsets)
    first_100 = np.add.reduceat(t_ms < 100, offsets[:-1])
    whole = event_frames.frame_counts(kept, kept_offsets, s.t_window)
    x, y = events & 63, events >> 6 & 63
    removed = 1 - np.diff(kept_offsets) / counts
    shown = int(np.argmax(labels == s.digit))
    metrics = {
        "n_recordings": len(counts),
        "n_train": len(half),
        "n_test": len(data.recordings.splits["test"]) if "test" in data.recordings.splits else 0,
        "duration_ms": last.mean(),
        "duration_ms_least": last.min(),
        "duration_ms_most": last.max(),
        "events": counts.mean(),
        "share_before_100_ms": first_100.sum() / len(events),
        "frames": whole.mean(),
        "side_px": max(x.max(), y.max()) + 1,
        "on_where_ink_falls": _on_where_ink_falls(
            data.mnist.train_images[half.index[: len(labels)]], events, offsets
        ),
        "on_share": (events >> 12 & 1).mean(),
        "noise_share": 1 - len(kept) / len(events),
        "noise_share_shown": removed[shown],
    }
    frames, times = _figure_4(half.recording(shown), s)
    progress("step", 2, 2)
    return Result(
        metrics={name: float(value) for name, value in metrics.items()},
        arrays={
            "durations_ms": last,
            "counts": counts,
            "removed": removed,
            "frame_before": frames[0],
            "frame_after": frames[1],
            "frame_ms": np.array(times),
        },
    )


def _on_where_ink_falls(images: np.ndarray, events: np.ndarray, offsets: np.ndarray) -> float:
    """Return the share of ON events where the first saccade moves ink away from a pixel.

    Pixels whose MNIST intensity falls by half its range or more between the two places at which
    the image rests before and after the first saccade; those places are of the fitted camera.
    """
    p = parameters.load_parameters()
    rest = p.rests[0]
    places = [p.motion[0], p.motion[(p.times >= rest[0]) & (p.times <= rest[1])].mean(0)]
    edge = (SIZE - 28) // 2
    padded = np.pad(images / 255.0, ((0, 0), (edge, edge), (edge, edge)))
    start, end = (ndimage.shift(padded, (0, y, x), order=1) for x, y in places)
    falls = np.zeros((len(images), 64, 64), bool)
    falls[:, :SIZE, :SIZE] = end - start <= -0.5
    chosen = falls[recording_of(offsets), events >> 6 & 63, events & 63]
    chosen &= (events >> 13) < rest[0] * 1000
    return (events[chosen] >> 12 & 1).mean()


def _figure_4(events: np.ndarray, s: Settings) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the fullest frame before and after the filter, (2, 2, 34, 34), and its times in ms."""
    offsets = np.array([0, len(events)])
    kept, _ = event_frames.denoise(events, offsets, s.filter_time)
    # Equal windows for both: frames start at 0, not at each one's first event.
    end = int(events[-1] >> 13) + s.show_t_window
    both = [event_frames.frames(e, s.show_t_window, 0, end) for e in (events, kept)]
    fullest = int(both[0].sum((1, 2, 3)).argmax())
    start_ms = fullest * s.show_t_window / 1000
    frames = np.stack([one[fullest] for one in both])
    return frames, (start_ms, start_ms + s.show_t_window / 1000)
