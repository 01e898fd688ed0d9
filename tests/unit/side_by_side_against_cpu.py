"""Compare networks side by side with each alone: python side_by_side_against_cpu.py cuda|cpu.

`cpu` needs TRITON_INTERPRET=1. A program of its own, because Triton reads that variable once.
"""

import sys

import numpy as np
import torch
from test_nmnist_grid_cpu import exact, frames_from

from respike.sources.nmnist_grid.cpu import EventMlp, mse_count_loss
from respike.sources.nmnist_grid.gpu import DeviceFrames, SideBySide, train_side_by_side
from respike.sources.nmnist_grid.training import Training, train


def compare(device):
    """Fail unless spikes are equal, gradients and a short training equal to float tolerance."""
    frames, dense = frames_from(np.random.default_rng(0), 12, 8, density=0.03)
    index, labels = np.array([3, 0, 11, 7]), np.arange(12) % 10
    held = DeviceFrames(frames, device)
    assert torch.equal(held.dense(index, 8).cpu(), dense[:, index].reshape(8, 4, -1))
    trainings = [
        Training(64, 0.9, (0.8, 0.2), 4, 2, 0.01, 1e-5),
        Training(20, 0.7, (0.95, 0.05), 4, 2, 0.01, 1e-5, surrogate_gain=0.5),
    ]
    together = exact(SideBySide(trainings, [5, 6])).to(device)
    alone = [
        exact(EventMlp(s.n_hidden, s.beta, seed, s.surrogate_gain))
        for s, seed in zip(trainings, (5, 6), strict=True)
    ]
    outputs, hidden = together(held.dense(index, 8))
    wanted = torch.from_numpy(labels[index])
    at = 0
    for k, (net, s) in enumerate(zip(alone, trainings, strict=True)):
        out, per_step = net(frames, index)
        assert 0.02 < out.mean() < 0.9
        assert torch.equal(outputs[k].cpu(), out)
        assert np.array_equal(hidden[k].detach().sum(dim=(1, 2)).cpu().numpy(), per_step)
        mse_count_loss(out, wanted, *s.rates).backward()
    losses = [
        mse_count_loss(out, wanted.to(device), *s.rates)
        for out, s in zip(outputs, trainings, strict=True)
    ]
    sum(losses).backward()
    for k, net in enumerate(alone):
        weight, bias, weight_out, _ = net.dense(net.weight.grad, net.bias.grad, net.weight_out.grad)
        part = slice(at, at + net.n_hidden)
        at += net.n_hidden
        for found, grad in (
            (together.weight.grad[:, part].t(), weight),
            (together.bias.grad[part], bias),
            (together.weight_out[k].grad, weight_out),
            (together.bias_out[k].grad, net.bias_out.grad),
        ):
            assert grad.abs().max() > 1e-6
            torch.testing.assert_close(
                found.cpu(), grad, rtol=1e-4, atol=2e-6 * float(grad.abs().max())
            )
    follow = {"held_out": (frames, labels, np.arange(8, 12))}
    _, _, found = train_side_by_side(
        frames, labels, np.arange(8), trainings, [5, 6], 1, follow, device
    )
    for one, s, seed in zip(found, trainings, (5, 6), strict=True):
        own = train(frames, labels, np.arange(8), s, seed, 1, follow)
        assert np.allclose(one["loss"], own.loss, rtol=0.05)
    print("equal")


if __name__ == "__main__":
    compare(sys.argv[1])
