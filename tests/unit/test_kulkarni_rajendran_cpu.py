"""The fast path gives the spikes and the training of the plain path."""

import dataclasses

import numba
import numpy as np
import pytest
from test_kulkarni_rajendran_model import DESIRED, C

from respike.data import mnist
from respike.sources.kulkarni_forward import filters, passes, settings
from respike.sources.kulkarni_forward.neuron import VARIANTS
from respike.sources.kulkarni_rajendran_2018 import cpu, kernels, readout
from respike.sources.kulkarni_rajendran_2018 import reference as plain

THEIRS = settings.Constants(**dataclasses.asdict(C))
RNG = np.random.default_rng(4)
OTHERS = RNG.uniform(-1 / 3, 1 / 3, (12, 3, 3)) + RNG.normal(0, 0.2, (12, 1, 1))
MODELS = {
    "the article's": cpu.Model(C, kernels.article(12), 10500.0, inhibit_pA=1000.0),
    "unclipped": cpu.Model(C, kernels.article(12), 10500.0, clips=False, inhibit_pA=20_000.0),
    "pulses": cpu.Model(C, kernels.article(7), 88500.0, "pulse"),
    "other kernels, unclipped pulses": cpu.Model(C, OTHERS, 1e6, "pulse", clips=False),
    "weak": cpu.Model(C, kernels.article(12), 1500.0),
    "steps of 1 ms": cpu.Model(
        dataclasses.replace(C, dt_ms=1.0, num_steps=50), kernels.article(12), 10500.0
    ),
}


@pytest.fixture(scope="module")
def data(mnist_folder):
    return mnist.load(mnist_folder)


def trains(spikes, i, model):
    spk = np.zeros((model.c.num_steps, model.n_inputs), bool)
    own = spikes.neurons[spikes.offsets[i] : spikes.offsets[i + 1]]
    times = np.repeat(np.arange(model.c.num_steps), spikes.counts[i])
    spk[times, own] = True
    assert spk.sum() == len(own)  # no event twice
    return spk


def plain_hidden(model, image):
    spk = plain.input_spikes(image, model.c)
    if model.kernels is None:
        return spk
    return plain.hidden_spikes(
        spk, model.kernels, model.gain_pA, model.c, model.synapse, model.clips
    )


@pytest.mark.parametrize("name", MODELS)
def test_hidden_spikes_are_equal_one_by_one(name, data):
    model = MODELS[name]
    images = data.test_images[[0, 8]]
    found = cpu.spikes_of(model, images)
    for i, image in enumerate(images):
        assert np.array_equal(trains(found, i, model), plain_hidden(model, image))
    assert len(found.neurons) > 0


def test_unclipped_pulses_are_those_of_kulkarni_forward(data):
    model, images = MODELS["other kernels, unclipped pulses"], data.test_images[:20]
    net = passes.Network(THEIRS, VARIANTS["corrected"], OTHERS, 1e6, np.zeros((8112, 10)), 1.0)
    found = cpu.spikes_of(model, images)
    counts = np.stack([trains(found, i, model).sum(axis=0) for i in range(len(images))])
    assert np.array_equal(counts, passes.run(net, images)[0])


def test_filters_of_one_epoch_are_those_of_kulkarni_forward(data):
    theirs = filters.train(data, 12, 1280, 1, 3).trained
    assert kernels.one_epoch(12, 3, data, 1280) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("clips", [True, False])
def test_clipping_by_hand(clips):
    # Pixel A (255) fires at 9, 49, 89, ..., pixel B (200) at 12, 55, 98, 141, ...: 22,940 pA reach
    # 90 mV in 13 steps. One kernel, -1 left and 1.6 right; a pulse of 1.6 is 100 mV, so A takes
    # 62.5. Clipped, A leaves no debt and each spike of B fires the neuron that sees both. If not,
    # u before B is -62.5 0.99^3 = -60.6 (39.4 after it), -35.3 0.99^6 (66.8), -15 0.99^9 (86.3),
    # 0.9 0.99^12: the fourth is the first that reaches 90 mV.
    kernel = np.zeros((1, 3, 3))
    kernel[0, 0, :2] = -1, 1.6
    gain_pA = 100 / 1.6 * C.c_pF / C.dt_ms
    model = cpu.Model(C, kernel, gain_pA, "pulse", clips)
    image = np.zeros((28, 28), np.uint8)
    image[5, 5], image[5, 6] = 255, 200
    spk = trains(cpu.spikes_of(model, image[None]), 0, model)
    both, only_a = 5 * 26 + 5, 5 * 26 + 4
    assert set(np.flatnonzero(spk.any(axis=0))) == {both, only_a}
    assert list(np.flatnonzero(spk[:, only_a])) == list(range(9, 1000, 40))
    if clips:
        assert list(np.flatnonzero(spk[:, both])) == list(range(12, 1000, 43))
    else:
        assert np.flatnonzero(spk[:, both])[0] == 12 + 3 * 43
    assert np.array_equal(spk, plain_hidden(model, image))


def test_a_potential_leaves_the_floor_between_two_inputs():
    # With c(t) one step of excitation after inhibition makes a current that starts below zero and
    # ends above it while nothing arrives: what a jump from event to event would get wrong.
    kernel = np.zeros((1, 3, 3))
    kernel[0, 0, :2] = -1, 1.6
    image = np.zeros((28, 28), np.uint8)
    image[5, 5], image[5, 6] = 60, 58
    found = {}
    for clips in (True, False):
        model = cpu.Model(C, kernel, 30_000.0, clips=clips)
        found[clips] = trains(cpu.spikes_of(model, image[None]), 0, model)
        assert np.array_equal(found[clips], plain_hidden(model, image))
    assert found[True].any() and not np.array_equal(found[True], found[False])


def test_positions_are_left_out_only_where_nothing_can_fire(data):
    # Just above and below the gain at which one kernel's positive weights alone reach threshold.
    image = np.zeros((28, 28), np.uint8)
    image[10:13, 11] = 255
    peak = cpu.Model(C, kernels.article(1), 1.0).tables[4][255]
    just = C.c_pF / C.dt_ms * 90 / (3 * 1.6 * peak)
    for gain, fires in ((just * 1.0001, True), (just * 0.9999, False)):
        model = cpu.Model(C, kernels.article(1), gain)
        spk = trains(cpu.spikes_of(model, image[None]), 0, model)
        assert spk.any() == fires
        assert np.array_equal(spk, plain_hidden(model, image))


@pytest.mark.parametrize("name", ["the article's", "steps of 1 ms"])
def test_norms_are_those_of_the_plain_trace(name, data):
    model = MODELS[name]
    found = cpu.spikes_of(model, data.test_images[:1])
    trace = plain.synaptic_trace(trains(found, 0, model), model.c)
    d = plain.low_pass(trace, np.exp(-model.c.dt_ms / model.tau_leak_ms))
    assert found.norms[0] == pytest.approx(np.linalg.norm(d, axis=1), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["the article's", "unclipped", "two layers"])
def test_training_and_read_outs_are_equal(name, data):
    model = MODELS.get(name) or cpu.Model(C, None, inhibit_pA=1000.0)
    images, labels = data.train_images[:4], data.train_labels[:4]
    spikes, order = cpu.spikes_of(model, images), [2, 0, 1, 0, 2]
    fast, slow = np.zeros((2, model.n_inputs, 10))
    mean_errors = cpu.train_on(model, spikes, labels, np.array(order), fast, DESIRED, 200.0)
    errors = 0
    for i in order:
        spk = trains(spikes, i, model)
        out = plain.output_spikes(spk, slow, model.inhibit_pA, C, model.clips)
        change = plain.normad_change(spk, out, labels[i], DESIRED, C, 1.0)
        slow += 200 * change
        wanted = np.zeros((1000, 10))
        wanted[:, labels[i]] = DESIRED
        errors += (wanted != out).sum()
    assert np.abs(fast - slow).max() < 1e-5 * np.abs(slow).max()
    assert mean_errors == errors / len(order)
    found = cpu.outputs(model, spikes, fast, DESIRED, (5.0, 20.0))
    for i in range(4):
        out = plain.output_spikes(trains(spikes, i, model), slow, model.inhibit_pA, C, model.clips)
        assert np.array_equal(found.counts[i], out.sum(axis=0))
        for k, tau in enumerate((5.0, 20.0)):
            similar = plain.correlations(out, DESIRED, C, tau)
            assert found.similar[k, i] == pytest.approx(similar, abs=1e-12)
        by = {n: int(readout.answers(found, n).classes[i]) for n in readout.READOUTS}
        assert by == plain.answers(out, DESIRED, C, 5.0)
        if out.any():
            assert found.first[i, 1] == out.any(axis=1).argmax()
    assert found.counts.sum() > 20


def test_the_number_of_threads_changes_nothing(data):
    model, images = MODELS["the article's"], data.test_images[:6]
    before, found = numba.get_num_threads(), []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        found.append(cpu.spikes_of(model, images))
    numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*(s.numbers() for s in found), strict=True))


def test_parts_are_joined_in_order(data):
    model = MODELS["weak"]
    whole = cpu.spikes_of(model, data.test_images[:5])
    parts = cpu.Spikes.joined(
        [cpu.spikes_of(model, data.test_images[a:b]) for a, b in ((0, 2), (2, 5))]
    )
    assert all(np.array_equal(a, b) for a, b in zip(whole.numbers(), parts.numbers(), strict=True))


def test_what_the_fast_path_cannot_do_is_an_error():
    with pytest.raises(ValueError, match=r"tau_leak_ms: found 1\.25"):
        _ = cpu.Model(C, kernels.article(1), tau_leak_ms=1.25).kappa
    with pytest.raises(ValueError, match="v_rest_mV: found 70"):
        cpu.Model(dataclasses.replace(C, v_rest_mV=70), None)
    with pytest.raises(ValueError, match="kernels: found 13, allowed: at most 12"):
        cpu.Model(C, np.zeros((13, 3, 3)))
    with pytest.raises(ValueError, match="kernels: found NaN"):
        cpu.Model(C, np.full((1, 3, 3), np.nan))
    with pytest.raises(ValueError, match="images: found shape"):
        cpu.spikes_of(MODELS["weak"], np.zeros((2, 10, 10), np.uint8))
