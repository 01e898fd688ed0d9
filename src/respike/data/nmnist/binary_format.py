"""Recordings of N-MNIST: the official 40-bit layout of a file, and one event as 32 bits.

A file is a row of 5-byte events: x, y, then one bit of polarity and 23 bits of time in us, high
byte first (Orchard et al. 2015, Front. Neurosci. 9:437, and tonic.io.read_mnist_file). An event
with y = 240 only says that the clock ran over: it adds 2^13 us to its own time and all later ones.

Here an event is a uint32, `t << 13 | p << 12 | y << 6 | x`: it sorts by time, and a table of all
70,000 recordings is 1.1 GB. Numbers of events in messages count from 0, clock
events left out.
"""

import numpy as np

SIZE = 34  # pixels along x and along y
T_LIMIT_US = 2**19  # a packed event holds times below; the longest recording known has 0.34 s
_OVERFLOW_Y, _OVERFLOW_US = 240, 2**13  # tonic.io.read_mnist_file


class RecordingError(ValueError):
    """A recording breaks the format; the message names the file and the event."""


def pack(x, y, t, p) -> np.ndarray:
    """Return events as uint32; x and y below 34, t in us below 2^19, p 0 or 1 are not checked."""
    x, y, t, p = (np.asarray(field).astype(np.uint32) for field in (x, y, t, p))
    return t << 13 | p << 12 | y << 6 | x


def unpack(events: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y, t (us) and p of packed events, each int32."""
    fields = events & 63, events >> 6 & 63, events >> 13, events >> 12 & 1
    return tuple(field.astype(np.int32) for field in fields)


def decode(raw: bytes, name: str) -> np.ndarray:
    """Return the packed events (n,) uint32 of one file's bytes, in the order of the file.

    Raises
    ------
    RecordingError
        The file is truncated, empty, has an event outside the 34 x 34 pixels, a time that falls
        or one of 2^19 us or more. `name` stands for the file in the message.
    """
    if len(raw) % 5:
        raise RecordingError(f"{name}: truncated: {len(raw)} bytes are no whole number of events")
    table = np.frombuffer(raw, np.uint8).reshape(-1, 5).astype(np.int64)  # (n_rows, 5)
    t = (table[:, 2] & 127) << 16 | table[:, 3] << 8 | table[:, 4]
    clock = table[:, 1] == _OVERFLOW_Y
    if clock.any():
        t += _OVERFLOW_US * np.cumsum(clock)
        table, t = table[~clock], t[~clock]
    x, y = table[:, 0], table[:, 1]
    # Both before packing, which would cut the numbers off.
    if (e := _first((x >= SIZE) | (y >= SIZE))) is not None:
        raise RecordingError(f"{name}: event {e}: {_outside(x[e], y[e])}")
    if (e := _first(t >= T_LIMIT_US)) is not None:
        raise RecordingError(f"{name}: event {e}: time {t[e]} us, not below {T_LIMIT_US} us")
    events = pack(x, y, t, table[:, 2] >> 7)
    check(events, np.array([0, len(events)]), lambda _: name)
    return events


def encode(events: np.ndarray) -> bytes:
    """Return packed events as the bytes of an official file; no clock event is ever needed."""
    x, y, t, p = unpack(events)
    table = np.empty((len(events), 5), np.uint8)
    for column, field in enumerate((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255)):
        table[:, column] = field
    return table.tobytes()


def check(events: np.ndarray, offsets: np.ndarray, names) -> None:
    """Check packed recordings: recording i is events[offsets[i]:offsets[i + 1]], called names(i).

    Raises
    ------
    RecordingError
        A recording is empty, has an event outside the 34 x 34 pixels or a time that falls.
    """
    if (i := _first(offsets[1:] == offsets[:-1])) is not None:
        raise RecordingError(f"{names(i)}: an empty recording: no events")

    def where(event: int) -> str:
        i = int(np.searchsorted(offsets, event, side="right")) - 1
        return f"{names(i)}: event {event - int(offsets[i])}"

    x, y = events & 63, events >> 6 & 63
    if (e := _first((x >= SIZE) | (y >= SIZE))) is not None:
        raise RecordingError(f"{where(e)}: {_outside(x[e], y[e])}")
    t = events >> 13
    falls = t[1:] < t[:-1]
    falls[offsets[1:-1] - 1] = False  # the next recording starts anew
    if (e := _first(falls)) is not None:
        raise RecordingError(f"{where(e + 1)}: time falls from {t[e]} to {t[e + 1]} us")


def _first(wrong: np.ndarray) -> int | None:
    """Return the first place where `wrong` is true."""
    place = int(wrong.argmax()) if wrong.size else 0
    return place if wrong.size and wrong[place] else None


def _outside(x: int, y: int) -> str:
    return f"pixel x {x}, y {y} is outside the {SIZE} x {SIZE} pixels"
