"""The network of `reference` for a batch of images in torch, on the CPU or a GPU.

Source: kulkarni-forward-paper.md, Sections III to VIII. A loop over time steps with every neuron of
every image in one tensor: what a GPU does well. The convolution of the spikes of 16 steps at a time
is one call. On the CPU `cpu` is quicker.
"""

import numpy as np
import torch

from respike.sources.kulkarni_forward.neuron import Constants, Variant, pixel_trains, resume_steps

CHUNK = 16  # steps convolved together; bounds the memory, changes no number


class _Layer:
    """State of one layer of neurons for a batch; potentials are counted from E_L."""

    def __init__(self, shape, c: Constants, variant: Variant, like: torch.Tensor):
        a = c.dt_ms * c.g_leak_nS / c.c_pF
        self.slope = a if variant.integrator == "euler" else a - a * a / 2
        self.per_pA = self.slope / c.g_leak_nS
        self.theta = c.v_thresh_mV - c.v_rest_mV
        self.variant, self.resume = variant, resume_steps(c, variant)
        start = 0.0 if variant.starts_at_rest else -c.v_rest_mV
        self.u = torch.full(shape, start, device=like.device, dtype=like.dtype)
        self.free_at = torch.full(
            shape, int(self.resume[-1]), device=like.device, dtype=torch.int32
        )

    def step(self, t: int, cur: torch.Tensor) -> torch.Tensor:
        """Return the spikes, bool, of step t for currents in pA (batch, n)."""
        held = self.free_at > t
        if self.variant.holds_first:
            held[:, 0] |= held.any(dim=1)
        self.u = ((1 - self.slope) * self.u + self.per_pA * cur).masked_fill(held, 0.0)
        over = torch.ge if self.variant.fires_at_threshold else torch.gt
        fired = over(self.u, self.theta)
        self.u = self.u.masked_fill(fired, 0.0)
        self.free_at = self.free_at.masked_fill(fired, int(self.resume[t]))
        return fired


@torch.no_grad()
def forward(
    images: np.ndarray,
    filters: np.ndarray,
    weights: np.ndarray,
    c: Constants,
    variant: Variant,
    gain_pA: float,
    gain_out_pA: float,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    decay: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return spike counts of the hidden layer (batch, n) and of the outputs (batch, 10).

    images uint8 (batch, 28, 28), filters (n_filters, 3, 3), weights (10, n). With `decay` the
    modified pass of Section VIII runs. Only the double-exponential synapse.
    """
    at = {"device": device, "dtype": dtype}
    kernel = torch.as_tensor(filters, **at)[:, None]  # (n_filters, 1, 3, 3)
    w_t = torch.as_tensor(weights, **at).t()  # (n, 10)
    index = torch.from_numpy(np.ascontiguousarray(images)).to(device).long()
    batch = len(images)
    if decay is None:
        trains = torch.as_tensor(pixel_trains(c, variant), **at)  # (num_steps, 256)
    else:
        feature = torch.nn.functional.conv2d(index.to(dtype)[:, None] / 255, kernel)
        feature = gain_pA * feature.flatten(1)
    n = weights.shape[1]
    hidden, output = _Layer((batch, n), c, variant, w_t), _Layer((batch, 10), c, variant, w_t)
    keep_slow, keep_fast = (np.exp(-c.dt_ms / tau) for tau in (c.tau1_ms, c.tau2_ms))
    slow, fast = torch.zeros(batch, 10, **at), torch.zeros(batch, 10, **at)
    counts = torch.zeros(batch, n, device=device, dtype=torch.int32)
    counts_out = torch.zeros(batch, 10, device=device, dtype=torch.int32)
    for start in range(0, c.num_steps, CHUNK):
        steps = min(CHUNK, c.num_steps - start)
        if decay is None:
            maps = trains[start : start + steps][:, index]  # (steps, batch, 28, 28)
            cur = torch.nn.functional.conv2d(maps.flatten(0, 1)[:, None], kernel)
            cur = gain_pA * cur.view(steps, batch, n)
        for k in range(steps):
            t = start + k
            spk = hidden.step(t, cur[k] if decay is None else feature * decay**t)
            counts += spk
            arriving = gain_out_pA * (spk.to(dtype) @ w_t)
            slow, fast = slow * keep_slow + arriving, fast * keep_fast + arriving
            counts_out += output.step(t, slow - fast)
    return counts.cpu().numpy(), counts_out.cpu().numpy()
