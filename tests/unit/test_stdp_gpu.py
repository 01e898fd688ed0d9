"""The torch version with replicas: equal to the event-driven one, on the CPU."""

import dataclasses

import numpy as np
import pytest
import torch
from bindsnet.encoding import bernoulli, rank_order
from scipy import stats
from test_stdp_cpu import C, images
from test_stdp_encode import datum

from respike.sources.stdp_tables import cpu, gpu
from respike.sources.stdp_tables.encode import encode
from respike.sources.stdp_tables.model import ENCODERS, NEURONS, RULES, StdpError, start_state
from respike.spiking.encoding import stream_key

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
        ],
    ),
]


def both(neuron, encoder, learn, device, batch=8, steps=50):
    """Return ours and the torch version's (spikes, states) for three rules and two seeds."""
    constants, states, group, mine = [], [], [], []
    trains, choices, fire_draws = [], [], []
    for seed in (0, 1):
        index, key = np.arange(batch), stream_key(seed, 0)
        events = encode(images(batch, seed), index, encoder, steps, 128.0, key)
        trains.append(events.dense())
        for rule in RULES:
            c = dataclasses.replace(C, neuron=neuron, rule=rule)
            state = start_state(c, seed)
            constants.append(c)
            states.append(state.copy())
            group.append(seed)
            choices.append(cpu.uniforms(key, index, steps))
            fire_draws.append(cpu.uniforms(key, index, steps, 100))
            spk = np.zeros((steps, batch, 100), np.uint8)
            cpu.present(c, state, events, index, key, learn, spk=spk)
            mine.append((spk, state))
    net = gpu.replicas(constants, states, group, device)
    out = torch.zeros((steps, 6, batch, 100), dtype=torch.bool, device=device)
    counts = gpu.present(
        net, torch.from_numpy(np.stack(trains, axis=1)).bool().to(device), learn,
        choice=torch.from_numpy(np.stack(choices, axis=1)).to(device),
        fires=torch.from_numpy(np.stack(fire_draws, axis=1)).to(device), spk_out=out,
    )  # fmt: skip
    return mine, [(out[:, k].cpu().numpy(), s) for k, s in enumerate(net.states())], counts.cpu()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("encoder", ["poisson", "rank_order"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_replicas_are_the_single_networks(neuron, encoder, learn, device):
    ours, theirs, counts = both(neuron, encoder, learn, device)
    for k, ((spk, state), (spk_torch, state_torch)) in enumerate(zip(ours, theirs, strict=True)):
        assert (spk == spk_torch).all()
        assert (counts[k].numpy() == spk.sum(axis=0)).all()
        np.testing.assert_allclose(state.w, state_torch.w, rtol=0, atol=2e-6)
        np.testing.assert_allclose(state.theta, state_torch.theta, rtol=0, atol=1e-6)


def test_batched_rank_order_and_bernoulli_are_bindsnets():
    pictures = torch.from_numpy(images(6)).view(2, 3, 784)
    found = gpu.encode(pictures, "rank_order", 100, 128.0).view(100, 6, 784)
    torch.manual_seed(5)
    drawn = gpu.encode(pictures, "bernoulli", 30, 128.0).view(30, 6, 784)
    torch.manual_seed(5)
    for k, picture in enumerate(images(6)):
        assert (found[:, k] == rank_order(datum(picture), time=100).bool()).all()
        assert (drawn[:, k] == bernoulli(datum(picture), time=30).bool()).all()


def test_batched_poisson_is_the_other_ones_distribution():
    torch.manual_seed(0)
    grey = np.full((30, 784), 130, np.uint8)
    a = gpu.encode(torch.from_numpy(grey), "poisson", 100, 128.0).sum(0).numpy().ravel()
    b = encode(grey, np.arange(30), "poisson", 100, 128.0, 3).dense().sum(axis=0).ravel()
    assert stats.ks_2samp(a, b).pvalue > 1e-4
    assert abs(a.mean() - b.mean()) < 5 * np.sqrt(2 * a.var() / a.size)


def test_an_image_without_ink_gives_no_spikes():
    blank = torch.zeros((2, 784), dtype=torch.uint8)
    for encoder in ENCODERS:
        assert not gpu.encode(blank, encoder, 20, 128.0).any()


@pytest.mark.parametrize("device", DEVICES)
def test_training_of_a_table_learns_and_repeats(device):
    def once():
        nets = gpu.table(C, ["diehl_cook", "lif"], RULES, [0, 1], device)
        orders = torch.stack([torch.randperm(16, generator=rng(s)) for s in (0, 1)]).to(device)
        pictures, own = torch.from_numpy(images(16)).to(device), rng(7, device)
        return {name: (gpu.train(net, pictures, orders, "poisson", 30, 128.0, 8, own), net)
                for name, net in nets.items()}  # fmt: skip

    first, second = once(), once()
    for name, (counts, net) in first.items():
        assert counts.shape == (6, 16, 100) and counts.sum() > 0
        assert (counts == second[name][0]).all() and (net.w == second[name][1].w).all()
        torch.testing.assert_close(net.w.sum(dim=1).cpu(), torch.full((6, 100), 78.4))


def rng(seed, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def test_replicas_of_two_neuron_models_are_refused():
    two = [C, dataclasses.replace(C, neuron="lif")]
    with pytest.raises(StdpError, match="neuron: found"):
        gpu.replicas(two, [start_state(c, 0) for c in two], [0, 0], "cpu")
