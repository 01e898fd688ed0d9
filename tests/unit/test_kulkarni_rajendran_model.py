"""The network of Kulkarni and Rajendran (2018) against numbers worked by hand."""

import dataclasses

import numpy as np
import pytest

from respike.sources.kulkarni_rajendran_2018 import kernels, readout
from respike.sources.kulkarni_rajendran_2018 import reference as model
from respike.sources.kulkarni_rajendran_2018.cpu import Outputs
from respike.sources.kulkarni_rajendran_2018.settings import Constants

C = Constants(
    num_steps=1000, dt_ms=0.1, c_pF=300, g_leak_nS=30, v_rest_mV=-70, v_thresh_mV=20,
    refrac_ms=3, tau1_ms=5, tau2_ms=1.25, i0_pA=2700, ip_pA=101.2,
)  # fmt: skip
DESIRED = model.desired_train(C, 3.5)


def first_spike(cur, clips):
    return int(model.layer_spikes(cur[:, None], C, clips)[:, 0].argmax())


def test_clipping_forgives_a_negative_current():
    # -3000 pA for 100 steps, then that of a white pixel, which reaches 90 mV from rest in 10 steps.
    # Unclipped, u = -100 (1 - 0.99^100) = -63.4 mV by then, and 950.2 - 1013.6 0.99^n first reaches
    # 90 mV at n = 17 (0.99^17 = 0.8429 < 0.8487 < 0.99^16 = 0.8515).
    cur = np.full(1000, 28506.0)
    cur[:100] = -3000
    assert first_spike(cur, clips=True) == 100 + 10 - 1
    assert first_spike(cur, clips=False) == 100 + 17 - 1


def test_clipping_changes_nothing_where_no_current_is_negative():
    cur = np.random.default_rng(0).uniform(0, 60_000, (1000, 5))
    spk = model.layer_spikes(cur, C, True)
    assert spk.sum() > 50
    assert np.array_equal(spk, model.layer_spikes(cur, C, False))


def test_the_brightest_pixel_fires_every_40_steps():
    image = np.zeros((28, 28), np.uint8)
    image[0, 1] = 255
    spk = model.input_spikes(image, C)
    assert list(np.flatnonzero(spk[:, 1])) == list(range(9, 1000, 40))
    assert spk.sum() == 25  # 2700 pA of the black ones cause none


def test_an_output_spike_holds_the_others_back():
    # c(t) is 0 in the step of its spike, and inhibition leaves a step after the spike. Nothing of
    # the winner changes, and the loser, which would have fired, never does.
    spk = np.zeros((1000, 2), bool)
    spk[10:400:10] = True
    weights = np.zeros((2, 10))
    weights[0, 0], weights[1, 1] = 40_000, 30_000
    alone, both = (model.output_spikes(spk, weights, w, C, True) for w in (0, 1e6))
    winner = int(alone[:, 0].argmax())
    assert winner < alone[:, 1].argmax()
    assert np.array_equal(alone[: winner + 1], both[: winner + 1])
    assert both[:, 0].sum() == alone[:, 0].sum() and alone[:, 1].any() and not both[:, 1].any()


def test_normad_by_hand():
    # One neuron below: d / ||d|| is 1 from the step after its spike on. 28 spikes are asked of the
    # label (every 35 of 1000 steps, the first at step 34), the label fires twice, another once.
    spk = np.zeros((1000, 1), bool)
    spk[20] = True
    out = np.zeros((1000, 10), bool)
    out[[200, 300], 4] = out[500, 7] = True
    change = model.normad_change(spk, out, 4, DESIRED, C, tau_leak_ms=1.0)
    wanted = np.zeros(10)
    wanted[4], wanted[7] = 28 - 2, -1
    assert change == pytest.approx(wanted[None])


def test_normad_shares_an_error_by_what_each_neuron_had_sent():
    spk = np.zeros((1000, 2), bool)
    spk[[100, 700], [0, 1]] = True
    out = np.zeros((1000, 10), bool)
    out[690, 0] = True  # a false spike that only neuron 0 can have caused
    change = model.normad_change(spk, out, 3, np.zeros(1000), C, tau_leak_ms=1.0)
    assert change[0, 0] == pytest.approx(-1)
    assert not change[1].any() and not change[:, 1:].any()


def test_read_outs_of_one_image():
    out = np.zeros((1000, 10), bool)
    assert set(model.answers(out, DESIRED, C, 5.0).values()) == {model.NONE}
    out[:, 6] = DESIRED  # exactly what is asked of a class
    out[20:900:31, 2] = True  # fires earlier, and as often at other times
    out[1:10:4, 9] = True  # the first spike
    assert model.correlations(out, DESIRED, C, 5.0)[6] == pytest.approx(1)
    assert out[:, 2].sum() > out[:, 6].sum()
    assert model.answers(out, DESIRED, C, 5.0) == {"correlation": 6, "count": 2, "first": 9}


def test_read_outs_of_many_images_ties_and_silence():
    similar = np.array([[[0.0] * 10, [0.5, 0.9] + [0] * 8, [0.3] * 10]])
    counts = np.array([[0] * 10, [1, 3] + [0] * 8, [2, 2] + [0] * 8])
    found = Outputs(similar, counts, np.array([[10, -1, 0], [1, 4, 1], [0, 7, 2]]))
    labels = np.array([0, 1, 0])
    for name in readout.READOUTS:
        answers = readout.answers(found, name)
        assert answers.classes.tolist() == [10, 1, 0]
        assert answers.accuracy(labels) == pytest.approx(2 / 3)  # silence is wrong for a 0, too
        assert answers.share_tied() == pytest.approx(1 / 3)
    table = readout.confusion(readout.answers(found, "count").classes, labels)
    assert table[0].tolist() == [1] + [0] * 9 + [1] and table[1, 1] == 1
    assert readout.lowest_recall(table) == 0.5


def test_correlations_within_rounding_are_a_tie():
    assert model.highest(np.array([0.2, 0.7, 0.7 * (1 + 1e-14)])) == 1
    assert model.highest(np.array([0.2, 0.7, 0.7 * (1 + 1e-6)])) == 2


def test_kernels():
    found = kernels.article(12)
    assert found.sum(axis=(1, 2)) == pytest.approx(np.full(12, 3 * 1.6 - 6))
    assert len(np.unique(found.reshape(12, 9), axis=0)) == 12
    assert found[0].tolist() == [[-1, 1.6, -1]] * 3  # a vertical edge
    drawn = [kernels.random(12, seed) for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    assert (drawn[0] > 0).sum(axis=(1, 2)).tolist() == [3] * 12


def test_schedules_by_hand():
    def factors(name, decay=0.25):
        return [kernels.rate_factor(name, n, decay) for n in (0, 2, 3, 5, 6)]

    assert factors("constant") == [1] * 5
    assert factors("halved_3") == [1, 1, 0.5, 0.5, 0.25]
    assert factors("halved_5") == [1, 1, 1, 0.5, 0.5]
    assert factors("inverse") == pytest.approx([1, 2 / 3, 4 / 7, 4 / 9, 0.4])
    assert factors("exponential") == pytest.approx(np.exp([0, -0.5, -0.75, -1.25, -1.5]))


def test_bins_by_hand():
    # Range 4, four levels 4 / 3 apart; the one next to -1 is -4 / 3.
    weights = np.array([-1.0, 0.0, 0.5, 3.0])
    assert readout.binned(weights, 2) == pytest.approx([-4 / 3, 0, 0, 8 / 3])
    assert readout.binned(weights, 1) == pytest.approx([0, 0, 0, 4])
    assert not readout.binned(np.zeros(3), 3).any()


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("rounding", [readout.binned, readout.fitted])
def test_bins_have_a_zero_and_no_more_levels_than_bits_allow(bits, rounding):
    weights = np.random.default_rng(1).standard_t(4, 4000) + 0.3
    weights[0] = 0
    levels = np.unique(rounding(weights, bits))
    assert 2 <= len(levels) <= 2**bits and 0 in levels
    assert np.diff(levels) / np.diff(levels).min() == pytest.approx(
        np.rint(np.diff(levels) / np.diff(levels).min())
    )


def test_a_fitted_range_leaves_less_error():
    weights = np.random.default_rng(1).standard_t(4, 4000)
    whole, fitted = (
        ((f(weights, 3) - weights) ** 2).sum() for f in (readout.binned, readout.fitted)
    )
    assert fitted < whole / 2


def test_one_ms_steps_have_three_refractory_ones():
    coarse = dataclasses.replace(C, dt_ms=1.0, num_steps=50)
    spk = model.layer_spikes(np.full((50, 1), 1e6), coarse, True)
    assert list(np.flatnonzero(spk)) == list(range(0, 50, 4))
