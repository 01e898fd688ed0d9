"""Several networks of the grid side by side on one device, trained on the same batches.

The binned events stay on the device as they are in `Frames` (3 bytes an event); a batch is spread
into dense frames there, all time steps of all networks enter one matrix product, and one Triton
kernel scans the hidden neurons of all networks over time, each with its network's beta. Nothing is
shared between networks but the input, so each trains as it would alone; tests hold them against
`cpu` (Triton's interpreter runs the kernels on the CPU).
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from respike.data.nmnist.event_frames import N_INPUTS
from respike.sources.nmnist_grid.cpu import N_CLASSES, V_THRESH, Frames, init_dense, mse_count_loss
from respike.spiking.lif import Lif
from respike.spiking.lif_gpu import lif_layer_gpu

TEST_BATCH = 500


class DeviceFrames:
    """`Frames` on a device."""

    def __init__(self, frames: Frames, device: str):
        self.num_steps = frames.num_steps
        self.n_frames = frames.n_frames
        self.starts = torch.from_numpy(frames.starts).to(device)
        self.inputs = torch.from_numpy(frames.inputs.view(np.int16)).to(device)  # below 2^15

    def dense(self, index: np.ndarray, num_steps: int) -> torch.Tensor:
        """Return frames float32 (num_steps, batch, 2312) of the recordings `index`."""
        device, batch = self.starts.device, len(index)
        first_row = torch.from_numpy(np.asarray(index, np.int64)).to(device) * self.num_steps
        rows = torch.arange(num_steps, device=device)[:, None] + first_row  # (num_steps, batch)
        first, last = self.starts[rows].reshape(-1), self.starts[rows + 1].reshape(-1)
        held = last - first
        row = torch.repeat_interleave(torch.arange(len(held), device=device), held)
        before = torch.cumsum(held, 0) - held
        entry = torch.arange(len(row), device=device) + (first - before)[row]
        out = torch.zeros(num_steps * batch * N_INPUTS, device=device)
        at = row * N_INPUTS + self.inputs[entry].long()
        out.index_add_(0, at, torch.ones_like(at, dtype=torch.float32))
        return out.view(num_steps, batch, N_INPUTS)


class SideBySide(torch.nn.Module):
    """Networks of H_1, H_2, ... hidden neurons; `trainings` as in training.

    Each starts from its own seed with the weights that EventMlp would draw.
    """

    def __init__(self, trainings, seeds):
        super().__init__()
        self.sizes = [s.n_hidden for s in trainings]
        drawn = [init_dense(s.n_hidden, seed) for s, seed in zip(trainings, seeds, strict=True)]
        join = torch.nn.Parameter
        self.weight = join(torch.cat([w.t() for w, *_ in drawn], dim=1).contiguous())
        self.bias = join(torch.cat([b for _, b, *_ in drawn]))
        self.weight_out = torch.nn.ParameterList(w.contiguous() for *_, w, _ in drawn)
        self.bias_out = torch.nn.ParameterList(b for *_, b in drawn)
        self.gains = [s.surrogate_gain for s in trainings]
        betas = torch.tensor([s.beta for s in trainings])
        self.register_buffer("betas", betas.repeat_interleave(torch.tensor(self.sizes)))
        self.register_buffer("betas_out", betas.repeat_interleave(N_CLASSES))
        scale = torch.tensor(self.gains)
        self.register_buffer("gain", scale.repeat_interleave(torch.tensor(self.sizes)))
        self.register_buffer("gain_out", scale.repeat_interleave(N_CLASSES))

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return output and hidden spikes of each network for frames (num_steps, batch, 2312)."""
        lif = Lif(beta=0.0, v_thresh=V_THRESH, surrogate="arctan", slope=math.pi)
        hidden = self._layer(x @ self.weight + self.bias, lif, self.betas, self.gain)
        parts = hidden.split(self.sizes, dim=2)
        cur = [
            torch.nn.functional.linear(part, w, b)
            for part, w, b in zip(parts, self.weight_out, self.bias_out, strict=True)
        ]
        out = self._layer(torch.cat(cur, dim=2), lif, self.betas_out, self.gain_out)
        return list(out.split(N_CLASSES, dim=2)), list(parts)

    def _layer(self, cur, lif, betas, gain):
        if cur.requires_grad and any(g != 1.0 for g in self.gains):
            cur.register_hook(lambda grad: grad * gain)
        return lif_layer_gpu(cur, lif, betas)


class Curves(dict):
    """Curves of one network, one number per epoch each.

    `train_s_per_epoch` can be asked for as well; it is one number and no curve, so it is not among
    the series of a result.
    """

    train_s_per_epoch = float("nan")

    def __missing__(self, name: str) -> float:
        if name == "train_s_per_epoch":
            return self.train_s_per_epoch
        raise KeyError(name)


def train_side_by_side(
    frames: Frames,
    labels: np.ndarray,
    index: np.ndarray,
    trainings: list,
    seeds: list[int],
    order_seed: int,
    follow: dict[str, tuple[Frames, np.ndarray, np.ndarray]],
    device: str = "cuda",
    optimiser_state: dict | None = None,
    progress: Callable | None = None,
) -> tuple[SideBySide, torch.optim.Adam, list[Curves]]:
    """Train networks that share batch size, epochs, learning rate and weight decay.

    Returns the networks, the optimiser and for each network its curves: `loss` and accuracy per
    name of `follow`, and its share of the wall time of an epoch.

    Raises
    ------
    ValueError
        The trainings differ in what they must share.
    """
    shared = {(s.batch_size, s.epochs, s.lr, s.l2) for s in trainings}
    if len(shared) != 1:
        raise ValueError(f"networks side by side must share batch size, epochs, lr, l2: {shared}")
    ((batch_size, epochs, lr, l2),) = shared
    net = SideBySide(trainings, seeds).to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=lr, weight_decay=l2, fused=True)
    if optimiser_state is not None:
        optimiser.load_state_dict({**optimiser.state_dict(), "state": optimiser_state})
    held = DeviceFrames(frames, device)
    rng = np.random.default_rng(order_seed)
    targets = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    found = [Curves({"loss": [], **{name: [] for name in follow}}) for _ in trainings]
    starts, wall_s = range(0, len(index), batch_size), 0.0
    for epoch in range(epochs):
        since = time.perf_counter()
        order = rng.permutation(index)
        losses = []
        for k, at in enumerate(starts, 1):
            batch = order[at : at + batch_size]
            num_steps = int(held.n_frames[batch].max())
            outputs, _ = net(held.dense(batch, num_steps))
            wanted = targets[torch.from_numpy(batch).to(device)]
            each = torch.stack(
                [
                    mse_count_loss(out, wanted, *s.rates)
                    for out, s in zip(outputs, trainings, strict=True)
                ]
            )
            optimiser.zero_grad()
            each.sum().backward()
            optimiser.step()
            losses.append(each.detach())
            if progress and k % 50 == 0:
                progress("batch", epoch * len(starts) + k, epochs * len(starts))
        mean = torch.stack(losses).mean(dim=0).tolist()  # waits for the device
        wall_s += time.perf_counter() - since
        for one, loss in zip(found, mean, strict=True):
            one["loss"].append(loss)
        for name, (own_frames, own_labels, own_index) in follow.items():
            own = held if own_frames is frames else DeviceFrames(own_frames, device)
            right = [
                float((counts.argmax(axis=1) == own_labels[own_index]).mean())
                for counts in output_counts(net, own, own_index)[0]
            ]
            for one, share in zip(found, right, strict=True):
                one[name].append(share)
    for one, size in zip(found, net.sizes, strict=True):
        one.train_s_per_epoch = wall_s / max(epochs, 1) * size / sum(net.sizes)
    return net, optimiser, found


@torch.no_grad()
def output_counts(net: SideBySide, frames: DeviceFrames, index: np.ndarray) -> tuple:
    """Return for each network output spike counts (n, 10) and mean hidden spikes per recording."""
    counts, spikes = [[] for _ in net.sizes], np.zeros(len(net.sizes))
    for at in range(0, len(index), TEST_BATCH):
        batch = index[at : at + TEST_BATCH]
        outputs, hidden = net(frames.dense(batch, int(frames.n_frames[batch].max())))
        for one, out in zip(counts, outputs, strict=True):
            one.append(out.sum(dim=0).cpu().numpy())
        spikes += [float(part.sum()) for part in hidden]
    return [np.concatenate(one) for one in counts], spikes / max(len(index), 1)
