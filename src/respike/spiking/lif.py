"""Layers of leaky integrate-and-fire (LIF) neurons, trained through time with surrogate gradients.

Neuron, as snnTorch's `Leaky` and both MNIST sources compute it (input gain 1, no unit of time):

    mem[t] = beta * mem[t-1] + cur[t] - reset        spk[t] = 1 if mem[t] > v_thresh else 0

`reset` follows the spike at t-1: `subtract` takes v_thresh off, `zero` sets mem[t-1] to 0 before
the leak, which gives the same spikes as a reset to 0 within the step of the spike.

`lif_layer` and `input_layer` compute all steps of a layer at once: on the CPU with Numba, on a GPU
with one Triton kernel (`respike.spiking.lif_gpu`). Both backward passes are derived by hand:

    d[t] = d spk[t] * h(mem[t] - v_thresh) + beta * d[t+1]          (subtract, reset detached)

with d = gradient by mem (and by cur) and h the surrogate derivative. They are tested to equal
snnTorch step by step: same spikes, gradients to float tolerance.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from respike.spiking.events import add_input, add_weight_grad
from respike.spiking.numba_cache import njit, prange

SURROGATES = ("fast_sigmoid", "sigmoid", "arctan")
RESETS = ("subtract", "zero")
WIDE = 64  # outputs from which a layer sums over spikes; chosen, not tuned
GRAD_GROUPS = 2  # partial weight gradients; a constant, so that sums do not depend on threads


@dataclass(frozen=True)
class Lif:
    """Constants of one layer of neurons.

    Attributes
    ----------
    beta
        Share of the membrane potential that is left after one step.
    v_thresh
        Threshold.
    reset
        `subtract` or `zero`.
    reset_detached
        True: no gradient flows through the reset (snnTorch). False: it does.
    surrogate
        Derivative used for the step function, x = mem - v_thresh: `fast_sigmoid`
        1 / (1 + slope |x|)^2, `sigmoid` s (1 - s) with s = 1 / (1 + exp(-slope x)),
        `arctan` 1 / (1 + (slope x)^2).
    slope
        Its sharpness.

    Raises
    ------
    ValueError
        On a name that is not listed here.
    """

    beta: float
    v_thresh: float = 1.0
    reset: str = "subtract"
    reset_detached: bool = True
    surrogate: str = "fast_sigmoid"
    slope: float = 25.0

    def __post_init__(self):
        for name, value, allowed in (
            ("reset", self.reset, RESETS),
            ("surrogate", self.surrogate, SURROGATES),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: found {value!r}, allowed: {', '.join(allowed)}")

    def numbers(self):
        """Return the constants as the tuple that the kernels take."""
        return (
            np.float32(self.beta),
            np.float32(self.v_thresh),
            RESETS.index(self.reset),
            self.reset_detached,
            SURROGATES.index(self.surrogate),
            np.float32(self.slope),
        )


@njit(cache=True)
def _steps(cur, at, mem, spk, b, beta, v_thresh, reset):
    """Run the neurons of sample `at` of cur into sample b of mem and spk, (num_steps, batch, n)."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for t in range(cur.shape[0]):
        c, m, s = cur[t, at], mem[t, b], spk[t, b]
        if t == 0:
            for h in range(c.shape[0]):
                m[h] = c[h]
        elif reset == 0:
            m_before, s_before = mem[t - 1, b], spk[t - 1, b]
            for h in range(c.shape[0]):
                m[h] = beta * m_before[h] + c[h] - s_before[h] * v_thresh
        else:
            m_before, s_before = mem[t - 1, b], spk[t - 1, b]
            for h in range(c.shape[0]):
                m[h] = beta * ((one - s_before[h]) * m_before[h]) + c[h]
        for h in range(c.shape[0]):
            s[h] = one if m[h] - v_thresh > zero else zero


@njit(cache=True, inline="always")
def _surrogate(x, kind, slope):
    """Return the surrogate derivative at x = mem - v_thresh."""
    one = np.float32(1.0)
    if kind == 0:
        y = one + slope * abs(x)
        return one / (y * y)
    if kind == 1:
        s = one / (one + np.exp(-slope * x))
        return s * (one - s)
    y = slope * x
    return one / (one + y * y)


@njit(cache=True)
def _steps_back(grad, mem, b, delta, at, carry, beta, v_thresh, reset, detached, kind, slope):
    """Turn grad (by spk) of sample b into delta (by cur) at `at`; all (num_steps, batch, n)."""
    zero = np.float32(0.0)
    carry[:] = zero  # gradient by mem of the step after
    for t in range(mem.shape[0] - 1, -1, -1):
        g, m, d = grad[t, b], mem[t, b], delta[t, at]
        if reset == 0:
            for h in range(carry.shape[0]):
                x = m[h] - v_thresh
                through_reset = zero if detached else v_thresh * carry[h]
                carry[h] = (g[h] - through_reset) * _surrogate(x, kind, slope) + beta * carry[h]
        else:
            for h in range(carry.shape[0]):
                x = m[h] - v_thresh
                through_reset = zero if detached else beta * m[h] * carry[h]
                keep = zero if x > zero else beta * carry[h]
                carry[h] = (g[h] - through_reset) * _surrogate(x, kind, slope) + keep
        d[:] = carry


@njit(parallel=True, cache=True)
def _layer_forward(cur, mem, spk, beta, v_thresh, reset):
    for b in prange(cur.shape[1]):
        _steps(cur, b, mem, spk, b, beta, v_thresh, reset)


@njit(parallel=True, cache=True)
def _layer_backward(grad, mem, delta, beta, v_thresh, reset, detached, kind, slope):
    for b in prange(mem.shape[1]):
        carry = np.empty(mem.shape[2], np.float32)
        _steps_back(grad, mem, b, delta, b, carry, beta, v_thresh, reset, detached, kind, slope)


@njit(parallel=True, cache=True)
def _input_forward(words, weight, bias, mem, spk, groups, beta, v_thresh, reset):
    num_steps, batch, n = mem.shape
    for g in prange(groups):
        cur = np.empty((num_steps, n), np.float32)
        base = np.empty(n, np.float32)
        listed = np.empty((64, words.shape[1]), np.int32)
        n_listed = np.empty(64, np.int64)
        for b in range(g * batch // groups, (g + 1) * batch // groups):
            add_input(words[b], weight, bias, cur, base, listed, n_listed)
            _steps(cur.reshape(num_steps, 1, n), 0, mem, spk, b, beta, v_thresh, reset)


@njit(parallel=True, cache=True)
def _input_backward(words, grad, mem, grad_w, grad_b, beta, v_thresh, reset, detached, kind, slope):
    num_steps, batch, n = mem.shape
    groups = grad_w.shape[0]
    for g in prange(groups):
        delta = np.empty((num_steps, n), np.float32)
        delta_3d = delta.reshape(num_steps, 1, n)
        carry = np.empty(n, np.float32)
        total = np.empty(n, np.float32)
        row_sum = np.empty(n, np.float32)
        grad_w[g] = 0.0
        grad_b[g] = 0.0
        for b in range(g * batch // groups, (g + 1) * batch // groups):
            _steps_back(
                grad, mem, b, delta_3d, 0, carry, beta, v_thresh, reset, detached, kind, slope
            )
            add_weight_grad(words[b], delta, grad_w[g], grad_b[g], total, row_sum)


@njit(parallel=True, cache=True)
def _spikes_times(spk, weight_t, bias, out):
    """Set out[r] to bias plus the sum of the weight rows of the neurons that spike in row r.

    spk float32 (rows, n_in) of 0 and 1, weight_t float32 (n_in, n), bias float32 (n,), out float32
    (rows, n).
    """
    for r in prange(spk.shape[0]):
        s, o = spk[r], out[r]
        for k in range(o.shape[0]):
            o[k] = bias[k]
        for i in range(s.shape[0]):
            if s[i] != np.float32(0.0):
                row = weight_t[i]
                for k in range(o.shape[0]):
                    o[k] += row[k]


@njit(parallel=True, cache=True)
def _spikes_outer(spk, delta, grad):
    """Set the sum over g of grad[g, i] to the sum of delta[r] over the rows r in which i spikes.

    spk float32 (rows, n_in), delta float32 (rows, n), grad float32 (groups, n_in, n); each group
    takes its share of the rows.
    """
    groups, rows = grad.shape[0], spk.shape[0]
    for g in prange(groups):
        grad[g] = np.float32(0.0)
        for r in range(g * rows // groups, (g + 1) * rows // groups):
            s, d = spk[r], delta[r]
            for i in range(s.shape[0]):
                if s[i] != np.float32(0.0):
                    out = grad[g, i]
                    for k in range(d.shape[0]):
                        out[k] += d[k]


class _LifLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cur, lif):
        cur = cur.contiguous()
        mem, spk = torch.empty_like(cur), torch.empty_like(cur)
        _layer_forward(cur.numpy(), mem.numpy(), spk.numpy(), *lif.numbers()[:3])
        ctx.save_for_backward(mem)
        ctx.lif = lif
        return spk

    @staticmethod
    def backward(ctx, grad):
        (mem,) = ctx.saved_tensors
        delta = torch.empty_like(mem)
        _layer_backward(grad.contiguous().numpy(), mem.numpy(), delta.numpy(), *ctx.lif.numbers())
        return delta, None


class _InputLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight_t, bias, words, num_steps, lif):
        batch, n = words.shape[0], weight_t.shape[1]
        mem, spk = torch.empty(num_steps, batch, n), torch.empty(num_steps, batch, n)
        groups = min(batch, 16)  # no sum runs across groups here
        _input_forward(
            words, weight_t.detach().numpy(), bias.detach().numpy(), mem.numpy(), spk.numpy(),
            groups, *lif.numbers()[:3],
        )  # fmt: skip
        ctx.save_for_backward(mem)
        ctx.words, ctx.lif = words, lif
        return spk

    @staticmethod
    def backward(ctx, grad):
        (mem,) = ctx.saved_tensors
        n = mem.shape[2]
        grad_w = np.empty((GRAD_GROUPS, ctx.words.shape[1], n), np.float32)
        grad_b = np.empty((GRAD_GROUPS, n), np.float32)
        _input_backward(
            ctx.words, grad.contiguous().numpy(), mem.numpy(), grad_w, grad_b, *ctx.lif.numbers()
        )
        return torch.from_numpy(grad_w).sum(0), torch.from_numpy(grad_b).sum(0), None, None, None


class _SpikeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, spk, weight, bias):
        rows = spk.reshape(-1, spk.shape[-1])
        out = torch.empty(len(rows), len(weight))
        weight_t = weight.detach().t().contiguous()
        _spikes_times(rows.numpy(), weight_t.numpy(), bias.detach().numpy(), out.numpy())
        ctx.save_for_backward(rows, weight)
        return out.view(*spk.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad):
        rows, weight = ctx.saved_tensors
        delta = grad.reshape(len(rows), -1)
        grad_t = torch.empty(GRAD_GROUPS, rows.shape[1], delta.shape[1])
        _spikes_outer(rows.numpy(), delta.numpy(), grad_t.numpy())
        by_spk = (delta @ weight).view(*grad.shape[:-1], -1)
        return by_spk, grad_t.sum(0).t(), delta.sum(0)


def spike_linear(layer: torch.nn.Linear, spk: torch.Tensor) -> torch.Tensor:
    """Return layer(spk) for spikes of 0 and 1, float32 (num_steps, batch, n_in).

    On the CPU a layer of `WIDE` outputs or more costs what its spikes cost; others are dense.
    """
    if spk.is_cuda or layer.out_features < WIDE:
        return layer(spk)
    return _SpikeLinear.apply(spk, layer.weight, layer.bias)


def lif_layer(cur: torch.Tensor, lif: Lif) -> torch.Tensor:
    """Return the spikes of a layer for given input currents.

    `cur` is float32 (num_steps, batch, n); so is the result, 0 or 1. Differentiable by `cur`.
    """
    if cur.is_cuda:
        from respike.spiking.lif_gpu import lif_layer_gpu

        return lif_layer_gpu(cur, lif)
    return _LifLayer.apply(cur, lif)


def input_layer(
    words: np.ndarray, num_steps: int, weight_t: torch.Tensor, bias: torch.Tensor, lif: Lif
) -> torch.Tensor:
    """Return the spikes of the first layer for encoded images.

    Parameters
    ----------
    words
        Spike trains as bit masks, uint64 (batch, n_pixels, n_words): `respike.spiking.encoding`.
    num_steps
        Time steps T held in `words`.
    weight_t
        float32 (n_pixels, n): transposed, so that one input's weights are contiguous.
    bias
        float32 (n,), added at every step.
    lif
        Constants of the neurons.

    Returns
    -------
    float32 (num_steps, batch, n), 0 or 1. Differentiable by `weight_t` and `bias`.
    """
    if weight_t.is_cuda:
        from respike.spiking.lif_gpu import unpack_torch

        spikes = unpack_torch(words, num_steps, weight_t.device)  # (num_steps, batch, n_pixels)
        return lif_layer(spikes @ weight_t + bias, lif)
    return _InputLayer.apply(weight_t, bias, words, num_steps, lif)


class SpikingMlp(torch.nn.Module):
    """Fully connected layers of LIF neurons on encoded images.

    `sizes` are the neurons per layer, inputs first. Weights are drawn as `torch.nn.Linear` does, or
    as `init` says; the first layer's are stored transposed, (n_pixels, n).
    """

    def __init__(self, sizes, lif: Lif):
        super().__init__()
        self.lif = lif
        first = torch.nn.Linear(sizes[0], sizes[1])
        self.weight_t = torch.nn.Parameter(first.weight.detach().t().contiguous())
        self.bias = torch.nn.Parameter(first.bias.detach())
        self.rest = torch.nn.ModuleList(
            torch.nn.Linear(a, b) for a, b in zip(sizes[1:-1], sizes[2:], strict=True)
        )

    @torch.no_grad()
    def init(self, kind: str, std: float = 0.01):
        """Redraw the weights: `default`, `kaiming` (normal, fan in) or `small` (normal, `std`)."""
        for weight, fan_in in [(self.weight_t, self.weight_t.shape[0])] + [
            (layer.weight, layer.in_features) for layer in self.rest
        ]:
            if kind == "kaiming":
                weight.normal_(0, math.sqrt(2 / fan_in))
            elif kind == "small":
                weight.normal_(0, std)
            elif kind != "default":
                raise ValueError(f"init: found {kind!r}, allowed: default, kaiming, small")
        if kind != "default":
            for bias in [self.bias, *(layer.bias for layer in self.rest)]:
                bias.zero_()

    def forward(self, words: np.ndarray, num_steps: int) -> list[torch.Tensor]:
        """Return the spikes of every layer, each float32 (num_steps, batch, n)."""
        spikes = [input_layer(words, num_steps, self.weight_t, self.bias, self.lif)]
        for layer in self.rest:
            spikes.append(lif_layer(spike_linear(layer, spikes[-1]), self.lif))
        return spikes
