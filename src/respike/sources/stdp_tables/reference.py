"""The same network in stock BindsNET: the reference of the tests and the peer of the benchmark.

No experiment imports this module: loading BindsNET takes seconds.
"""

import contextlib
import types

import numpy as np
import torch
from bindsnet import learning
from bindsnet.network import Network, nodes
from bindsnet.network.topology import Connection

from respike.sources.stdp_tables.model import N_PIXELS, Constants, State


def build(c: Constants, state: State, batch_size: int) -> Network:
    """Return BindsNET's network with these constants, weights and thresholds.

    `batch_size` must be given at the start: a network made for single images sums no batch.
    """
    net = Network(batch_size=batch_size)
    net.add_layer(
        nodes.Input(n=N_PIXELS, shape=(1, 28, 28), traces=True, tc_trace=c.tc_trace_ms), "X"
    )
    common = {
        "n": c.n_neurons, "traces": True, "tc_trace": c.tc_trace_ms, "thresh": c.v_thresh_mV,
        "reset": c.v_reset_mV, "refrac": c.refrac_ms,
    }  # fmt: skip
    leaky = {**common, "rest": c.v_rest_mV, "tc_decay": c.tc_decay_ms}
    layer = {
        "if": lambda: nodes.IFNodes(**common),
        "lif": lambda: nodes.LIFNodes(**leaky),
        "srm0": lambda: nodes.SRM0Nodes(**leaky, d_thresh=c.d_thresh_mV),
        "diehl_cook": lambda: nodes.DiehlAndCookNodes(
            **leaky, theta_plus=c.theta_plus_mV, tc_theta_decay=c.tc_theta_decay_ms
        ),
    }[c.neuron]()
    net.add_layer(layer, "Y")
    if c.neuron == "diehl_cook":
        layer.theta = torch.from_numpy(state.theta.copy())
    net.add_connection(
        Connection(
            net.layers["X"], layer, w=torch.from_numpy(state.w.copy()),
            update_rule=getattr(learning, c.rule), nu=(c.nu_pre, c.nu_post),
            wmin=0.0, wmax=c.w_max, norm=c.norm,
        ),
        "X", "Y",
    )  # fmt: skip
    others = torch.ones(c.n_neurons, c.n_neurons) - torch.eye(c.n_neurons)
    net.add_connection(
        Connection(layer, layer, w=-c.inhibit_mV * others, wmin=-c.inhibit_mV, wmax=0), "Y", "Y"
    )
    return net


def run(net: Network, spk: np.ndarray, choice=None, fires=None) -> np.ndarray:
    """Present trains (num_steps, batch, 784) from rest; return spikes uint8 (num_steps, batch, n).

    choice float64 (num_steps, batch) and fires float32 (num_steps, batch, n) take the place of what
    BindsNET draws from torch's generator: see `cpu.uniforms`. Steps are run one by
    one, so that every step's spikes can be read; normalisation is held back until the last one.
    """
    steps, batch = spk.shape[:2]
    inputs = torch.from_numpy(spk).view(steps, batch, 1, 28, 28)
    learned, layer = net.connections["X", "Y"], net.layers["Y"]
    norm, learned.norm = learned.norm, None
    out = []
    with _draws(layer, choice, fires) as at:
        for at.step in range(steps):
            net.run(inputs={"X": inputs[at.step : at.step + 1].clone()}, time=1)
            out.append(layer.s.numpy().astype(np.uint8).copy())
    learned.norm = norm
    learned.normalize()
    net.reset_state_variables()
    return np.stack(out)


@contextlib.contextmanager
def _draws(layer, choice, fires):
    """Put given draws in the place of torch.multinomial and torch.rand_like."""
    at, kept = types.SimpleNamespace(step=0), (torch.multinomial, torch.rand_like)

    def pick(weights, _):
        """Return which neuron fires: the first whose rank exceeds u times their number."""
        rows = layer.s.any(1).numpy()
        rank = (torch.from_numpy(choice[at.step][rows]) * weights.sum(1)).long()
        return (weights.cumsum(1) > rank[:, None]).float().argmax(1, keepdim=True)

    if choice is not None:
        torch.multinomial = pick
    if fires is not None:
        torch.rand_like = lambda _: torch.from_numpy(fires[at.step])
    try:
        yield at
    finally:
        torch.multinomial, torch.rand_like = kept


def state_of(net: Network) -> State:
    """Return copies of the weights and thresholds."""
    layer = net.layers["Y"]
    n = layer.n
    theta = layer.theta.numpy().copy() if hasattr(layer, "theta") else np.zeros(n, np.float32)
    return State(net.connections["X", "Y"].w.detach().numpy().copy(), theta)
