"""Forward passes of the Kulkarni network: ours against the document's loop, re-implemented plainly.

The peer convolves a batch of 1000 maps in torch and steps 8112 neurons in NumPy, as the document
describes it; it takes about a second an image. Filters are random: training changes no cost.
"""

import itertools

import numpy as np
import torch

from respike.commands.benchmark import Case
from respike.sources.kulkarni_forward import normad, normad_cpu
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward import reference as model
from respike.sources.kulkarni_forward.neuron import (
    VARIANTS,
    Constants,
    current_to_spikes,
    pixel_trains,
)

N_IMAGES = 100  # in one call of ours: as many as its threads share
CONSTANTS = Constants(
    num_steps=1000, dt_ms=0.1, c_pF=300, g_leak_nS=30, v_rest_mV=-70, v_thresh_mV=20,
    refrac_ms=3, tau1_ms=5, tau2_ms=1.25, i0_pA=2700, ip_pA=101.2,
)  # fmt: skip
GAINS = {  # hidden, modified, output, in pA: amperes as coded; U2 to U4 of the ledger
    "as_coded": (1e12, 1e12, 1e12),
    "corrected": (1e6, 5e5, 10.0),
}


def cases(data, device, threads):
    """Return original and modified pass, as coded and corrected; on a GPU the torch version."""
    rng = np.random.default_rng(0)
    filters = rng.uniform(-1 / 3, 1 / 3, (12, 3, 3))
    weights = np.abs(rng.normal(size=(8112, 10)))
    images = data.test_images[:N_IMAGES]
    found = []
    for name, (gain, modified_gain, gain_out) in GAINS.items():
        variant = VARIANTS[name]
        net = kulkarni_pass.Network(CONSTANTS, variant, filters, gain, weights, gain_out)
        decay = model.modified_decay(CONSTANTS)
        table = net.table(modified_gain, decay)
        plain = Plain(filters, weights, variant, images)
        for label, of_table, peer in (
            ("original", None, lambda p=plain, g=gain, o=gain_out: p.original(g, o)),
            ("modified", table,
             lambda p=plain, g=modified_gain, o=gain_out, d=decay: p.modified(g, o, d)),
        ):  # fmt: skip
            if device == "cuda":
                ours = _on_gpu(
                    data.test_images[:512], filters, weights.T, variant,
                    gain if of_table is None else modified_gain, gain_out,
                    None if of_table is None else decay,
                )  # fmt: skip
                per_call = 512
            else:
                ours = _on_cpu(net, images, of_table)
                per_call = N_IMAGES
            found.append(
                Case(
                    f"kulkarni {label} pass, {name.replace('_', ' ')}", unit="ms per image",
                    ours=ours, peer=peer, per_call=per_call, peer_per_call=1, device=device,
                    threads=threads, note="1000 steps, 8112 + 10 neurons, up to the output counts; "
                    "peer: the document's loop, torch convolution and NumPy neurons, on the CPU",
                )
            )  # fmt: skip
    if device == "cpu":
        found.append(_training(data, filters))
    return found


def _training(data, filters):
    """Return NormAD on one core: an image shown after the first epoch, kept spikes or none."""
    net = kulkarni_pass.Network(
        CONSTANTS, VARIANTS["corrected"], filters, 1e6, np.zeros((8112, 10)), 1.0, 2e4
    )
    desired = normad.desired_train(CONSTANTS, 3.5)
    spikes = normad_cpu.hidden_spikes(net, data.train_images[:N_IMAGES])
    order = np.arange(N_IMAGES)
    shown = (data.train_labels, order, desired, 100.0, 1.0)
    return Case(
        "kulkarni NormAD training", unit="ms per image and epoch",
        ours=lambda: normad_cpu.train_on(net, spikes, *shown),
        peer=lambda: normad.train_images(net, data.train_images, *shown),
        per_call=N_IMAGES, peer_per_call=N_IMAGES, device="cpu", threads=1,
        note="from the second epoch on, when the hidden spikes are kept; peer: our plain path, "
        "which passes the image again and updates every neuron in each of 1000 steps",
    )  # fmt: skip


def _on_cpu(net, images, table):
    return lambda: kulkarni_pass.run(net, images, table)


def _on_gpu(images, filters, weights, variant, gain, gain_out, decay):
    from respike.sources.kulkarni_forward.gpu import forward

    return lambda: forward(
        images, filters, weights, CONSTANTS, variant, gain, gain_out, "cuda", decay=decay
    )


class Plain:
    """The document's steps 1 to 6 for one image, the next one at each call."""

    def __init__(self, filters, weights, variant, images):
        self.filters, self.weights, self.variant = filters, weights.T, variant
        self.kernel = torch.from_numpy(filters)[:, None]
        self.trains = pixel_trains(CONSTANTS, variant)
        self.images = itertools.cycle(images)

    def original(self, gain, gain_out):
        """Return the class by the original pass."""
        maps = torch.from_numpy(self.trains[:, next(self.images)].astype(float))
        cur = torch.nn.functional.conv2d(maps[:, None], self.kernel).numpy()
        return self._rest(gain * cur.reshape(CONSTANTS.num_steps, -1), gain_out)

    def modified(self, gain, gain_out, decay):
        """Return the class by the modified pass."""
        features = model.feature_map(next(self.images), self.filters)
        return self._rest(
            model.modified_currents(features, gain, decay, CONSTANTS.num_steps), gain_out
        )

    def _rest(self, cur, gain_out):
        spk = current_to_spikes(cur, CONSTANTS, self.variant)
        out = model.output_currents(spk, self.weights, gain_out, CONSTANTS, self.variant)
        return model.decide(current_to_spikes(out, CONSTANTS, self.variant).sum(axis=0))
