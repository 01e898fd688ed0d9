"""Training of the network image by image: ours against BindsNET's DiehlAndCook2015.

One call trains on one image, encoding included. Ours is the network of the article: 350 ms and
150 ms of rest in steps of 0.5 ms, presentations repeated below five spikes. The peer is the model
of BindsNET's example run with the example's own values: 250 ms in steps of 1 ms, currents, no rest,
no second presentation; it has a quarter of the steps and less to do in each. Brian 2 is no peer
here: its release of the day does not load with this project's NumPy.

What an image asks for at least (400 neurons, one presentation): 2,200 input spikes x 400 additions
to scattered places, one store each, and 780 steps x 400 updates of a potential, a division and some
25 multiplications and additions each, four in a vector: together some 3 million cycles.
"""

import itertools

import numpy as np
import torch

from respike.commands.benchmark import Case
from respike.runs import sources
from respike.sources.diehl_cook_2015 import cpu
from respike.sources.diehl_cook_2015.model import N_PIXELS, start_state
from respike.sources.diehl_cook_2015.settings import Parameters
from respike.spiking.encoding import stream_key

SIZES = (100, 400)
EXAMPLE = {"exc": 22.5, "inh": 120.0, "theta_plus": 0.05, "norm": 78.4}  # eth_mnist.py
STEPS, INTENSITY = 250, 128.0  # eth_mnist.py: time, intensity
N = 200  # images


def cases(data, device, threads):
    """Return training with 100 and 400 neurons on the CPU; nothing on a GPU."""
    if device != "cpu":
        return []
    images = data.train_images[:N].reshape(-1, N_PIXELS)
    return [
        Case(
            f"diehl_cook_2015 training, {n} neurons",
            unit="ms per image",
            ours=_ours(_parameters(n), images),
            peer=_bindsnet(n, images),
            note="ours 1000 steps of 0.5 ms; peer: BindsNET's DiehlAndCook2015, 250 of 1 ms",
        )
        for n in SIZES
    ]


def _parameters(n: int) -> Parameters:
    """Return the network of config.yaml with n neurons."""
    settings = sources.entries("diehl_cook_2015")[0]["train"]["settings"]
    own = {key: settings[key] for key in Parameters.__dataclass_fields__}
    return Parameters(**{**own, "n_exc": n})


def _ours(p, images):
    state, key, turns = start_state(p, 0), stream_key(0, 1), itertools.count()

    def call():
        k = next(turns)
        return cpu.show(p, state, images[[k % N]], [k], key, True)

    return call


def _bindsnet(n, images):
    turns, made = itertools.count(), {}

    def call():
        # Loading BindsNET takes seconds, so only where its turn comes.
        from bindsnet.encoding import poisson
        from bindsnet.models import DiehlAndCook2015

        if not made:
            made["net"] = DiehlAndCook2015(
                n_inpt=N_PIXELS, n_neurons=n, inpt_shape=(1, 28, 28), dt=1.0, nu=(1e-4, 1e-2),
                **EXAMPLE,
            )  # fmt: skip
        image = torch.from_numpy(images[next(turns) % N] / np.float32(255) * np.float32(INTENSITY))
        spk = poisson(image, time=STEPS, dt=1.0)
        made["net"].run(inputs={"X": spk.view(STEPS, 1, 1, 28, 28)}, time=STEPS)
        made["net"].reset_state_variables()

    return call
