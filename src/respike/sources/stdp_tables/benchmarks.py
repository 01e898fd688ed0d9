"""Training of the STDP networks: ours against stock BindsNET, encoding included on both sides.

One call presents one batch of 64 images, 100 ms; BindsNET encodes image by image, as its data sets
do, and runs `Network.run`. Both networks go on learning from call to call. On a GPU ours advances
15 networks (three rules, five seeds) at once, BindsNET one.
"""

import itertools

import numpy as np
import torch

from respike.commands.benchmark import Case
from respike.sources.stdp_tables import cpu, gpu
from respike.sources.stdp_tables.encode import encode, intensities
from respike.sources.stdp_tables.model import RULES, Constants, check_images, start_state
from respike.spiking.encoding import stream_key

BATCH, STEPS, INTENSITY, SEEDS = 64, 100, 128.0, 5
C = Constants(
    neuron="diehl_cook", rule="PostPre", n_neurons=100, v_thresh_mV=-52, v_rest_mV=-65,
    v_reset_mV=-60, refrac_ms=5, tc_decay_ms=100, theta_plus_mV=0.05, tc_theta_decay_ms=1e7,
    d_thresh_mV=5, inhibit_mV=120, nu_pre=1e-4, nu_post=1e-2, w_max=1, w_start=0.3, norm=78.4,
    tc_trace_ms=20,
)  # fmt: skip
CELLS = [
    ("poisson", "diehl_cook", "PostPre"), ("poisson", "diehl_cook", "Hebbian"),
    ("poisson", "diehl_cook", "WeightDependentPostPre"), ("poisson", "if", "PostPre"),
    ("poisson", "srm0", "PostPre"), ("bernoulli", "diehl_cook", "PostPre"),
    ("rank_order", "diehl_cook", "PostPre"),
]  # fmt: skip


def cases(data, device, threads):
    """Return some cells of the table on the CPU; on a GPU one group of 15 networks per encoder."""
    images = check_images(data.train_images)
    found = []
    for encoder, neuron, rule in CELLS if device == "cpu" else CELLS[:1] + CELLS[5:]:
        c = Constants(**{**vars(C), "neuron": neuron, "rule": rule})
        on_gpu = device == "cuda"
        found.append(
            Case(
                f"STDP {encoder.replace('_', ' ')}, {neuron}, {rule if not on_gpu else '3 rules'}",
                unit="ms per batch" if not on_gpu else "ms per batch and network",
                ours=_ours(c, encoder, images) if not on_gpu else _replicas(c, encoder, images),
                peer=_stock(c, encoder, images, device),
                per_call=1 if not on_gpu else SEEDS * len(RULES),
                peer_per_call=1,
                device=device,
                threads=1 if not on_gpu else threads,
                note="64 images, 100 ms, 784-100, encoding and learning; peer: stock BindsNET",
            )
        )
    return found


def _batches(images):
    """Yield the indices of one batch after another, without end."""
    firsts = range(0, len(images) - BATCH + 1, BATCH)
    return (np.arange(first, first + BATCH) for first in itertools.cycle(firsts))


def _ours(c, encoder, images):
    batches, state, key = _batches(images), start_state(c, 0), stream_key(0, 1)

    def call():
        index = next(batches)
        events = encode(images[index], index, encoder, STEPS, INTENSITY, key)
        return cpu.present(c, state, events, index, key, learn=True)

    return call


def _replicas(c, encoder, images):
    net = gpu.table(c, [c.neuron], RULES, range(SEEDS), "cuda")[c.neuron]
    pictures = torch.from_numpy(images).to("cuda")
    batches = _batches(images)

    def call():
        index = torch.from_numpy(np.stack([next(batches) for _ in range(SEEDS)])).to("cuda")
        trains = gpu.encode(pictures[index], encoder, STEPS, INTENSITY)
        counts = gpu.present(net, trains, True)
        torch.cuda.synchronize()
        return counts

    return call


def _stock(c, encoder, images, device):
    batches, made = _batches(images), {}

    def call():
        # Loading BindsNET takes seconds, so only where its turn comes.
        from bindsnet import encoding

        from respike.sources.stdp_tables import reference

        if not made:
            made["net"] = reference.build(c, start_state(c, 0), BATCH).to(device)
        one_by_one = getattr(encoding, encoder)
        spk = torch.stack(
            [
                one_by_one(torch.from_numpy(intensities(INTENSITY)[picture]), time=STEPS)
                for picture in images[next(batches)]
            ],
            dim=1,
        )
        net = made["net"]
        net.run(inputs={"X": spk.view(STEPS, BATCH, 1, 28, 28).to(device)}, time=STEPS)
        net.reset_state_variables()
        if device == "cuda":
            torch.cuda.synchronize()

    return call
