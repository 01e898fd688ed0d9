"""The fast paths give the spikes of the plain path, on real images."""

import dataclasses

import numpy as np
import pytest
import torch
from test_kulkarni_neuron import CODED, CORRECTED, PRINTED, PRINTED_C, C

from respike.data import mnist
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward import reference as model
from respike.sources.kulkarni_forward.cpu import LANES, Trains, hidden_events, layer, padded
from respike.sources.kulkarni_forward.gpu import forward
from respike.sources.kulkarni_forward.modified_pass import features_of, modified_events
from respike.sources.kulkarni_forward.neuron import current_to_spikes, pixel_trains

RNG = np.random.default_rng(3)
FILTERS = RNG.uniform(-1 / 3, 1 / 3, (12, 3, 3)) + RNG.normal(0, 0.2, (12, 1, 1))
WEIGHTS = np.abs(RNG.normal(size=(8112, 10)))
CASES = {  # variant, hidden gain, modified gain, output gain
    "as_coded": (CODED, 1e12, 1e12, 1e12),
    "corrected": (CORRECTED, 1e6, 5e5, 10.0),
    "corrected, weak": (CORRECTED, 2e5, 1e5, 100.0),
}


@pytest.fixture(scope="module")
def images(mnist_folder):
    return mnist.load(mnist_folder).test_images[:6]


@pytest.fixture(params=CASES, scope="module")
def case(request):
    variant, gain, modified_gain, gain_out = CASES[request.param]
    net = kulkarni_pass.Network(C, variant, FILTERS, gain, WEIGHTS, gain_out)
    return net, modified_gain


def events(net, image):
    spk_t = np.empty(net.most_spikes(), np.int32)
    spk_n = np.empty(net.most_spikes(), np.int32)
    n = hidden_events(
        image.reshape(-1), net.tables[0], net.tables[1], 12, net.gain_pA, net.tables[2],
        C.num_steps, spk_t, spk_n,
    )  # fmt: skip
    return spk_t[:n], spk_n[:n]


def as_trains(spk_t, spk_n):
    spk = np.zeros((C.num_steps, 8112), bool)
    spk[spk_t, spk_n] = True
    assert spk.sum() == len(spk_t)  # no event twice
    return spk


def test_hidden_spikes_of_the_original_pass_are_equal_one_by_one(case, images):
    net, _ = case
    trains = pixel_trains(C, net.variant)
    for image in images[:3]:
        cur = model.hidden_currents(image, FILTERS, net.gain_pA, trains)
        plain = current_to_spikes(cur, C, net.variant)
        spk_t, spk_n = events(net, image)
        assert (np.diff(spk_t) >= 0).all()
        assert plain.sum() > 500
        assert (as_trains(spk_t, spk_n) == plain).all()


@pytest.mark.parametrize("decay", ["printed", 0.966])
def test_hidden_spikes_of_the_modified_pass_are_equal_one_by_one(case, images, decay):
    net, gain = case
    decay = model.modified_decay(C) if decay == "printed" else decay
    table = net.table(gain, decay)
    spk_t = np.empty(net.most_spikes(), np.int32)
    spk_n = np.empty(net.most_spikes(), np.int32)
    for image in images[:3]:
        features = np.empty(8112)
        features_of(image.reshape(-1), padded(FILTERS), 12, features)
        assert (features == model.feature_map(image, FILTERS)).all()
        cur = model.modified_currents(features, gain, decay, C.num_steps)
        plain = current_to_spikes(cur, C, net.variant)
        trains = (table.trains.offsets, table.trains.times)
        n = modified_events(features, table.edges, trains, spk_t, spk_n, C.num_steps)
        assert plain.sum() > 100
        assert (as_trains(spk_t[:n], spk_n[:n]) == plain).all()


def test_the_table_is_right_at_both_sides_of_every_edge(case):
    net, gain = case
    table = net.table(gain, 0.966)
    assert len(table.edges) > 5 and (np.diff(table.edges) > 0).all()
    some = table.edges[:: max(1, len(table.edges) // 40)]
    drive = gain * 0.966 ** np.arange(C.num_steps)[:, None]
    alone = dataclasses.replace(net.variant, holds_first=False)
    for k in (some, np.nextafter(some, 0)):
        plain = Trains.of(current_to_spikes(drive * k, C, alone))
        index = np.searchsorted(table.edges, k, side="right")
        for at, i in enumerate(index):
            mine = table.trains.times[table.trains.offsets[i] : table.trains.offsets[i + 1]]
            theirs = plain.times[plain.offsets[at] : plain.offsets[at + 1]]
            assert (mine == theirs).all()


@pytest.mark.parametrize("which", ["original", "modified"])
def test_counts_of_whole_passes_are_equal(case, images, which):
    net, gain = case
    decay = None if which == "original" else model.modified_decay(C)
    table = None if decay is None else net.table(gain, decay)
    hidden, counts = kulkarni_pass.run(net, images[:2], table)
    for k, image in enumerate(images[:2]):
        spk, out = model.forward(
            image, FILTERS, WEIGHTS.T, C, net.variant, gain if decay else net.gain_pA,
            net.gain_out_pA, decay,
        )  # fmt: skip
        assert (hidden[k] == spk.sum(axis=0)).all()
        assert (counts[k] == out.sum(axis=0)).all()
    assert counts.sum() > 0


@pytest.mark.parametrize("which", ["original", "modified"])
def test_torch_gives_the_same_counts(case, images, which):
    net, gain = case
    decay = None if which == "original" else model.modified_decay(C)
    hidden, counts = forward(
        images[:2], FILTERS, WEIGHTS.T, C, net.variant, gain if decay else net.gain_pA,
        net.gain_out_pA, dtype=torch.float64, decay=decay,
    )  # fmt: skip
    table = None if decay is None else net.table(gain, decay)
    ours = kulkarni_pass.run(net, images[:2], table)
    assert (hidden == ours[0]).all() and (counts == ours[1]).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("which", ["original", "modified"])
def test_a_gpu_gives_the_same_counts(case, images, which):
    net, gain = case
    decay = None if which == "original" else model.modified_decay(C)
    args = (images, FILTERS, WEIGHTS.T, C, net.variant, gain if decay else net.gain_pA)
    more = {"dtype": torch.float64, "decay": decay}
    on_cpu = forward(*args, net.gain_out_pA, "cpu", **more)
    on_gpu = forward(*args, net.gain_out_pA, "cuda", **more)
    # Sums in another order may move a potential across the threshold by rounding.
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert (a != b).mean() < 1e-4


def test_the_fast_path_refuses_the_printed_neuron():
    with pytest.raises(ValueError, match="v_rest_mV: found 70, at or above the threshold 20"):
        layer(PRINTED_C, PRINTED)


def test_the_number_of_threads_changes_nothing(case, images, threads):
    net, _ = case
    threads(1)
    one = kulkarni_pass.run(net, images)
    threads(2)
    two = kulkarni_pass.run(net, images)
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_several_sets_of_weights_are_as_good_as_several_passes(case, images):
    net, _ = case
    sets = np.stack([WEIGHTS, WEIGHTS[::-1], 2 * WEIGHTS])
    hidden, counts = kulkarni_pass.run(net, images[:2], weights=sets)
    assert counts.shape == (3, 2, 10)
    for weights, found in zip(sets, counts, strict=True):
        one = dataclasses.replace(net, weights=np.ascontiguousarray(weights))
        assert (kulkarni_pass.run(one, images[:2])[1] == found).all()
    alone, none = kulkarni_pass.run(net, images[:2], weights=sets[:0])
    assert (alone == hidden).all() and none.shape == (0, 2, 10)


def test_a_dark_image_is_silent(case):
    hidden, counts = kulkarni_pass.run(case[0], np.zeros((1, 28, 28), np.uint8))
    assert not hidden.any() and not counts.any()


def test_trains_that_are_equal_agree_and_shifted_ones_do_not(case, images):
    assert kulkarni_pass.matches(np.array([3, 40]), np.array([3, 40]), 10) == 2
    assert kulkarni_pass.matches(np.array([3, 40]), np.array([14, 29, 50]), 10) == 1
    assert kulkarni_pass.matches(np.array([5]), np.array([1, 2, 3]), 10) == 1  # one to one
    net, gain = case
    near = kulkarni_pass.timing(net, images[:2], net.table(gain, 0.966))
    assert ((near[:, 0] > 0) & (near[:, 0] < 1)).all() and (near[:, 1] > 0).all()


def test_timing_counts_what_the_trains_say(case, images):
    net, gain = case
    decay = model.modified_decay(C)
    near = kulkarni_pass.timing(net, images[:1], net.table(gain, decay))
    a, _ = model.forward(images[0], FILTERS, WEIGHTS.T, C, net.variant, net.gain_pA, 1.0)
    b, _ = model.forward(images[0], FILTERS, WEIGHTS.T, C, net.variant, gain, 1.0, decay)
    paired = sum(
        kulkarni_pass.matches(np.flatnonzero(x), np.flatnonzero(y), 10)
        for x, y in zip(a.T, b.T, strict=True)
    )
    assert near[0, 0] == pytest.approx(2 * paired / (a.sum() + b.sum()))
    both = a.any(axis=0) & b.any(axis=0)
    gaps = np.abs(a[:, both].argmax(axis=0) - b[:, both].argmax(axis=0))
    assert near[0, 1] == pytest.approx(gaps.mean())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": WEIGHTS[:5]}, r"weights: found shape \(5, 10\), allowed: \(8112, 10\)"),
        ({"weights": WEIGHTS * np.nan}, "weights: found NaN or infinity"),
        ({"gain_pA": float("nan")}, "gain_pA: found NaN"),
        ({"filters": FILTERS * np.nan}, "filters: found NaN"),
        ({"filters": np.zeros((12, 5, 5))}, r"filters: found shape \(12, 5, 5\)"),
        ({"filters": np.zeros((LANES + 1, 3, 3)), "weights": np.zeros((13 * 676, 10))},
         r"allowed: \(n <= 12, 3, 3\)"),
    ],
)  # fmt: skip
def test_a_wrong_network_is_one_clear_error(change, said):
    args = {"filters": FILTERS, "gain_pA": 1.0, "weights": WEIGHTS, "gain_out_pA": 1.0, **change}
    with pytest.raises(ValueError, match=said):
        kulkarni_pass.Network(C, CORRECTED, **args)


def test_wrong_images_are_refused(case):
    with pytest.raises(ValueError, match="allowed: \\(n, 28, 28\\)"):
        kulkarni_pass.run(case[0], np.zeros((1, 27, 28), np.uint8))
