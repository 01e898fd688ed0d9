"""The layers of `respike.spiking.lif` on a GPU: all time steps of a layer in one Triton kernel.

Every program advances a block of neurons through all steps, with the membrane potential in
registers. `TRITON_INTERPRET=1` runs the same kernels on the CPU, which is how machines without a
GPU test them. Multiply and add are kept apart (`enable_fp_fusion=False`): fused, they round
differently from the CPU and can flip a spike.
"""

import numpy as np
import torch
import triton
import triton.language as tl

from respike.spiking.encoding import WORD_STEPS

BLOCK = 256  # neurons per program: 2 a thread at Triton's default of 4 warps


@triton.jit
def _forward(
    cur, mem, spk, betas, size, width, num_steps, v_thresh,
    RESET: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    beta = tl.load(betas + at % width)
    m = tl.zeros((BLOCK,), tl.float32)
    s = tl.zeros((BLOCK,), tl.float32)
    for t in range(num_steps):
        here = t * size + at
        c = tl.load(cur + here, mask=inside, other=0.0)
        if RESET == 0:
            m = beta * m + c - s * v_thresh
        else:
            m = beta * ((1.0 - s) * m) + c
        s = (m - v_thresh > 0).to(tl.float32)
        tl.store(mem + here, m, mask=inside)
        tl.store(spk + here, s, mask=inside)


@triton.jit
def _backward(
    grad, mem, delta, betas, size, width, num_steps, v_thresh, slope,
    RESET: tl.constexpr, DETACHED: tl.constexpr, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    beta = tl.load(betas + at % width)
    carry = tl.zeros((BLOCK,), tl.float32)
    for back in range(num_steps):
        here = (num_steps - 1 - back) * size + at
        m = tl.load(mem + here, mask=inside, other=0.0)
        g = tl.load(grad + here, mask=inside, other=0.0)
        x = m - v_thresh
        keep = carry * beta
        if not DETACHED:
            if RESET == 0:
                g = g - v_thresh * carry
            else:
                g = g - beta * m * carry
        if RESET == 1:
            keep = tl.where(x > 0, 0.0, keep)
        if KIND == 0:
            y = 1.0 + slope * tl.abs(x)
            h = 1.0 / (y * y)
        elif KIND == 1:
            y = 1.0 / (1.0 + tl.exp(-slope * x))
            h = y * (1.0 - y)
        else:
            y = slope * x
            h = 1.0 / (1.0 + y * y)
        carry = g * h + keep
        tl.store(delta + here, carry, mask=inside)


class _LifLayerGpu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cur, lif, betas):
        cur = cur.contiguous()
        mem, spk = torch.empty_like(cur), torch.empty_like(cur)
        _, v_thresh, reset, *_ = lif.numbers()
        size, width = cur[0].numel(), cur.shape[-1]
        _forward[(triton.cdiv(size, BLOCK),)](
            cur, mem, spk, betas, size, width, cur.shape[0], float(v_thresh), reset, BLOCK,
            enable_fp_fusion=False,
        )  # fmt: skip
        ctx.save_for_backward(mem, betas)
        ctx.lif = lif
        return spk

    @staticmethod
    def backward(ctx, grad):
        mem, betas = ctx.saved_tensors
        delta = torch.empty_like(mem)
        _, v_thresh, reset, detached, kind, slope = ctx.lif.numbers()
        size, width = mem[0].numel(), mem.shape[-1]
        _backward[(triton.cdiv(size, BLOCK),)](
            grad.contiguous(), mem, delta, betas, size, width, mem.shape[0],
            float(v_thresh), float(slope), reset, detached, kind, BLOCK,
            enable_fp_fusion=False,
        )  # fmt: skip
        return delta, None, None


def lif_layer_gpu(cur: torch.Tensor, lif, betas: torch.Tensor | None = None) -> torch.Tensor:
    """Return the spikes of a layer, see `respike.spiking.lif.lif_layer`; `cur` float32 on a GPU.

    `betas` float32 (n,) gives each neuron its own leak in place of lif.beta: layers of several
    networks side by side.
    """
    if betas is None:
        betas = torch.full((cur.shape[-1],), float(lif.beta), device=cur.device)
    return _LifLayerGpu.apply(cur, lif, betas)


def unpack_torch(words: np.ndarray, num_steps: int, device) -> torch.Tensor:
    """Return bit masks as float32 spikes (num_steps, batch, n_pixels) on a torch device.

    Only the masks cross to the device; they are unpacked there.
    """
    t = torch.arange(num_steps, device=device)
    masks = torch.from_numpy(words.view(np.int64)).to(device)
    picked = masks.permute(2, 0, 1)[t // WORD_STEPS]  # (num_steps, batch, n_pixels)
    return ((picked >> (t % WORD_STEPS)[:, None, None]) & 1).float()
