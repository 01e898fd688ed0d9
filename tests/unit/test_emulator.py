"""The emulated camera: physics worked by hand, determinism, the two implementations."""

import dataclasses
import json

import numpy as np
import pytest

from respike.data.emulator import camera as emulator
from respike.data.emulator import cpu, gpu, parameters
from respike.data.nmnist.binary_format import check, unpack

STEPS = 100


def camera(**changes):
    """Return a plain camera: no chance, no lag, one resting image, thresholds 0.1 everywhere."""
    values = {
        "times": np.array([0.0, 1.0, 2.0, float(STEPS)]),
        "motion": np.zeros((4, 2)),
        "rests": np.array([[40.0, 50.0], [60.0, 70.0]]),
        "variations": np.array([[0.0, 0.0, 0.0, 0.0, STEPS]]),
        "blur": 0.4,
        "contrast": 0.8,
        "affine": np.zeros((2, 2)),
        "threshold_on": np.full((34, 34), 0.1, np.float32),
        "threshold_off": np.full((34, 34), 0.1, np.float32),
        "threshold_jitter": 0.0,
        "photoreceptor": 0.0,
        "refractory": 0.0,
        "time_jitter": 0.0,
        "initial_spread": 0.0,
        "noise_on": 0.0,
        "noise_off": 0.0,
    }
    return parameters.Parameters(**{**values, **changes})


def moving(speed, **changes):
    """Return a plain camera whose image moves to the right by `speed` px per ms."""
    times = np.linspace(0, STEPS, 5)
    motion = np.stack([speed * times, np.zeros(5)], 1)
    return camera(times=times, motion=motion, **changes)


def block():
    """Return one image: a white block 10 px wide and high, with its left edge at column 9."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 9:19, 9:19] = 255
    return image


def digits(mnist_folder, n):
    from respike.data import mnist

    return mnist.load(mnist_folder).train_images[:n]


def split(events, counts):
    return np.split(events, np.cumsum(counts)[:-1])


# --------------------------------------------------------------------------------------- physics


def test_a_resting_image_gives_no_events():
    events, counts = emulator.emulate(block(), [0], 0, camera())
    assert len(events) == 0 and counts.tolist() == [0]


def test_every_step_of_the_light_by_a_threshold_is_one_event():
    # The block's right edge, at column 19 of the image and so 22 of the sensor, moves on by 3 px:
    # pixels 22 to 24 go from bright to dark, by -log(1 - 0.8) = 1.609 in all: 16 times 0.1.
    events, _ = emulator.emulate(block(), [0], 0, moving(0.03 * 1.5))
    x, y, t, p = unpack(events)
    row = y == 17
    for column in (23, 24):
        assert p[row & (x == column)].tolist() == [0] * 16
    # The left edge, at 12 of the sensor, leaves pixels 12 to 14: they get brighter again.
    for column in (13, 14):
        assert p[row & (x == column)].tolist() == [1] * 16
    assert not (row & (x == 17)).any(), "inside the block nothing changes"
    assert not (y < 11).any() and not (y > 22).any(), "beyond the blur nothing changes"


def test_events_come_when_the_edge_passes():
    speed = 0.05
    events, _ = emulator.emulate(block(), [0], 0, moving(speed))
    x, y, t, p = unpack(events)
    here = (x == 24) & (y == 17)
    # I = Phi((edge - centre) / blur); the edge starts 2.5 px left of the centre of pixel 24. The
    # n-th OFF event comes when -log(1 - 0.8 I) = n / 10.
    from scipy.special import ndtri

    intensity = (1 - np.exp(-0.1 * np.arange(1, 17))) / 0.8
    expected_ms = (2.5 + 0.4 * ndtri(intensity)) / speed
    # Fine samples and steps of 1 ms, each interpolated along a line: within a millisecond.
    assert np.allclose(t[here] / 1000, expected_ms, atol=1.0)
    assert abs((t[here] / 1000 - expected_ms).mean()) < 0.4


def test_twice_the_threshold_gives_half_the_events():
    p = moving(0.045)
    both = [
        emulator.emulate(block(), [0], 0, dataclasses.replace(
            p, threshold_off=np.full((34, 34), size, np.float32)))[0]
        for size in (0.1, 0.2)
    ]  # fmt: skip
    one, two = ((events >> 12 & 1 == 0) & (events & 4095 == 17 << 6 | 24) for events in both)
    assert one.sum() == 16 and two.sum() == 8


def test_the_refractory_period_parts_the_events_of_a_pixel():
    events, _ = emulator.emulate(block(), [0], 0, moving(0.045, refractory=2.5))
    t = (events[events & 4095 == 17 << 6 | 24] >> 13).astype(int)
    assert len(t) > 5 and np.diff(t).min() >= 2499  # us; time stamps are cut off


@pytest.mark.parametrize("backend", [cpu, gpu])
def test_a_pixel_that_was_blind_sees_the_change_late(backend):
    # The edge passes pixel 23 within three milliseconds and rests. Blind for 5 ms after each
    # event, the pixel gives the rest of its 16 events one by one, 5 ms apart, the image at rest.
    times = np.arange(STEPS + 1.0)
    motion = np.stack([np.interp(times, [4, 7], [0, 3]), np.zeros(STEPS + 1)], 1)
    p = camera(times=times, motion=motion, refractory=5.0)
    key = emulator.recording_keys(np.arange(1), 0)
    events, _ = backend.emulate(block(), key, *emulator.motion_paths(p, key), p, "cpu")
    t = (events[(events & 4095) == (17 << 6 | 23)] >> 13).astype(int)
    assert len(t) == 16
    assert (np.abs(np.diff(t) - 5000) <= 1).all()


def test_the_photoreceptor_makes_events_late_and_loses_none():
    fast, _ = emulator.emulate(block(), [0], 0, moving(0.03))
    slow, _ = emulator.emulate(block(), [0], 0, moving(0.03, photoreceptor=4.0))
    times = [(e[(e & 4095) == (17 << 6 | 23)] >> 13).astype(float) / 1000 for e in (fast, slow)]
    assert len(times[0]) == len(times[1]) == 16
    # Behind a ramp a lag of 4 ms comes out as 4 ms; the darkness rises ever faster, then stops.
    assert 2.0 < (times[1] - times[0]).mean() < 5.0


def test_contrast_and_blur_change_the_light_as_the_formula_says():
    weights, first = parameters.blur_taps(0.6)
    # Five taps reach 2.17 px or further: beyond lies 2 * Phi(-2.17 / 0.6) = 3e-4 at most.
    assert (np.abs(weights.sum(1) - 1) < 3e-4).all()
    # A sample in the middle of image pixel 14 sees most of it, and its neighbours alike.
    at = (parameters.SIDE - 1) // 2 + 2
    assert (parameters.SIDE - 1) / 2 + 1.5 == at
    taps = dict(zip(range(first[at], first[at] + parameters.TAPS), weights[at], strict=True))
    assert np.isclose(taps[14], 0.5953, atol=1e-3)  # erf(0.5 / (0.6 sqrt 2))
    assert np.isclose(taps[13], taps[15])


def test_background_events_have_their_rate_and_no_place_of_their_own():
    p = camera(noise_on=1e-3, noise_off=2e-4)
    black = np.zeros((60, 28, 28), np.uint8)
    events, counts = emulator.emulate(black, np.arange(60), 3, p)
    x, y, t, polarity = unpack(events)
    expected = np.array([2e-4, 1e-3]) * STEPS * 34 * 34 * 60
    found = np.bincount(polarity)
    assert (np.abs(found - expected) < 4 * np.sqrt(expected)).all(), (found, expected)
    assert abs(x.mean() - 16.5) < 0.4 and abs(y.mean() - 16.5) < 0.4
    assert abs(t.mean() / 1000 - STEPS / 2) < 1.5 and t.max() < STEPS * 1000
    assert counts.std() > 0


def test_a_late_saccade_shifts_the_clock_of_its_part_only():
    p = camera(
        times=np.arange(0, STEPS + 1.0),
        motion=np.stack([np.arange(0, STEPS + 1.0), np.zeros(STEPS + 1)], 1) / 50,
        variations=np.array([[3.0, -2.0, 0.25, -0.5, 90.0]]),
    )
    path, end = emulator.motion_paths(p, emulator.recording_keys(np.arange(1), 0))
    x, y = path[0].T
    assert np.allclose(y, -0.5) and end.tolist() == [90.0]
    assert np.isclose(x[30], 30 / 50 + 0.25)
    assert np.isclose(x[55], (55 - 3) / 50 + 0.25)
    assert np.isclose(x[80], (80 + 2) / 50 + 0.25)


# ----------------------------------------------------------------------------------- determinism


def test_a_recording_depends_on_index_and_seed_alone(mnist_folder, threads):
    images = digits(mnist_folder, 6)
    events, counts = emulator.emulate(images, np.arange(6), 5)
    all_of_them = split(events, counts)
    # Another batch, another order, another number of threads.
    threads(2)
    order = np.array([4, 1, 5])
    events, counts = emulator.emulate(images[order], order, 5)
    for one, i in zip(split(events, counts), order, strict=True):
        assert np.array_equal(one, all_of_them[i])
    other_seed, _ = emulator.emulate(images[:1], [0], 6)
    other_index, _ = emulator.emulate(images[:1], [1], 5)
    assert not np.array_equal(other_seed, all_of_them[0])
    assert not np.array_equal(other_index, all_of_them[0])


def test_blocks_give_what_one_call_gives(mnist_folder, monkeypatch):
    images = digits(mnist_folder, 5)
    whole, counts = emulator.emulate(images, np.arange(5), 1)
    monkeypatch.setattr(emulator, "BLOCK", 2)
    found = list(emulator.emulate_blocks(images, np.arange(5), 1))
    assert [part for part, _, _ in found] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert np.array_equal(np.concatenate([e for _, e, _ in found]), whole)
    assert np.array_equal(np.concatenate([n for _, _, n in found]), counts)


def test_recordings_have_the_form_of_real_ones(mnist_folder):
    events, counts = emulator.emulate(digits(mnist_folder, 20), np.arange(20))
    offsets = np.concatenate(([0], np.cumsum(counts)))
    check(events, offsets, str)  # not empty, on the sensor, in order of time
    # Bounds of 500 real recordings (least and most), with a tenth to spare.
    assert counts.min() > 1_000 and counts.max() < 8_000
    last_ms = (events[offsets[1:] - 1] >> 13) / 1000
    assert last_ms.min() > 280 and last_ms.max() < 320


def test_more_events_than_expected_are_all_there(mnist_folder, monkeypatch):
    images = digits(mnist_folder, 2)
    whole, counts = emulator.emulate(images, np.arange(2))
    monkeypatch.setattr(cpu, "CAPACITY", 100)
    again, _ = emulator.emulate(images, np.arange(2))
    assert counts.max() > 100 and np.array_equal(again, whole)


# --------------------------------------------------------------------------- second implementation


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_gpu_code_gives_the_same_recordings(mnist_folder, device):
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    images, index = digits(mnist_folder, 12), np.arange(12)
    p = parameters.load_parameters()
    ours, counts = emulator.emulate(images, index, 2, p)
    key = emulator.recording_keys(index, 2)
    theirs, their_counts = gpu.emulate(images, key, *emulator.motion_paths(p, key), p, device)
    # Sums are rounded in another order: a crossing may move by some microseconds, and of some
    # ten thousand crossings one may be lost or won.
    assert np.abs(counts - their_counts).max() <= 3
    for a, b in zip(split(ours, counts), split(theirs, their_counts), strict=True):
        place = [np.sort((e & 8191).astype(np.int64) << 19 | e >> 13) for e in (a, b)]
        if len(a) == len(b):
            same_place = place[0] >> 19 == place[1] >> 19
            late_us = np.abs((place[0] & 0x7FFFF) - (place[1] & 0x7FFFF))[same_place]
            assert same_place.mean() > 0.999 and (late_us <= 20).mean() > 0.999


def test_random_numbers_are_the_same_in_both():
    import torch

    key = emulator.recording_keys(np.arange(50), 9)
    number = np.arange(50) * 4099
    theirs = gpu._normal(torch.from_numpy(key.view(np.int64)), torch.from_numpy(number)).numpy()
    ours = np.array([cpu.normal(k, n) for k, n in zip(key, number, strict=True)])
    assert np.allclose(ours, theirs, atol=1e-6)
    many = np.array([cpu.normal(key[0], n) for n in range(4000)])
    assert abs(many.mean()) < 0.06 and abs(many.std() - 1) < 0.05


# ------------------------------------------------------------------------------ parameters, errors


def test_the_parameters_of_the_project_say_where_they_come_from():
    content = json.loads(parameters.PARAMETERS.read_text())
    about = content["provenance"]
    for key in ("recordings_sha256", "mnist_sha256", "fitted_to_images", "code", "date"):
        assert about[key], key
    p = parameters.load_parameters()
    assert p.threshold_on.shape == p.threshold_off.shape == (34, 34)
    assert p.motion.shape == (len(p.times), 2)
    assert np.abs(p.motion).max() + np.abs(p.variations[:, 2:4]).max() < parameters.MARGIN
    for threshold in (p.threshold_on, p.threshold_off):
        assert 0.39 < threshold.min() / np.median(threshold) and threshold.max() < 0.6
    assert p.refractory < 7  # the pixels that wait are kept for eight steps
    assert p.steps() < 2**19 / 1000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("{}", "not a file of emulator parameters"),
        ('{"parameters": {"blur": 1}}', "not a file of emulator parameters"),
    ],
)
def test_a_wrong_file_of_parameters_is_named_with_the_cure(tmp_path, content, said):
    path = tmp_path / "emulator.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(parameters.EmulatorError, match=said) as error:
        parameters.load_parameters(path)
    assert str(path) in str(error.value) and "fit_emulator" in str(error.value)


@pytest.mark.parametrize(
    ("images", "indices"),
    [
        (np.zeros((2, 27, 28), np.uint8), [0, 1]),
        (np.zeros((2, 28, 28), np.float32), [0, 1]),
        (np.zeros((28, 28), np.uint8), [0]),
        (np.zeros((2, 28, 28), np.uint8), [0]),
    ],
)
def test_images_of_another_form_are_refused(images, indices):
    with pytest.raises(parameters.EmulatorError):
        emulator.emulate(images, indices)


def test_no_images_give_no_events():
    events, counts = emulator.emulate(np.zeros((0, 28, 28), np.uint8), [])
    assert len(events) == 0 and len(counts) == 0 and events.dtype == np.uint32
