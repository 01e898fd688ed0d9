"""LIF layers against trajectories worked by hand, snnTorch and plain autograd.

Weights are multiples of 2^-10, so that an input sum is exact in whatever order it is taken; then
equal arithmetic per step must give exactly equal spikes.
"""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from snntorch import surrogate

from respike.spiking.encoding import encode, stream_key, unpack
from respike.spiking.lif import WIDE, Lif, SpikingMlp, input_layer, lif_layer, spike_linear

BY_SNNTORCH = {
    "fast_sigmoid": (surrogate.fast_sigmoid(slope=25), 25.0),
    "arctan": (surrogate.atan(alpha=2.0), math.pi),  # as computed; its documentation has 1/pi more
}


def column(*currents):
    """Return the currents of one neuron, (num_steps, 1, 1)."""
    return torch.tensor(currents, dtype=torch.float32)[:, None, None]


def mnist_like(rng, batch, n_pixels):
    """Return images of which four in five pixels are black and half of the rest are white."""
    images = rng.integers(0, 511, (batch, n_pixels)).clip(0, 255)
    return np.where(rng.random((batch, n_pixels)) < 0.8, 0, images).astype(np.uint8)


def network(sizes, lif, seed=0):
    """Return a SpikingMlp whose weights are multiples of 2^-10."""
    torch.manual_seed(seed)
    net = SpikingMlp(sizes, lif)
    net.init("kaiming")
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p)).mul_(1024).round_().div_(1024)
    return net


def assert_same_training_step(net, step, images, num_steps):
    """Compare spikes and gradients with a loop `step(layer, current, state) -> spikes, state`."""
    words = encode(images, np.arange(len(images)), num_steps, stream_key(0, 0))
    target = torch.arange(len(images)) % net.rest[-1].out_features
    theirs = copy.deepcopy(net)
    weights = [theirs.weight_t.t(), *(layer.weight for layer in theirs.rest)]
    biases = [theirs.bias, *(layer.bias for layer in theirs.rest)]
    x = torch.from_numpy(unpack(words, num_steps)).float()
    states = [None] * len(weights)
    record = [[] for _ in weights]
    for t in range(num_steps):
        s = x[t]
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            s, states[k] = step(k, torch.nn.functional.linear(s, w, b), states[k])
            record[k].append(s)
    layers = net(words, num_steps)
    for ours, wanted in zip(layers, record, strict=True):
        wanted = torch.stack(wanted)
        assert 0.005 < wanted.mean() < 0.9, "a silent or saturated layer shows nothing"
        assert torch.equal(ours, wanted)
    torch.nn.functional.cross_entropy(layers[-1].sum(dim=0), target).backward()
    torch.nn.functional.cross_entropy(sum(record[-1]), target).backward()
    for (name, ours), wanted in zip(net.named_parameters(), theirs.parameters(), strict=True):
        assert wanted.grad.abs().max() > 1e-4, name
        torch.testing.assert_close(
            ours.grad, wanted.grad, rtol=1e-4, atol=2e-6 * float(wanted.grad.abs().max()), msg=name
        )


def snntorch_step(lif):
    spike_grad, slope = BY_SNNTORCH[lif.surrogate]
    assert slope == lif.slope
    leaky = snntorch.Leaky(
        lif.beta, threshold=lif.v_thresh, spike_grad=spike_grad, reset_mechanism=lif.reset
    )

    def step(layer, cur, mem):
        return leaky(cur, torch.zeros_like(cur) if mem is None else mem)

    return step


def test_reset_by_subtraction_by_hand():
    # mem: 0.75 | 0.375+0.75=1.125 -> spike | 0.5625+0.75-1=0.3125 | 0.15625+2=2.15625 -> spike
    # | 1.078125-1=0.078125 | 0.0390625
    spikes = lif_layer(column(0.75, 0.75, 0.75, 2.0, 0.0, 0.0), Lif(beta=0.5))
    assert spikes.ravel().tolist() == [0, 1, 0, 1, 0, 0]
    # What is above the threshold stays: 3 - 1 = 2 -> spike again, then 2 - 1 = 1, not above 1.
    assert lif_layer(column(3, 0, 0, 0), Lif(beta=1.0)).ravel().tolist() == [1, 1, 0, 0]


def test_reset_to_zero_by_hand():
    spikes = lif_layer(column(0.75, 0.75, 0.75, 2.0, 0.0, 0.0), Lif(beta=0.5, reset="zero"))
    assert spikes.ravel().tolist() == [0, 1, 0, 1, 0, 0]
    assert lif_layer(column(3, 0, 0, 1.5), Lif(beta=1.0, reset="zero")).ravel().tolist() == [
        1, 0, 0, 1,
    ]  # fmt: skip


def test_the_threshold_itself_gives_no_spike_and_may_be_changed():
    assert lif_layer(column(1.0, 0.0), Lif(beta=0.0)).ravel().tolist() == [0, 0]
    assert lif_layer(column(0.5, 0.6), Lif(beta=0.0, v_thresh=0.5)).ravel().tolist() == [0, 1]


def test_a_gradient_by_hand():
    # mem = 0.5, then 0.25 + 0.5 = 0.75; no spike. h(x) = 1 / (1 + 2 |x|)^2: h(-0.5) = 1/4,
    # h(-0.25) = 4/9. d1 = 3 * 4/9, d0 = 2 * 1/4 + 0.5 * d1.
    cur = column(0.5, 0.5).requires_grad_()
    lif_layer(cur, Lif(beta=0.5, slope=2.0)).backward(column(2.0, 3.0))
    assert cur.grad.ravel().tolist() == pytest.approx([0.5 + 0.5 * 4 / 3, 4 / 3])


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_silence_stays_silent(reset):
    lif = Lif(beta=0.9, reset=reset)
    assert lif_layer(torch.zeros(20, 3, 4), lif).sum() == 0
    words = encode(np.zeros((3, 30), np.uint8), np.arange(3), 20, stream_key(0, 0))
    assert input_layer(words, 20, torch.ones(30, 4), torch.zeros(4), lif).sum() == 0


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_a_current_changes_no_earlier_step_and_no_other_neuron(reset):
    torch.manual_seed(0)
    cur = torch.rand(30, 4, 5)
    lif = Lif(beta=0.9, reset=reset)
    changed = cur.clone()
    changed[12, 2, 3] += 5
    before, after = lif_layer(cur, lif), lif_layer(changed, lif)
    different = (before != after).nonzero()
    assert len(different) > 0 and different[:, 0].min() >= 12
    assert (different[:, 1:] == torch.tensor([2, 3])).all()
    # And the gradient by a current comes from no earlier spike.
    cur.requires_grad_()
    lif_layer(cur, lif)[12, 2, 3].backward()
    where = cur.grad.nonzero()
    assert where[:, 0].max() == 12 and (where[:, 1:] == torch.tensor([2, 3])).all()


def test_spikes_are_0_or_1_and_layers_agree():
    rng = np.random.default_rng(0)
    images = mnist_like(rng, 5, 50)
    words = encode(images, np.arange(5), 70, stream_key(0, 0))
    torch.manual_seed(0)
    weight, bias = torch.randint(-300, 400, (50, 8)) / 1024, torch.randint(-9, 9, (8,)) / 1024
    lif = Lif(beta=0.9)
    spikes = input_layer(words, 70, weight, bias, lif)
    assert spikes.unique().tolist() == [0, 1] and spikes.shape == (70, 5, 8)
    x = torch.from_numpy(unpack(words, 70)).float()
    assert torch.equal(spikes, lif_layer(x @ weight + bias, lif))


@pytest.mark.parametrize("kind", BY_SNNTORCH)
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize(
    ("sizes", "num_steps", "batch"),
    [((60, 20, 10), 1, 20), ((60, 30, 20, 10), 20, 7), ((100, 40, 10), 100, 5)],
)
def test_equal_to_stock_snntorch(sizes, num_steps, batch, reset, kind):
    lif = Lif(beta=0.95, reset=reset, surrogate=kind, slope=BY_SNNTORCH[kind][1])
    images = mnist_like(np.random.default_rng(1), batch, sizes[0])
    if num_steps == 1:
        images[:] = 200
    assert_same_training_step(network(sizes, lif), snntorch_step(lif), images, num_steps)


def test_equal_to_stock_snntorch_at_the_size_of_the_benchmark():
    lif = Lif(beta=0.95)
    images = mnist_like(np.random.default_rng(1), 128, 784)
    assert_same_training_step(network((784, 250, 10), lif), snntorch_step(lif), images, 50)


def test_other_thresholds_equal_snntorch():
    lif = Lif(beta=0.8, v_thresh=0.5)
    images = mnist_like(np.random.default_rng(2), 6, 60)
    assert_same_training_step(network((60, 30, 10), lif), snntorch_step(lif), images, 30)


class RepositorySpike(torch.autograd.Function):
    """The spike of the repository that snn-mnist-readme.md cites, in our words."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(10 * x)
        return grad * s * (1 - s)


def repository_step(layer, cur, after_reset):
    mem = cur if after_reset is None else 0.95 * after_reset + cur
    spk = RepositorySpike.apply(mem - 1.0)
    return spk, mem * (1 - spk)  # autograd goes through this reset


def test_equal_to_the_cited_repository():
    lif = Lif(0.95, reset="zero", reset_detached=False, surrogate="sigmoid", slope=10.0)
    images = mnist_like(np.random.default_rng(3), 16, 120)
    assert_same_training_step(network((120, 50, 25, 10), lif), repository_step, images, 10)


@pytest.mark.parametrize("kind", ["fast_sigmoid", "sigmoid", "arctan"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("detached", [True, False])
def test_every_combination_equals_autograd(kind, reset, detached):
    lif = Lif(0.9, reset=reset, reset_detached=detached, surrogate=kind, slope=5.0)

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x > 0).float()

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            s = torch.sigmoid(5 * x)
            derivative = {
                "fast_sigmoid": 1 / (1 + 5 * x.abs()) ** 2,
                "sigmoid": s * (1 - s),
                "arctan": 1 / (1 + (5 * x) ** 2),
            }
            return grad * derivative[kind]

    torch.manual_seed(0)
    cur, grad = torch.randn(40, 3, 6) * 0.4 + 0.2, torch.randn(40, 3, 6)
    ours, theirs = cur.clone().requires_grad_(), cur.clone().requires_grad_()
    mem, spk, record = torch.zeros(3, 6), torch.zeros(3, 6), []
    for t in range(40):
        before = spk.detach() if detached else spk
        if reset == "subtract":
            mem = lif.beta * mem + theirs[t] - before * lif.v_thresh
        else:
            mem = lif.beta * ((1 - before) * mem) + theirs[t]
        spk = Spike.apply(mem - lif.v_thresh)
        record.append(spk)
    spikes = lif_layer(ours, lif)
    assert torch.equal(spikes, torch.stack(record)) and spikes.sum() > 30
    spikes.backward(grad)
    torch.stack(record).backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_results_do_not_depend_on_the_number_of_threads(threads):
    rng = np.random.default_rng(4)
    images = mnist_like(rng, 37, 200)
    words = encode(images, np.arange(37), 50, stream_key(0, 0))

    def step():
        torch.manual_seed(0)
        net = SpikingMlp((200, 60, 10), Lif(beta=0.95))
        net.init("kaiming")
        spikes = input_layer(words, 50, net.weight_t, net.bias, net.lif)
        spikes = lif_layer(spikes[..., :20] * 0.7, net.lif)  # no dense product: torch may differ
        (spikes * torch.linspace(-1, 1, 20)).sum().backward()
        return spikes, net.weight_t.grad, net.bias.grad

    threads(1)
    one = step()
    threads(2)
    for a, b in zip(one, step(), strict=True):
        assert torch.equal(a, b)
    assert one[0].sum() > 0 and one[1].abs().sum() > 0


def test_initial_weights():
    torch.manual_seed(0)
    net = SpikingMlp((784, 250, 10), Lif(beta=0.9))
    assert net.weight_t.abs().max() <= 1 / 28  # torch.nn.Linear: uniform, 1 / sqrt(fan in)
    net.init("kaiming")
    assert net.weight_t.std().item() == pytest.approx(math.sqrt(2 / 784), rel=0.01)
    assert net.rest[0].weight.std().item() == pytest.approx(math.sqrt(2 / 250), rel=0.05)
    assert net.bias.abs().sum() == 0 and net.rest[0].bias.abs().sum() == 0
    net.init("small", std=0.003)
    assert net.weight_t.std().item() == pytest.approx(0.003, rel=0.01)
    with pytest.raises(ValueError, match="init: found 'xavier', allowed: default, kaiming, small"):
        net.init("xavier")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="reset: found 'none', allowed: subtract, zero"):
        Lif(beta=0.9, reset="none")
    with pytest.raises(ValueError, match="surrogate: found 'triangle', allowed: fast_sigmoid"):
        Lif(beta=0.9, surrogate="triangle")


def test_triton_kernels_in_the_interpreter():
    """The GPU path on the CPU; the variable must be set before Triton is imported."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("gpu_against_cpu.py"), "cpu"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal") == 12


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_triton_kernels_on_a_gpu():
    import gpu_against_cpu

    assert gpu_against_cpu.compare("cuda") == 12
    lif = Lif(beta=0.95)
    images = mnist_like(np.random.default_rng(1), 128, 784)
    words = encode(images, np.arange(128), 50, stream_key(0, 0))
    net = network((784, 250, 10), lif)
    cpu = net(words, 50)
    cpu[-1].sum(dim=0).logsumexp(1).sum().backward()
    on_gpu = copy.deepcopy(net).cuda()
    on_gpu.zero_grad()
    gpu = on_gpu(words, 50)
    gpu[-1].sum(dim=0).logsumexp(1).sum().backward()
    for a, b in zip(cpu, gpu, strict=True):
        assert torch.equal(a, b.cpu())
    for a, b in zip(net.parameters(), on_gpu.parameters(), strict=True):
        torch.testing.assert_close(
            a.grad, b.grad.cpu(), rtol=1e-4, atol=2e-6 * float(a.grad.abs().max())
        )


def test_a_wide_layer_sums_over_spikes_exactly(threads):
    rng = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(60, WIDE)
    with torch.no_grad():  # multiples of 2^-10: sums are exact in any order
        layer.weight.copy_(torch.randint(-512, 512, layer.weight.shape, generator=rng) / 1024)
        layer.bias.copy_(torch.randint(-512, 512, layer.bias.shape, generator=rng) / 1024)
    spk = (torch.rand(5, 7, 60, generator=rng) < 0.2).float().requires_grad_()
    weight = torch.randint(-512, 512, (5, 7, WIDE), generator=rng) / 1024
    expected = layer(spk)
    wanted = torch.autograd.grad((expected * weight).sum(), [spk, *layer.parameters()])
    for count in (1, 2):
        threads(count)
        found = spike_linear(layer, spk)
        assert torch.equal(found, expected)
        grads = torch.autograd.grad((found * weight).sum(), [spk, *layer.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(grads, wanted, strict=True))
