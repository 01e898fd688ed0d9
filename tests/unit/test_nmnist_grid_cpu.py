"""The fast network of the grid against snnTorch step by step, the GPU path against the fast one.

Weights are multiples of 2^-10, so that an input sum is exact in whatever order it is taken; then
equal arithmetic per step must give exactly equal spikes.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from respike.data.nmnist import event_frames
from respike.sources.nmnist_grid import cpu, reference
from respike.sources.nmnist_grid.cpu import EventMlp, Frames, mse_count_loss
from respike.sources.nmnist_grid.training import Training, accuracy, folds, train


def exact(net):
    """Round the weights of a network to multiples of 2^-10, scaled up so that neurons spike."""
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(8 * 1024).round_().div_(1024)
    return net


def frames_from(rng, n, num_steps, density=0.012):
    """Return random Frames, and the same dense, float32 (num_steps, n, 2, 34, 34)."""
    counts = rng.poisson(density, (n, num_steps, event_frames.N_INPUTS))
    inputs = [np.repeat(np.arange(event_frames.N_INPUTS), row) for row in counts.reshape(-1, 2312)]
    starts = np.concatenate(([0], np.cumsum([len(row) for row in inputs])))
    dense = torch.from_numpy(counts.astype(np.float32)).transpose(0, 1)
    made = Frames(
        starts, np.concatenate(inputs).astype(np.uint16), np.full(n, num_steps), num_steps
    )
    return made, dense.reshape(num_steps, n, 2, 34, 34)


def snntorch_twin(net):
    """Return the reference network with the same weights."""
    twin = reference.SnnTorchMlp(net.n_hidden, net.beta)
    with torch.no_grad():
        twin_parameters = (
            twin.hidden.weight,
            twin.hidden.bias,
            twin.output.weight,
            twin.output.bias,
        )
        for p, own in zip(twin_parameters, net.dense(), strict=True):
            p.copy_(own)
    return twin, twin_parameters


@pytest.mark.parametrize("n_hidden", [64, 100])  # a full tile, and one filled up
@pytest.mark.parametrize(("beta", "rates"), [(0.9, (0.8, 0.2)), (0.7, (0.95, 0.05))])
def test_training_step_equals_snntorch(n_hidden, beta, rates, threads):
    frames, dense = frames_from(np.random.default_rng(n_hidden), 16, 20)
    net = exact(EventMlp(n_hidden, beta, seed=1))
    twin, twin_parameters = snntorch_twin(net)
    index, labels = np.array([3, 0, 15, 7, 8]), torch.tensor([4, 0, 9, 4, 1])
    output, hidden_per_step = net(frames, index)
    wanted, hidden = twin(dense[:, index])
    assert 0.01 < hidden.mean() < 0.9
    assert 0.01 < wanted.mean() < 0.9, "a silent or saturated layer shows nothing"
    assert torch.equal(output, wanted)
    assert np.array_equal(hidden_per_step, hidden.detach().sum(dim=(1, 2)).numpy())
    ours, theirs = mse_count_loss(output, labels, *rates), reference.loss_function(*rates)
    loss = theirs(wanted, labels)
    assert float(ours.detach()) == pytest.approx(float(loss.detach()), rel=1e-6)
    ours.backward()
    loss.backward()
    grads = net.dense(net.weight.grad, net.bias.grad, net.weight_out.grad)[:3]
    for found, p in zip((*grads, net.bias_out.grad), twin_parameters, strict=True):
        assert p.grad.abs().max() > 1e-5
        torch.testing.assert_close(found, p.grad, rtol=1e-4, atol=2e-6 * float(p.grad.abs().max()))


def test_filled_up_neurons_stay_out():
    frames, _ = frames_from(np.random.default_rng(0), 8, 10)
    net = EventMlp(70, 0.9, seed=0)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02, weight_decay=1e-5)
    for _ in range(3):
        optimiser.zero_grad()
        mse_count_loss(net(frames, np.arange(8))[0], torch.arange(8), 0.8, 0.2).backward()
        optimiser.step()
    assert not net.weight[1, :, 6:].any()
    assert not net.weight_out[1, 6:].any()
    assert not net.bias[1, 6:].any()
    assert net.weight[1, :, :6].any()


def test_printed_derivative_is_smaller_by_pi_in_each_layer():
    frames, _ = frames_from(np.random.default_rng(0), 8, 10, density=0.03)
    grads = []
    for gain in (1.0, 1 / math.pi):
        net = exact(EventMlp(64, 0.9, seed=2, surrogate_gain=gain))
        mse_count_loss(net(frames, np.arange(8))[0], torch.arange(8), 0.8, 0.2).backward()
        grads.append((net.weight.grad, net.weight_out.grad))
    (hidden, out), (hidden_small, out_small) = grads
    assert hidden.abs().max() > 1e-6
    torch.testing.assert_close(hidden_small, hidden / math.pi**2, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(out_small, out / math.pi, rtol=1e-4, atol=1e-9)


def test_a_test_pass_gives_the_same_spikes_as_a_training_pass():
    frames, _ = frames_from(np.random.default_rng(5), 6, 12)
    net = exact(EventMlp(100, 0.95, seed=0))
    with torch.no_grad():
        alone = net(frames, np.arange(6))[0]
    assert torch.equal(alone, net(frames, np.arange(6))[0].detach())


def test_a_batch_runs_as_long_as_its_longest_recording():
    frames, _ = frames_from(np.random.default_rng(5), 3, 12)
    frames = frames._replace(n_frames=np.array([5, 9, 12]))
    net = EventMlp(64, 0.9, seed=0)
    assert len(net(frames, np.array([0, 1]))[0]) == 9


def test_frames_equal_tonics_transforms(real_table):
    """Document, section 3.2, on real recordings: denoised, binned, first 100 ms and whole."""
    from tonic import transforms

    recordings = real_table.splits["train"]
    which = np.array([2, 0, 5])
    sensor = (34, 34, 2)
    for t_window, whole in ((2000, False), (500, False), (2000, True)):
        frames = cpu.frames_of(recordings, which, t_window, 10_000, whole)
        for k, r in enumerate(which):
            events = recordings.recording(r)
            dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
            plain = np.empty(len(events), dtype)
            plain["t"], plain["p"] = events >> 13, events >> 12 & 1
            plain["y"], plain["x"] = events >> 6 & 63, events & 63
            plain = transforms.Denoise(filter_time=10_000)(plain)
            span = {} if whole else {"start_time": 0, "end_time": 100_000}
            wanted = transforms.ToFrame(sensor_size=sensor, time_window=t_window, **span)(plain)
            assert len(wanted) == frames.n_frames[k]
            for t, frame in enumerate(wanted):
                row = k * frames.num_steps + t
                listed = frames.inputs[frames.starts[row] : frames.starts[row + 1]]
                found = np.bincount(listed, minlength=2312).reshape(2, 34, 34)
                assert np.array_equal(found, frame)


def test_t_window_that_does_not_divide_the_sample_is_refused(real_table):
    with pytest.raises(ValueError, match="t_window is 3000"):
        cpu.frames_of(real_table.splits["train"], np.arange(2), 3000, 10_000, False)


def test_folds_hold_out_every_recording_once():
    parts = folds(103, 5, split=0)
    assert sorted(np.concatenate(parts)) == list(range(103))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert not np.array_equal(parts[0], folds(103, 5, split=1)[0])
    with pytest.raises(ValueError, match="n_folds"):
        folds(3, 5, 0)


def test_training_learns_and_depends_on_its_seeds_alone():
    rng = np.random.default_rng(0)
    frames, dense = frames_from(rng, 200, 10)
    labels = rng.integers(0, 10, 200)
    # Digit k spikes in input 100 k at every step, so there is something to learn.
    rows = [
        np.append(
            frames.inputs[frames.starts[i] : frames.starts[i + 1]], [100 * labels[i // 10]] * 2
        )
        for i in range(2000)
    ]
    starts = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    frames = Frames(starts, np.concatenate(rows).astype(np.uint16), frames.n_frames, 10)
    settings = Training(64, 0.9, (0.8, 0.2), 20, 8, 0.01, 1e-5)
    held_out = np.arange(150, 200)
    runs = [
        train(
            frames, labels, np.arange(150), settings, seed, order,
            {"held_out": (frames, labels, held_out)},
        )
        for seed, order in ((0, 0), (0, 0), (1, 0), (0, 1))
    ]  # fmt: skip
    assert runs[0].curves["held_out"][-1] > 0.5
    assert runs[0].loss[-1] < 0.5 * runs[0].loss[0]
    assert torch.equal(runs[0].net.weight, runs[1].net.weight)
    assert not torch.equal(runs[0].net.weight, runs[2].net.weight)
    assert not torch.equal(runs[0].net.weight, runs[3].net.weight)
    last = accuracy(runs[0].net, frames, labels, held_out)
    assert last == runs[0].curves["held_out"][-1]


def test_networks_side_by_side_in_the_interpreter():
    """The GPU path on the CPU; the variable must be set before Triton is imported."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("side_by_side_against_cpu.py"), "cpu"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "equal" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_networks_side_by_side_on_a_gpu():
    import side_by_side_against_cpu

    side_by_side_against_cpu.compare("cuda")
