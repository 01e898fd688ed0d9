"""Preprocessing of the N-MNIST document: noise filter and time bins, equal to tonic's.

Functions work on many recordings at once: packed events (see respike.data.nmnist.binary_format) and
offsets, as `Recordings.take` gives them. The document's order is `denoise`, then bins.

Which part of a recording is binned decides the number of frames. Three readings, by argument:

- the whole recording (the authors' script): no `start_us` and `end_us`. Frames start at the first
  event, and a last window that the recording does not fill is dropped.
- the first 100 ms, 100,000 / t_window frames (the document): `start_us=0, end_us=100_000`.
- the first 100 ms as tonic's NMNIST cuts them (`first_saccade_only`): `cut` before all else, then
  as for the whole recording. It makes one to several frames less: events grow rare before 100 ms.
"""

from typing import NamedTuple

import numpy as np

from respike.data.nmnist.binary_format import SIZE
from respike.spiking.events import lowest_bit
from respike.spiking.numba_cache import njit, prange, uint64

N_PIXELS = SIZE * SIZE
N_INPUTS = 2 * N_PIXELS  # one for each pixel and polarity


class Bins(NamedTuple):
    """Binned recordings as a CSR matrix of n * num_steps rows and N_INPUTS columns.

    Row r * num_steps + s is time step s of recording r: its entries are starts[row] to
    starts[row + 1]. Inputs rise within a row, each stands there once. Input p * 1156 + y * 34 + x
    is the flat position in a frame (2, 34, 34). With `torch.sparse_csr_tensor(starts, inputs,
    counts.astype("float32"))` the input current of all steps is one product with the weights
    (2312, n_hidden).
    """

    starts: np.ndarray  # (n * num_steps + 1,) int32
    inputs: np.ndarray  # (n_entries,) int32
    counts: np.ndarray  # (n_entries,) int16, events of that input in that step, at least 1
    n_frames: np.ndarray  # (n,) int64, frames that tonic gives; it may be above num_steps


def denoise(
    events: np.ndarray, offsets: np.ndarray, filter_time: int = 10_000
) -> tuple[np.ndarray, np.ndarray]:
    """Return events and offsets without the events that no neighbour came before.

    Kept is an event if one of the four pixels beside it had an event less than `filter_time` us
    earlier, of any polarity, in the same recording. As tonic.transforms.Denoise has it: before its
    first event a pixel counts as active until t = filter_time, and only pixels up to the largest x
    and y of the recording exist. A recording may end up empty.
    """
    if not 0 <= filter_time < 2**30:
        raise ValueError(f"filter_time is {filter_time} us, must be from 0 to below 2^30")
    kept = np.empty_like(events)
    counts = np.empty(len(offsets) - 1, np.int64)
    _denoise(events, offsets, np.int32(filter_time), kept, counts)
    ends = np.concatenate(([0], np.cumsum(counts)))
    packed = np.empty(ends[-1], np.uint32)
    _close_gaps(kept, offsets, packed, ends)
    return packed, ends


def cut(events: np.ndarray, offsets: np.ndarray, before_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Return events and offsets with only the events at t < before_us."""
    keep = events >> 13 < before_us
    kept_until = np.concatenate(([0], np.cumsum(keep)))
    return events[keep], kept_until[offsets]


def frame_counts(
    events: np.ndarray,
    offsets: np.ndarray,
    t_window: int,
    start_us: int | None = None,
    end_us: int | None = None,
) -> np.ndarray:
    """Return how many frames of t_window us tonic's ToFrame makes of each recording, (n,) int64.

    max(1, floor((end - start) / t_window)); start and end are the times of the first and the last
    event where not given. 0 for an empty recording (tonic fails), unless both are given.
    """
    return _windows(events, offsets, t_window, start_us, end_us)[1]


def frames(
    events: np.ndarray, t_window: int, start_us: int | None = None, end_us: int | None = None
) -> np.ndarray:
    """Return one recording as dense frames (n_frames, 2, 34, 34) int16: polarity, y, x.

    Equal to tonic.transforms.ToFrame(sensor_size=(34, 34, 2), time_window=t_window,
    start_time=start_us, end_time=end_us). For figures and checks; see `bin_events` for training.
    """
    offsets = np.array([0, len(events)])
    n_frames = int(frame_counts(events, offsets, t_window, start_us, end_us)[0])
    bins = bin_events(events, offsets, t_window, n_frames, start_us, end_us)
    dense = np.zeros((n_frames, N_INPUTS), np.int16)
    dense[np.repeat(np.arange(n_frames), np.diff(bins.starts)), bins.inputs] = bins.counts
    return dense.reshape(n_frames, 2, SIZE, SIZE)


def bin_events(
    events: np.ndarray,
    offsets: np.ndarray,
    t_window: int,
    num_steps: int,
    start_us: int | None = None,
    end_us: int | None = None,
) -> Bins:
    """Return recordings binned into `num_steps` steps of t_window us each.

    Steps hold tonic's frames as `frames` gives them: frames after num_steps are dropped, a
    recording with fewer frames is followed by empty steps (as tonic's collation pads a batch).
    """
    if num_steps < 0:
        raise ValueError(f"num_steps is {num_steps}, must not be negative")
    first_us, n_frames = _windows(events, offsets, t_window, start_us, end_us)
    n = len(offsets) - 1
    if max(len(events), n * num_steps) >= 2**31:
        raise ValueError(f"{len(events)} events in {n * num_steps} rows: bin fewer at a time")
    inputs, counts = np.empty(len(events), np.int32), np.empty(len(events), np.int16)
    row_ends = np.empty((n, num_steps), np.int64)
    until = np.minimum(n_frames, num_steps)
    entries = np.empty(n, np.int64)
    _bin(events, offsets, first_us, until, t_window, inputs, counts, row_ends, entries)
    ends = np.concatenate(([0], np.cumsum(entries)))
    starts = np.zeros(n * num_steps + 1, np.int32)
    starts[1:] = (row_ends + ends[:-1, None]).reshape(-1)
    packed_inputs, packed_counts = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.int16)
    _close_gaps(inputs, offsets, packed_inputs, ends)
    _close_gaps(counts, offsets, packed_counts, ends)
    return Bins(starts, packed_inputs, packed_counts, n_frames)


def _windows(events, offsets, t_window, start_us, end_us) -> tuple[np.ndarray, np.ndarray]:
    """Return the start in us and the number of frames of each recording."""
    if t_window != int(t_window) or t_window < 1:
        raise ValueError(f"t_window is {t_window} us, must be a whole number of at least 1")
    n = len(offsets) - 1
    full = offsets[1:] > offsets[:-1]
    first_us, last_us = np.zeros(n, np.int64), np.zeros(n, np.int64)
    first_us[full] = events[offsets[:-1][full]] >> 13
    last_us[full] = events[offsets[1:][full] - 1] >> 13
    if start_us is not None:
        first_us[:] = start_us
    if end_us is not None:
        last_us[:] = end_us
    n_frames = np.maximum((last_us - first_us) // t_window, 1)
    if start_us is None or end_us is None:
        n_frames[~full] = 0
    return first_us, n_frames


# A pixel is addressed by the low 12 bits of an event, y << 6 | x: beside it are +-1 and +-64, and
# beyond the sensor there are always free places. No content of a damaged table leads outside.
_PLACES = 64 * 64
_N_WORDS = N_INPUTS // 64 + 1


@njit(cache=True, parallel=True)
def _denoise(events, offsets, filter_time, kept, counts):
    """Write the kept events of recording r to kept[offsets[r]:], their number to counts[r]."""
    for r in prange(len(counts)):
        x_max, y_max = 0, 0
        for e in range(offsets[r], offsets[r + 1]):
            x_max = max(x_max, events[e] & 63)
            y_max = max(y_max, events[e] >> 6 & 63)
        # until[64 + place]: time up to which the pixel lets its neighbours pass; 0 is never.
        until = np.zeros(_PLACES + 128, np.int32)
        for y in range(y_max + 1):
            for x in range(x_max + 1):
                until[64 + 64 * y + x] = filter_time
        n = offsets[r]
        for e in range(offsets[r], offsets[r + 1]):
            event = events[e]
            place = 64 + np.int64(event & 0xFFF)
            t = np.int32(event >> 13)
            until[place] = t + filter_time
            latest = max(
                max(until[place - 1], until[place + 1]), max(until[place - 64], until[place + 64])
            )
            kept[n] = event
            n += latest > t
        counts[r] = n - offsets[r]


@njit(cache=True, parallel=True)
def _bin(events, offsets, first_us, until, t_window, inputs, counts, row_ends, entries):
    """Write the entries of recording r to inputs[offsets[r]:]; row_ends[r, s] counts them."""
    for r in prange(len(entries)):
        start = offsets[r]
        seen = np.zeros(_N_WORDS, np.uint64)  # which inputs had an event in this step, as bits
        count = np.zeros(N_INPUTS, np.int16)
        n, step = start, 0
        ends_us = first_us[r] + t_window
        for e in range(start, offsets[r + 1]):
            t = np.int64(events[e] >> 13)
            if t >= ends_us and step < until[r]:
                n = _write_step(seen, count, inputs, counts, n)
                while t >= ends_us and step < until[r]:
                    row_ends[r, step] = n - start
                    step += 1
                    ends_us += t_window
            if step >= until[r]:
                break
            i = (
                N_PIXELS * np.int64(events[e] >> 12 & 1)
                + SIZE * np.int64(events[e] >> 6 & 63)
                + np.int64(events[e] & 63)
            )
            if t >= first_us[r] and i < N_INPUTS:
                seen[i >> 6] |= uint64(1) << uint64(i & 63)
                count[i] += 1
        n = _write_step(seen, count, inputs, counts, n)
        row_ends[r, step:] = n - start
        entries[r] = n - start


@njit(cache=True)
def _write_step(seen, count, inputs, counts, n):
    """Append the inputs of a step to inputs[n:], forget them, return the new end."""
    for w in range(_N_WORDS):
        word = seen[w]
        while word != uint64(0):
            i = 64 * w + lowest_bit(word)
            inputs[n], counts[n] = i, count[i]
            count[i] = 0
            n += 1
            word &= word - uint64(1)
        seen[w] = uint64(0)
    return n


@njit(cache=True, parallel=True)
def _close_gaps(values, starts, packed, ends):
    """Move the first values of each recording, which start at starts[r], to packed[ends[r]:]."""
    for r in prange(len(ends) - 1):
        packed[ends[r] : ends[r + 1]] = values[starts[r] : starts[r] + ends[r + 1] - ends[r]]
