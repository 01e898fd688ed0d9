"""Kulkarni and Rajendran's network: the fast path against the plain one, in the same run.

The peer steps every neuron in NumPy, as the article describes it. Weights are those of a few
images: what they are changes no cost, how often outputs err does a little.
"""

import itertools

import numpy as np

from respike.commands.benchmark import Case
from respike.sources.kulkarni_rajendran_2018 import cpu, kernels, reference
from respike.sources.kulkarni_rajendran_2018.settings import Constants

CONSTANTS = Constants(
    num_steps=1000, dt_ms=0.1, c_pF=300, g_leak_nS=30, v_rest_mV=-70, v_thresh_mV=20,
    refrac_ms=3, tau1_ms=5, tau2_ms=1.25, i0_pA=2700, ip_pA=101.2,
)  # fmt: skip
GAIN_PA, INHIBIT_PA, RATE_PA = 10500.0, 1000.0, 200.0
N_IMAGES = 200


def cases(data, device, threads):
    """Return the hidden layer, which is worked out once, and an epoch of NormAD after it."""
    if device != "cpu":
        return []
    model = cpu.Model(CONSTANTS, kernels.article(12), GAIN_PA, inhibit_pA=INHIBIT_PA)
    images, labels = data.train_images[:N_IMAGES], data.train_labels[:N_IMAGES]
    desired = reference.desired_train(CONSTANTS, 3.5)
    spikes, order = cpu.spikes_of(model, images), np.arange(N_IMAGES)
    weights = np.zeros((model.n_inputs, 10))
    cpu.train_on(model, spikes, labels, order, weights, desired, RATE_PA)
    plain = _Plain(images, labels, model, desired, weights.copy())
    return [
        Case(
            "kulkarni_rajendran_2018 hidden layer", unit="ms per image",
            ours=lambda: cpu.spikes_of(model, images), peer=plain.hidden, per_call=N_IMAGES,
            peer_per_call=1, threads=threads,
            note="once in a training, on all threads; peer: 784 and 8112 neurons step by step",
        ),
        Case(
            "kulkarni_rajendran_2018 NormAD", unit="ms per image and epoch",
            ours=lambda: cpu.train_on(model, spikes, labels, order, weights, desired, RATE_PA),
            peer=plain.learn, per_call=N_IMAGES, peer_per_call=1, threads=1,
            note="hidden spikes kept from the first epoch, one thread; peer: the output layer and "
            "the rule step by step, on the same kept spikes",
        ),
    ]  # fmt: skip


class _Plain:
    """The plain path, one image after the other."""

    def __init__(self, images, labels, model, desired, weights):
        self.model, self.desired, self.weights = model, desired, weights
        self.images = itertools.cycle(images)
        self.spk = self.hidden()
        self.labels = itertools.cycle(labels)

    def hidden(self):
        """Return the hidden spikes of the next image."""
        spk = reference.input_spikes(next(self.images), CONSTANTS)
        return reference.hidden_spikes(
            spk, self.model.kernels, GAIN_PA, CONSTANTS, "double_exponential", True
        )

    def learn(self):
        """Show an image and change the weights."""
        out = reference.output_spikes(self.spk, self.weights, INHIBIT_PA, CONSTANTS, True)
        label = int(next(self.labels))
        self.weights += RATE_PA * reference.normad_change(
            self.spk, out, label, self.desired, CONSTANTS, 1.0
        )
