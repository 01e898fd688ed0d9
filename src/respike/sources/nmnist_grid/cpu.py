"""The document's network, 2312-H-10 LIF neurons, trained on binned events (CPU, fast path).

Source: nmnist-grid-paper.md, equations (3), (5) and (7), sections 2.3, 3.3 and 3.4:

    mem[t] = beta * mem[t-1] + W x[t] + bias - spk[t-1] * v_thresh,  spk[t] = mem[t] > v_thresh

with v_thresh = 1 and the arctan surrogate as snnTorch computes it, 1 / (1 + (pi (mem - 1))^2).
`reference` is the same network written with snnTorch; tests hold the two
against each other: same spikes, gradients to float tolerance.

Cost follows events: each adds one row of weights. Hidden neurons are taken in tiles of `TILE`,
whose weights (2312 x TILE x 4 bytes = 0.6 MB) and gradients stay in a core's level-2 cache while a
whole batch passes; currents, scan over time and surrogate of a tile never leave its level-1 cache.
Tiles share no sum, so results do not depend on the number of threads.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from respike.data.nmnist.event_frames import N_INPUTS, bin_events, denoise
from respike.spiking.lif import Lif, lif_layer
from respike.spiking.numba_cache import njit, prange

TILE = 64
N_CLASSES = 10
V_THRESH = 1.0
BLOCK = 2000  # recordings binned at a time: bounds the memory of the preparation


class Frames(NamedTuple):
    """Binned recordings: row r * num_steps + t lists the inputs of step t of recording r.

    An input with c events in a step is listed c times, so that the sum over a row is the product of
    the frame's counts with the weights.
    """

    starts: np.ndarray  # (n * num_steps + 1,) int64
    inputs: np.ndarray  # (n_entries,) uint16, p * 1156 + y * 34 + x
    n_frames: np.ndarray  # (n,) int64, frames of each recording, at most num_steps
    num_steps: int

    @property
    def n(self) -> int:
        """Number of recordings."""
        return len(self.n_frames)


def frames_of(
    recordings, which: np.ndarray, t_window: int, filter_time: int, whole: bool, progress=None
) -> Frames:
    """Denoise and bin recordings (document, section 3.2), in the order of `which`.

    Parameters
    ----------
    recordings
        respike.data.nmnist.event_table.Recordings.
    which
        Indices of recordings, int64 (n,).
    t_window, filter_time
        Length of a step and memory of the noise filter, us.
    whole
        True: whole recordings, as the authors' script bins them; False: the first 100 ms,
        100,000 / t_window steps, as the document has it.

    Raises
    ------
    ValueError
        t_window does not divide 100 ms where the first 100 ms are asked for.
    """
    if not whole and 100_000 % t_window:
        raise ValueError(f"t_window is {t_window} us, must divide the 100,000 us of a sample")
    span = {} if whole else {"start_us": 0, "end_us": 100_000}
    parts = []
    for at in range(0, len(which), BLOCK):
        events, offsets = denoise(*recordings.take(which[at : at + BLOCK]), filter_time)
        num_steps = 100_000 // t_window if not whole else _most_frames(events, offsets, t_window)
        parts.append((num_steps, bin_events(events, offsets, t_window, num_steps, **span)))
        if progress:
            progress("recording", min(at + BLOCK, len(which)), len(which))
    most = max((num_steps for num_steps, _ in parts), default=1)
    lengths, inputs = [], []
    for num_steps, bins in parts:
        repeated = np.repeat(bins.inputs.astype(np.uint16), bins.counts)
        total = np.concatenate(([0], np.cumsum(bins.counts, dtype=np.int64)))
        rows = np.diff(total[bins.starts]).reshape(-1, num_steps)
        lengths.append(np.pad(rows, ((0, 0), (0, most - num_steps))).reshape(-1))
        inputs.append(repeated)
    starts = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))) if lengths else np.zeros(1)
    n_frames = np.concatenate([bins.n_frames for _, bins in parts]) if parts else np.zeros(0)
    return Frames(
        starts.astype(np.int64),
        np.concatenate(inputs) if inputs else np.zeros(0, np.uint16),
        np.minimum(n_frames, most).astype(np.int64),
        most,
    )


def _most_frames(events, offsets, t_window) -> int:
    from respike.data.nmnist.event_frames import frame_counts

    return int(frame_counts(events, offsets, t_window).max(initial=1))


@njit(parallel=True, cache=True, error_model="numpy")
def _forward(starts, inputs, index, steps_held, weight, bias, weight_out, mem, out, spikes, beta):
    """Run the hidden layer of a batch; write potentials, output currents and spikes per tile.

    starts, inputs as in Frames, steps_held its num_steps; index int64 (batch,); weight float32
    (tiles, n_inputs, TILE), bias (tiles, TILE), weight_out (tiles, TILE, 10); mem float32
    (tiles, batch or 1, num_steps, TILE); out float32 (tiles, num_steps, batch, 10), set to this
    tile's share; spikes int64 (tiles, num_steps).
    """
    num_steps, batch = out.shape[1], len(index)
    one = np.float32(1.0)
    for k in prange(weight.shape[0]):
        w, b, w_out, share = weight[k], bias[k], weight_out[k], out[k]
        n_kept = mem.shape[1]
        share[:] = np.float32(0.0)
        spikes[k] = 0
        for r in range(batch):
            m = mem[k, r % n_kept]
            row = index[r] * steps_held
            for t in range(num_steps):
                cur = m[t]
                for h in range(TILE):
                    cur[h] = b[h]
                first, last = starts[row + t], starts[row + t + 1]
                fours = first + (last - first) // 4 * 4
                for e in range(first, fours, 4):  # four rows at a time: fewer passes over cur
                    w0, w1 = w[inputs[e]], w[inputs[e + 1]]
                    w2, w3 = w[inputs[e + 2]], w[inputs[e + 3]]
                    for h in range(TILE):
                        cur[h] += (w0[h] + w1[h]) + (w2[h] + w3[h])
                for e in range(fours, last):
                    w0 = w[inputs[e]]
                    for h in range(TILE):
                        cur[h] += w0[h]
                if t > 0:
                    before = m[t - 1]
                    for h in range(TILE):
                        reset = one if before[h] > one else np.float32(0.0)
                        cur[h] = beta * before[h] + cur[h] - reset
                current = share[t, r]
                for h in range(TILE):
                    if cur[h] > one:
                        spikes[k, t] += 1
                        for o in range(N_CLASSES):
                            current[o] += w_out[h, o]


@njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    starts, inputs, index, steps_held, weight_out, mem, grad_out, grad_w, grad_b, grad_w_out,
    beta, slope, gain,
):  # fmt: skip
    """Write the gradients of the hidden layer's parameters; shapes as in `_forward`.

    grad_out float32 (num_steps, batch, 10): gradient by the output currents.
    """
    num_steps, batch = grad_out.shape[0], len(index)
    one, zero = np.float32(1.0), np.float32(0.0)
    for k in prange(grad_w.shape[0]):
        gw, gb, gw_out = grad_w[k], grad_b[k], grad_w_out[k]
        gw[:] = zero
        gb[:] = zero
        gw_out[:] = zero
        w_out = np.ascontiguousarray(weight_out[k].T)  # (10, TILE)
        carry = np.empty(TILE, np.float32)
        grad = np.empty(TILE, np.float32)
        for r in range(batch):
            carry[:] = zero  # gradient by the potential of the step after
            row = index[r] * steps_held
            for t in range(num_steps - 1, -1, -1):
                m, g = mem[k, r, t], grad_out[t, r]
                grad[:] = zero
                for o in range(N_CLASSES):
                    to_class = w_out[o]
                    for h in range(TILE):
                        grad[h] += g[o] * to_class[h]
                for h in range(TILE):
                    x = slope * (m[h] - one)
                    carry[h] = grad[h] * (gain / (one + x * x)) + beta * carry[h]
                for h in range(TILE):
                    gb[h] += carry[h]
                for h in range(TILE):
                    if m[h] > one:
                        for o in range(N_CLASSES):
                            gw_out[h, o] += g[o]
                for e in range(starts[row + t], starts[row + t + 1]):
                    to_input = gw[inputs[e]]
                    for h in range(TILE):
                        to_input[h] += carry[h]


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, bias, weight_out, frames, index, num_steps, beta, gain, spikes):
        tiles, batch = weight.shape[0], len(index)
        keep = batch if any(ctx.needs_input_grad) else 1  # a test needs no potentials afterwards
        mem = torch.empty(tiles, keep, num_steps, TILE)
        out = torch.empty(tiles, num_steps, batch, N_CLASSES)
        arrays = (p.detach().numpy() for p in (weight, bias, weight_out))
        _forward(
            frames.starts, frames.inputs, index, frames.num_steps, *arrays, mem.numpy(),
            out.numpy(), spikes, np.float32(beta),
        )  # fmt: skip
        ctx.save_for_backward(weight_out, mem)
        ctx.rest = (frames, index, weight.shape, beta, gain)
        return out.sum(dim=0)

    @staticmethod
    def backward(ctx, grad_out):
        weight_out, mem = ctx.saved_tensors
        frames, index, shape, beta, gain = ctx.rest
        grads = [torch.empty(shape), torch.empty(shape[0], TILE), torch.empty_like(weight_out)]
        _backward(
            frames.starts, frames.inputs, index, frames.num_steps, weight_out.detach().numpy(),
            mem.numpy(), grad_out.contiguous().numpy(), *(g.numpy() for g in grads),
            np.float32(beta), np.float32(math.pi), np.float32(gain),
        )  # fmt: skip
        return *grads, *[None] * 6


def init_dense(n_hidden: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Return weights (H, 2312), (H,), (10, H), (10,), drawn from U(+-1/sqrt(n_prev)), (7)."""
    torch.manual_seed(seed)
    hidden, output = torch.nn.Linear(N_INPUTS, n_hidden), torch.nn.Linear(n_hidden, N_CLASSES)
    drawn = (hidden.weight, hidden.bias, output.weight, output.bias)
    return tuple(p.detach() for p in drawn)


class EventMlp(torch.nn.Module):
    """2312-H-10 LIF neurons on binned events; weights start as document, equation (7).

    Parameters
    ----------
    n_hidden
        H; the last tile is filled up with neurons without connections, which stay silent and
        whose gradients are 0.
    beta
        Share of the membrane potential that is left after a step.
    seed
        Of the weights.
    surrogate_gain
        Factor on the surrogate's derivative: 1 as snnTorch computes it, 1 / pi as the document
        (section 2.3) and snnTorch's manual print it.
    """

    def __init__(self, n_hidden: int, beta: float, seed: int, surrogate_gain: float = 1.0):
        super().__init__()
        if n_hidden < 1:
            raise ValueError(f"n_hidden is {n_hidden}, must be at least 1")
        self.n_hidden, self.beta, self.gain = n_hidden, beta, surrogate_gain
        self.weight = torch.nn.Parameter(torch.empty(0))
        self.bias = torch.nn.Parameter(torch.empty(0))
        self.weight_out = torch.nn.Parameter(torch.empty(0))
        self.bias_out = torch.nn.Parameter(torch.empty(0))
        self.load_dense(*init_dense(n_hidden, seed))

    @torch.no_grad()
    def load_dense(self, weight, bias, weight_out, bias_out) -> None:
        """Take weights (H, 2312), (H,), (10, H), (10,) as torch.nn.Linear holds them."""
        tiles = -(-self.n_hidden // TILE)
        pad = tiles * TILE - self.n_hidden
        wide = torch.nn.functional.pad
        self.weight.data = (
            wide(weight.t(), (0, pad)).reshape(N_INPUTS, tiles, TILE).transpose(0, 1).contiguous()
        )
        self.bias.data = wide(bias, (0, pad)).reshape(tiles, TILE).contiguous()
        self.weight_out.data = wide(weight_out.t(), (0, 0, 0, pad)).reshape(tiles, TILE, N_CLASSES)
        self.weight_out.data = self.weight_out.data.contiguous()
        self.bias_out.data = bias_out.detach().clone()

    def dense(self, weight=None, bias=None, weight_out=None) -> tuple[torch.Tensor, ...]:
        """Return the weights, or tensors of their shape, as `load_dense` takes them."""
        weight = self.weight if weight is None else weight
        bias = self.bias if bias is None else bias
        weight_out = self.weight_out if weight_out is None else weight_out
        h = self.n_hidden
        return (
            weight.transpose(0, 1).reshape(N_INPUTS, -1)[:, :h].t(),
            bias.reshape(-1)[:h],
            weight_out.reshape(-1, N_CLASSES)[:h].t(),
            self.bias_out,
        )

    def forward(
        self, frames: Frames, index: np.ndarray, num_steps: int | None = None
    ) -> tuple[torch.Tensor, np.ndarray]:
        """Return output spikes float32 (num_steps, batch, 10) and hidden spikes int64 (num_steps,).

        `index` int64 (batch,) picks recordings of `frames`. Without `num_steps` the batch runs
        as long as its longest recording, as tonic's PadTensors makes it.
        """
        index = np.ascontiguousarray(index, dtype=np.int64)
        num_steps = int(num_steps or frames.n_frames[index].max())
        spikes = np.empty((self.weight.shape[0], num_steps), np.int64)
        out = _Hidden.apply(
            self.weight, self.bias, self.weight_out, frames, index, num_steps, self.beta,
            self.gain, spikes,
        )  # fmt: skip
        lif = Lif(beta=self.beta, v_thresh=V_THRESH, surrogate="arctan", slope=math.pi)
        out = out + self.bias_out
        if self.gain != 1.0 and out.requires_grad:
            out.register_hook(lambda grad: grad * self.gain)
        return lif_layer(out, lif), spikes.sum(axis=0)


def mse_count_loss(spk_out: torch.Tensor, labels: torch.Tensor, correct: float, incorrect: float):
    """Return the loss of section 3.4 as snnTorch's `mse_count_loss` computes it.

    `spk_out` (num_steps, batch, 10), `labels` int64 (batch,); targets are int(num_steps * rate)
    spikes for the right and for each wrong class; the mean square error is divided by num_steps.
    """
    num_steps, batch, _ = spk_out.shape
    target = torch.full_like(spk_out[0], float(int(num_steps * incorrect)))
    target[torch.arange(batch, device=spk_out.device), labels] = float(int(num_steps * correct))
    return torch.nn.functional.mse_loss(spk_out.sum(dim=0), target) / num_steps
