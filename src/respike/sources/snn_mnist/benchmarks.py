"""Network 784-250-10, T=50, batch 128: ours against the loop that snnTorch's tutorials show."""

import numpy as np
import snntorch
import torch
from snntorch import spikegen, surrogate

from respike.commands.benchmark import Case
from respike.spiking.encoding import encode, stream_key, unpack
from respike.spiking.lif import Lif, SpikingMlp

SIZES, NUM_STEPS, BATCH, BETA = (784, 250, 10), 50, 128, 0.95


class Stock(torch.nn.Module):
    """snnTorch step by step."""

    def __init__(self):
        super().__init__()
        spike_grad = surrogate.fast_sigmoid(slope=25)
        self.fc1, self.fc2 = torch.nn.Linear(784, 250), torch.nn.Linear(250, 10)
        self.lif1 = snntorch.Leaky(BETA, spike_grad=spike_grad)
        self.lif2 = snntorch.Leaky(BETA, spike_grad=spike_grad)

    def forward(self, x, spikes=None):
        """Return spike counts (batch, 10) for intensities (batch, 784) in [0, 1].

        Spikes (num_steps, batch, 784) may be given; else each step draws its own.
        """
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        record = []
        for t in range(NUM_STEPS):
            spk_in = (torch.rand_like(x) < x).float() if spikes is None else spikes[t]
            spk1, mem1 = self.lif1(self.fc1(spk_in), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            record.append(spk2)
        return torch.stack(record).sum(dim=0)


def cases(data, device, threads):
    """Return training step, forward pass and encoding."""
    torch.manual_seed(0)
    images = data.train_images[:BATCH].reshape(BATCH, 784)
    index = np.arange(BATCH)
    x = (torch.from_numpy(images).float() / 255).to(device)
    labels = torch.from_numpy(data.train_labels[:BATCH]).to(device)
    key = stream_key(0, 0)

    net = SpikingMlp(SIZES, Lif(beta=BETA)).to(device)
    net.init("kaiming")
    stock = Stock().to(device)
    with torch.no_grad():  # equal weights: equal activity
        stock.fc1.weight.copy_(net.weight_t.t())
        stock.fc1.bias.copy_(net.bias)
        stock.fc2.weight.copy_(net.rest[0].weight)
        stock.fc2.bias.copy_(net.rest[0].bias)

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def trainer(model, counts):
        # lr 0: Adam does all its work, and the activity stays that of the start in every round.
        optimiser = torch.optim.Adam(model.parameters(), lr=0.0)

        def step():
            loss = torch.nn.functional.cross_entropy(counts(), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            wait()

        return step

    words = encode(images, index, NUM_STEPS, key)
    spikes = torch.from_numpy(unpack(words, NUM_STEPS)).float().to(device)

    def ours_counts():
        return net(encode(images, index, NUM_STEPS, key), NUM_STEPS)[-1].sum(dim=0)

    def ours_counts_of_given():
        return net(words, NUM_STEPS)[-1].sum(dim=0)

    def without_grad(counts):
        def forward():
            with torch.no_grad():
                counts()
            wait()

        return forward

    rows = NUM_STEPS * BATCH
    spk_in = spikes.reshape(rows, 784)
    spk1, delta1 = torch.rand(rows, 250, device=device), torch.rand(rows, 250, device=device)
    delta2, w1, w2 = (torch.rand(s, device=device) for s in ((rows, 10), (784, 250), (250, 10)))

    def forward_products():
        spk_in @ w1
        spk1 @ w2
        wait()

    def all_products():
        spk_in @ w1
        spk1 @ w2
        spk_in.t() @ delta1
        spk1.t() @ delta2
        delta2 @ w2.t()
        wait()

    def rate():
        spikegen.rate(x, num_steps=NUM_STEPS)
        wait()

    def ours_rate():
        if device == "cuda":
            from respike.spiking.lif_gpu import unpack_torch

            unpack_torch(encode(images, index, NUM_STEPS, key), NUM_STEPS, device)
            wait()
        else:
            encode(images, index, NUM_STEPS, key)

    dense = "floor: the dense matrix products alone, all steps at once"
    if device == "cpu":
        dense += "; ours sums events instead and may be below it"
    common = {"unit": "ms per batch", "device": device, "threads": threads}
    one_thread = Case(  # the stock loop may be quicker so: its steps are small
        "snn_mnist training step (one thread)", ours=trainer(net, ours_counts),
        peer=trainer(stock, lambda: stock(x)), floor=all_products,
        note=f"784-250-10, T=50, batch 128, Adam, encoding included; {dense}",
        **common | {"threads": 1},
    )  # fmt: skip
    return [
        Case(
            "snn_mnist training step", ours=trainer(net, ours_counts),
            peer=trainer(stock, lambda: stock(x)), floor=all_products,
            note=f"784-250-10, T=50, batch 128, Adam, encoding included; {dense}", **common,
        ),
        Case(
            "snn_mnist training step (spikes given)", ours=trainer(net, ours_counts_of_given),
            peer=trainer(stock, lambda: stock(x, spikes)), floor=all_products,
            note=f"the same without encoding; {dense}", **common,
        ),
        Case(
            "snn_mnist forward", ours=without_grad(ours_counts),
            peer=without_grad(lambda: stock(x)), floor=forward_products,
            note=f"encoding included, no gradient; {dense}", **common,
        ),
        *([one_thread] if device == "cpu" and threads > 1 else []),
        Case(
            "rate encoding", ours=ours_rate, peer=rate,
            note="T=50, batch 128; peer: snntorch.spikegen.rate, float spikes; ours: bit masks"
            + (", unpacked to floats on the GPU" if device == "cuda" else ""),
            **common,
        ),
    ]  # fmt: skip
