"""The STDP network in torch on any device: replicas (seeds, rules, constants) side by side.

For a GPU. R networks of one neuron model advance in one simulation, each with its own weights,
thresholds and learning rule; networks of one seed may share its input spikes. A step does what
`cpu` does, with matrix products over the batch: WeightDependentPostPre needs the sums
of its outer products only, never a batch x 784 x n array. tests/unit/test_stdp_gpu.py holds it
against `fast` and BindsNET on the CPU.

Random draws come from a torch generator, or are given (`choice`, `fires`).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from respike.sources.stdp_tables.encode import check_encoding, intensities
from respike.sources.stdp_tables.model import (
    N_PIXELS,
    Constants,
    State,
    StdpError,
    check,
    start_state,
)


def encode(images, encoder: str, num_steps: int, intensity: float, generator=None) -> torch.Tensor:
    """Return trains bool (num_steps, ..., 784) of images uint8 (..., 784), on the images' device.

    BindsNET's encoders for a whole batch at once, given copies. With bernoulli the draws of a CPU
    generator are BindsNET's, image by image.
    """
    check_encoding(encoder, num_steps, intensity)
    table = torch.from_numpy(intensities(intensity)).to(images.device)
    datum = table[images.long()]  # (..., 784) float32
    most = datum.amax(dim=-1, keepdim=True)
    if encoder == "bernoulli":
        p = torch.where(most > 1, datum / most.clamp(min=1), datum)
        # (..., num_steps, 784): BindsNET draws all steps of an image, then those of the next
        p = p.unsqueeze(-2).expand(*p.shape[:-1], num_steps, N_PIXELS)
        return torch.bernoulli(p, generator=generator).bool().movedim(-2, 0).contiguous()
    if encoder == "rank_order":
        ink = most > 0
        datum = datum / most.masked_fill(~ink, 1)
        times = torch.where(datum > 0, 1 / datum, 0)
        longest = times.amax(dim=-1, keepdim=True).masked_fill(~ink, 1)
        times = torch.ceil(times * (num_steps / longest)).long()
        times = torch.where((times > 0) & (times < num_steps), times, 0)
    else:
        rate = torch.where(datum > 0, 1 / datum * 1000, 0)
        # A white pixel fires 13 times in 100 ms: no train needs all of num_steps + 1 intervals.
        most_spikes = min(num_steps, math.ceil(2 * num_steps * intensity / 1000) + 24)
        intervals = torch.poisson(
            rate.expand(most_spikes, *rate.shape).contiguous(), generator=generator
        )
        intervals = torch.where((datum > 0) & (intervals == 0), 1, intervals)
        times = intervals.cumsum(dim=0).long()
        times = times.masked_fill(times > num_steps, 0)
    times = times if times.dim() > datum.dim() else times.unsqueeze(0)
    spk = torch.zeros((num_steps + 1, *datum.shape), dtype=torch.bool, device=images.device)
    spk.scatter_(0, times, torch.ones_like(times, dtype=torch.bool))
    return spk[1:].contiguous()  # time 0 collects what fires never


@dataclass
class Replicas:
    """R networks of one neuron model. Constants may differ but for the number of neurons."""

    constants: list[Constants]
    w: torch.Tensor  # float32 (R, 784, n)
    theta: torch.Tensor  # float32 (R, n)
    group: torch.Tensor  # int64 (R,): which of the input trains each one gets

    def states(self) -> list[State]:
        """Return copies of weights and thresholds, one per replica."""
        return [
            State(w.cpu().numpy().copy(), theta.cpu().numpy().copy())
            for w, theta in zip(self.w, self.theta, strict=True)
        ]


def replicas(constants: list[Constants], states: list[State], group, device) -> Replicas:
    """Return networks on a device; raise StdpError if they cannot be advanced together."""
    for c in constants:
        check(c)
    for key in ("neuron", "n_neurons"):
        values = {getattr(c, key) for c in constants}
        if len(values) != 1:
            raise StdpError(f"{key}: found {sorted(values, key=str)}, replicas must have one")
    w = torch.from_numpy(np.stack([s.w for s in states])).to(device)
    theta = torch.from_numpy(np.stack([s.theta for s in states])).to(device)
    return Replicas(list(constants), w, theta, torch.as_tensor(group, device=device))


def _column(constants, key, device, decay=False):
    """Return a constant of every replica, float32 (R, 1, 1); as a decay per ms if wanted."""
    values = [getattr(c, key) for c in constants]
    if decay:
        values = [np.float32(math.exp(np.float32(-1) / np.float32(v))) for v in values]
    return torch.tensor(np.array(values, np.float32), device=device).view(-1, 1, 1)


def present(
    net: Replicas,
    trains: torch.Tensor,
    learn: bool,
    choice: torch.Tensor | None = None,
    fires: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
    spk_out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Present a batch from rest to every replica; return spike counts, float32 (R, batch, n).

    Parameters
    ----------
    net
        Weights and thresholds change with `learn`; weights are normalised at the end.
    trains
        bool (num_steps, G, batch, 784): input spikes of each group.
    choice, fires
        Draws in [0, 1): (num_steps, R, batch) which neuron at threshold fires (diehl_cook), and
        (num_steps, R, batch, n) whether an srm0 neuron does. Drawn from `generator` if not given.
    spk_out
        bool (num_steps, R, batch, n), receives the output spikes.
    """
    cs, device = net.constants, net.w.device
    steps, _, batch, _ = trains.shape
    r, n = len(cs), cs[0].n_neurons
    neuron = cs[0].neuron
    column = {f: _column(cs, f, device) for f in (
        "v_thresh_mV", "v_rest_mV", "v_reset_mV", "refrac_ms", "theta_plus_mV", "d_thresh_mV",
        "inhibit_mV", "nu_pre", "nu_post", "w_max",
    )}  # fmt: skip
    leak = _column(cs, "tc_decay_ms", device, decay=True)
    fade = _column(cs, "tc_trace_ms", device, decay=True)
    theta_decay = _column(cs, "tc_theta_decay_ms", device, decay=True)[:, 0]
    rest, thresh, reset = column["v_rest_mV"], column["v_thresh_mV"], column["v_reset_mV"]
    weighted = torch.tensor([c.rule == "WeightDependentPostPre" for c in cs], device=device)
    any_weighted = bool(weighted.any())  # once: asking a GPU waits for it
    sign = torch.tensor([1.0 if c.rule == "Hebbian" else -1.0 for c in cs], device=device)
    sign = (sign.view(-1, 1, 1) * column["nu_pre"]).to(torch.float32)
    v = (reset if neuron == "if" else rest).expand(r, batch, n).clone()
    held = torch.zeros((r, batch, n), device=device)
    spk = torch.zeros((r, batch, n), device=device)
    counts = torch.zeros((r, batch, n), device=device)
    y = torch.zeros((r, batch, n), device=device)
    x = torch.zeros((r, batch, N_PIXELS), device=device)
    before = torch.zeros((r, batch, N_PIXELS), device=device)
    for t in range(steps):
        own = trains[t][net.group].float()  # (R, batch, 784)
        cur = torch.bmm(before, net.w)
        cur -= column["inhibit_mV"] * (spk.sum(dim=2, keepdim=True) - spk)
        if neuron != "if":
            v = (v - rest) * leak + rest
        if neuron == "diehl_cook" and learn:
            net.theta *= theta_decay
        v = v + torch.where(held > 0, 0, cur)
        held -= 1
        if neuron == "srm0":
            p = 1 - torch.exp(-torch.exp((v - thresh) / column["d_thresh_mV"]))
            u = fires[t] if fires is not None else torch.rand(
                v.shape, device=device, generator=generator)  # fmt: skip
            reached = u < p
        else:
            raised = net.theta[:, None] if neuron == "diehl_cook" else 0
            reached = v >= thresh + raised
        held = torch.where(reached, column["refrac_ms"], held)
        v = torch.where(reached, reset, v)
        spk = reached.float()
        if neuron == "diehl_cook":
            if learn:
                net.theta += column["theta_plus_mV"][:, 0] * spk.sum(dim=1)
            u = choice[t] if choice is not None else torch.rand(
                (r, batch), device=device, generator=generator, dtype=torch.float64)  # fmt: skip
            rank = (u * spk.sum(dim=2)).floor()[:, :, None] + 1  # from 1; among those that reached
            spk = ((spk.cumsum(dim=2) == rank) & reached).float()
        counts += spk
        if spk_out is not None:
            spk_out[t] = spk.bool()
        before = own
        if learn:
            x = torch.where(own > 0, 1, x * fade)
            y = torch.where(spk > 0, 1, y * fade)
            pre = torch.bmm(own.transpose(1, 2), y)  # (R, 784, n): sums over the batch
            post = torch.bmm(x.transpose(1, 2), spk)
            up = column["nu_post"] * post
            plain = net.w + sign * pre + up
            if any_weighted:
                bounded = net.w + (up * (column["w_max"] - net.w) - column["nu_pre"] * pre * net.w)
                plain = torch.where(weighted[:, None, None], bounded, plain)
            net.w = torch.minimum(plain.clamp_(min=0), column["w_max"])
    if learn:
        norm = _column(cs, "norm", device)
        total = net.w.sum(dim=1, keepdim=True)
        net.w = net.w * (norm / torch.where(total == 0, 1, total))
    return counts


def train(
    net: Replicas,
    images: torch.Tensor,
    orders: torch.Tensor,
    encoder: str,
    num_steps: int,
    intensity: float,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Train all replicas once through their images; return spike counts int16 (R, images, n).

    images uint8 (N, 784) and orders int64 (G, images): which images each group sees, in its order.
    Everything stays on the device of the replicas.
    """
    found = torch.zeros(
        (len(net.constants), orders.shape[1], net.w.shape[2]), dtype=torch.int16,
        device=net.w.device,
    )  # fmt: skip
    for first in range(0, orders.shape[1], batch_size):
        index = orders[:, first : first + batch_size]
        trains = encode(images[index], encoder, num_steps, intensity, generator)
        found[:, first : first + batch_size] = present(net, trains, True, generator=generator).to(
            torch.int16
        )
    return found


def table(base: Constants, neurons, rules, seeds, device) -> dict[str, Replicas]:
    """Return neuron -> replicas of all seeds and rules; a group is a seed."""
    found = {}
    for neuron in neurons:
        constants, states, group = [], [], []
        for k, seed in enumerate(seeds):
            for rule in rules:
                c = replace(base, neuron=neuron, rule=rule)
                constants.append(c)
                states.append(start_state(c, seed))
                group.append(k)
        found[neuron] = replicas(constants, states, group, device)
    return found
