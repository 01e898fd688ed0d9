"""Training step of the N-MNIST grid network: ours against tonic's frames and snnTorch's loop.

The peer is what the document's authors ran: frames of tonic's ToFrame, cached (here in memory,
which flatters it), then snnTorch step by step, its loss and Adam. Both train on the same batches of
128, first 100 ms, t_window 2000, 800 hidden neurons. The floor is the arithmetic of the input layer
alone, dense: frames times weights, and the gradient by the weights.

What the events ask for at least, per recording: 1,407 events x 800 neurons, each added once
forward and once backward, 2.3 million additions (dense: 185 million), and 50 x 800 updates of a
potential each way. Per batch that is 0.29 billion additions and 20 MB of potentials written and
read back.
"""

import re
from pathlib import Path

import numpy as np
import torch

from respike.commands.benchmark import Case
from respike.data.emulator import camera, parameters
from respike.data.nmnist import event_table
from respike.sources.nmnist_grid.cpu import EventMlp, frames_of, mse_count_loss
from respike.sources.nmnist_grid.reference import SnnTorchMlp, loss_function

N_HIDDEN, BETA, RATES, BATCH, N = 800, 0.9, (0.8, 0.2), 128, 512


def recordings(data) -> event_table.Recordings:
    """Return emulated recordings of the first training images."""
    found = camera.emulate(
        data.train_images[:N], np.arange(N), 0, parameters.load_parameters(), "cpu"
    )
    events, counts = found[0], found[1]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    labels = data.train_labels[:N].astype(np.uint8)
    return event_table.Recordings(events, offsets, labels, np.arange(N, dtype=np.int32), "")


def peak_mb(function) -> float | None:
    """Return by how much a call raises the memory of this process, MB; None where not known."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        status = Path("/proc/self/status").read_text
        before = int(re.search(r"VmRSS:\s+(\d+)", status()).group(1))
        function()
        return (int(re.search(r"VmHWM:\s+(\d+)", status()).group(1)) - before) / 1024
    except (OSError, AttributeError):
        return None


def cases(data, device, threads):
    """Return one training step of a batch; on a GPU the same, and eight networks side by side."""
    held = recordings(data)
    frames = frames_of(held, np.arange(N), 2000, 10_000, whole=False)
    labels = held.labels.astype(np.int64)
    dense = torch.zeros(N * 50, 2312)
    rows = np.repeat(np.arange(N * 50), np.diff(frames.starts))
    dense.index_put_(
        (torch.from_numpy(rows), torch.from_numpy(frames.inputs.astype(np.int64))),
        torch.tensor(1.0), accumulate=True,
    )  # fmt: skip
    dense = dense.view(N, 50, 2, 34, 34).transpose(0, 1).contiguous()
    batches = [np.arange(at, at + BATCH) for at in range(0, N, BATCH)]
    peer = _Stock(dense.to(device), torch.from_numpy(labels).to(device), batches, device)
    weight = torch.randn(2312, N_HIDDEN, device=device) * 0.02
    x = dense[:, batches[0]].reshape(-1, 2312).to(device)
    delta = torch.randn(len(x), N_HIDDEN, device=device)

    def floor():
        (x @ weight).sum()
        (x.t() @ delta).sum()

    common = {"unit": "ms per batch", "floor": floor, "threads": threads, "device": device}
    what = "H 800, t_window 2000, batch 128, first 100 ms, emulated recordings"
    if device == "cuda":
        return [
            Case(
                f"nmnist_grid training step, {n} side by side",
                ours=_OnGpu(frames, labels, batches, n, device).step, peer=peer.step,
                per_call=n, peer_per_call=1, note=f"{what}; peer: snnTorch's loop", **common,
            )
            for n in (1, 8)
        ]  # fmt: skip
    ours = _Ours(frames, torch.from_numpy(labels), batches)
    memory = [peak_mb(side.step) for side in (ours, peer)]  # first steps: later ones reuse memory
    said = ", ".join("unknown" if m is None else f"{m:.0f} MB" for m in memory)
    return [
        Case(
            "nmnist_grid training step", ours=ours.step, peer=peer.step,
            note=f"{what}; peer: frames in memory, snnTorch's loop; peak memory of a step: {said}",
            **common,
        )
    ]  # fmt: skip


class _Ours:
    def __init__(self, frames, labels, batches):
        self.frames, self.labels, self.batches, self.at = frames, labels, batches, 0
        self.net = EventMlp(N_HIDDEN, BETA, seed=0)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=0.02, weight_decay=1e-5, fused=True)

    def step(self):
        batch = self.batches[self.at % len(self.batches)]
        self.at += 1
        loss = mse_count_loss(self.net(self.frames, batch)[0], self.labels[batch], *RATES)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()


class _Stock:
    def __init__(self, dense, labels, batches, device):
        self.dense, self.labels, self.batches, self.at = dense, labels, batches, 0
        torch.manual_seed(0)
        self.net = SnnTorchMlp(N_HIDDEN, BETA).to(device)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=0.02, weight_decay=1e-5)
        self.loss = loss_function(*RATES)

    def step(self):
        batch = self.batches[self.at % len(self.batches)]
        self.at += 1
        loss = self.loss(self.net(self.dense[:, batch])[0], self.labels[batch])
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        if loss.is_cuda:
            torch.cuda.synchronize()


class _OnGpu:
    def __init__(self, frames, labels, batches, n, device):
        from respike.sources.nmnist_grid.gpu import DeviceFrames, SideBySide
        from respike.sources.nmnist_grid.training import Training

        trainings = [Training(N_HIDDEN, BETA, RATES, BATCH, 1, 0.02, 1e-5)] * n
        self.net = SideBySide(trainings, list(range(n))).to(device)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=0.02, weight_decay=1e-5, fused=True)
        self.frames, self.batches, self.at = DeviceFrames(frames, device), batches, 0
        self.labels = torch.from_numpy(labels).to(device)

    def step(self):
        batch = self.batches[self.at % len(self.batches)]
        self.at += 1
        outputs, _ = self.net(self.frames.dense(batch, 50))
        labels = self.labels[torch.from_numpy(batch).to(self.labels.device)]
        loss = sum(mse_count_loss(out, labels, *RATES) for out in outputs)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        torch.cuda.synchronize()
