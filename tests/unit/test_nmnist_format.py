"""The official file layout, against tonic's reader, and every way in which a file can be wrong."""

import io
import zipfile

import numpy as np
import pytest
from tonic.datasets import NMNIST
from tonic.io import read_mnist_file

from respike.data.nmnist import binary_format
from respike.data.nmnist.binary_format import RecordingError, decode, encode, pack, unpack


def assert_as_tonic(raw):
    expected = read_mnist_file(io.BytesIO(raw), NMNIST.dtype, is_stream=True)
    for name, field in zip("xytp", unpack(decode(raw, "a.bin")), strict=True):
        np.testing.assert_array_equal(field, expected[name], err_msg=name)


def rows(*events):
    """Return a file of rows (x, y, t, p)."""
    return b"".join(bytes((x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255)) for x, y, t, p in events)


def test_extremes_pack_and_unpack():
    x, y, t, p = [0, 33, 5], [33, 0, 7], [0, 2**19 - 1, 1000], [1, 0, 1]
    packed = pack(x, y, t, p)
    assert packed.dtype == np.uint32
    for field, expected in zip(unpack(packed), (x, y, t, p), strict=True):
        assert field.tolist() == expected
    assert packed.tolist() == [
        t << 13 | p << 12 | y << 6 | x for x, y, t, p in zip(x, y, t, p, strict=True)
    ]


def test_one_event_by_hand():
    raw = bytes((3, 4, 0x80 | 0x01, 0x02, 0x03))
    assert [int(field[0]) for field in unpack(decode(raw, "a.bin"))] == [3, 4, 0x010203, 1]
    assert encode(decode(raw, "a.bin")) == raw


def test_made_files_read_as_by_tonic_and_written_back(made_recordings):
    for events in made_recordings:
        raw = encode(events)
        assert len(raw) == 5 * len(events)
        assert_as_tonic(raw)
        assert encode(decode(raw, "a.bin")) == raw


def test_real_files_read_as_by_tonic_and_written_back(real_recordings):
    with zipfile.ZipFile(real_recordings) as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            assert_as_tonic(raw)
            assert encode(decode(raw, name)) == raw


def test_clock_events_as_by_tonic():
    rng = np.random.default_rng(0)
    for _ in range(20):
        events = [(*rng.integers(0, 34, 2).tolist(), t, 1) for t in sorted(rng.integers(0, 999, 9))]
        for place in rng.integers(0, 10, 5):  # also first, last and one after the other
            events.insert(place, (0, 240, 0, 0))
        assert_as_tonic(rows(*events))


def test_clock_event_adds_its_time_by_hand():
    raw = rows((1, 2, 8000, 0), (0, 240, 0, 0), (3, 4, 5, 1))
    assert unpack(decode(raw, "a.bin"))[2].tolist() == [8000, 8192 + 5]


@pytest.mark.parametrize(
    "raw, said",
    [
        (rows((1, 1, 1, 0), (1, 1, 2, 0))[:-1], "truncated: 9 bytes"),
        (b"", "an empty recording"),
        (rows((0, 240, 0, 0)), "an empty recording"),
        (rows((1, 1, 1, 0), (34, 0, 2, 0)), "event 1: pixel x 34, y 0 is outside"),
        (rows((1, 1, 1, 0), (2, 2, 2, 0), (0, 241, 3, 0)), "event 2: pixel x 0, y 241"),
        (rows((97, 1, 1, 0)), "event 0: pixel x 97, y 1"),  # 97 & 63 is inside
        (rows((1, 1, 5, 0), (1, 1, 6, 0), (2, 2, 4, 0)), "event 2: time falls from 6 to 4 us"),
        (rows((1, 1, 2**19, 0)), "event 0: time 524288 us, not below 524288 us"),
        (rows(*[(0, 240, 0, 0)] * 64, (1, 1, 0, 0)), "event 0: time 524288 us"),
    ],
)
def test_bad_file_is_one_line_that_names_file_and_event(raw, said):
    with pytest.raises(RecordingError) as caught:
        decode(raw, "Train/5/00001.bin")
    assert str(caught.value).startswith(f"Train/5/00001.bin: {said}")
    assert "\n" not in str(caught.value)


def test_equal_times_and_a_repeated_event_are_no_error():
    assert len(decode(rows((1, 1, 7, 0), (0, 0, 7, 1), (0, 0, 7, 1)), "a.bin")) == 3


def test_many_recordings_are_checked_one_by_one():
    first, second = pack([1, 1], [1, 1], [5, 9], [0, 0]), pack([2, 2], [2, 2], [1, 3], [0, 0])
    good = np.concatenate((first, second))  # time falls between the two, which is right
    binary_format.check(good, np.array([0, 2, 4]), "recording {}".format)
    with pytest.raises(RecordingError, match="^recording 0: event 2: time falls from 9 to 1 us"):
        binary_format.check(good, np.array([0, 4]), "recording {}".format)
    with pytest.raises(RecordingError, match="^recording 1: event 1: time falls"):
        binary_format.check(good[[0, 1, 3, 2]], np.array([0, 2, 4]), "recording {}".format)
    with pytest.raises(RecordingError, match="^recording 1: an empty recording"):
        binary_format.check(good, np.array([0, 2, 2, 4]), "recording {}".format)
    outside = good.copy()
    outside[3] = pack(2, 34, 3, 0)
    with pytest.raises(RecordingError, match="^recording 1: event 1: pixel x 2, y 34 is outside"):
        binary_format.check(outside, np.array([0, 2, 4]), "recording {}".format)
