"""The step function of a spike, its dead gradient, and the surrogate in its place.

Source: nmnist-grid-paper.md, sections 2.2 and 2.3, figures 1 and 2. Everything is computed by
snnTorch and by automatic differentiation, nothing is drawn from a formula but what is called
printed.
"""

import math

import torch
from snntorch import surrogate

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.nmnist_grid.settings import Surrogate as Settings


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Evaluate spike, approximation and derivatives on a grid of potentials."""
    s = settings
    if s.n_points % 2 == 0:
        raise ValueError(f"n_points is {s.n_points}, must be odd")
    x = torch.linspace(-s.reach, s.reach, s.n_points, dtype=torch.float64)
    spike = surrogate.atan()
    coded = x.clone().requires_grad_()
    spikes = spike(coded)
    spikes.sum().backward()
    approximated = x.clone().requires_grad_()
    curve = torch.arctan(math.pi * approximated) / math.pi
    curve.sum().backward()
    printed = 1 / math.pi / (1 + (math.pi * x) ** 2)
    step = spikes.detach()
    quotients = torch.diff(step) / torch.diff(x)
    across = (x[:-1] <= 0) & (x[1:] > 0)
    middle = s.n_points // 2
    return Result(
        metrics={
            "largest_step_derivative_off_threshold": float(quotients[~across].abs().max()),
            "step_derivative_at_threshold": float(quotients[across].max()),
            "derivative_at_threshold": float(coded.grad[middle]),
            "derivative_of_approximation": float(approximated.grad[middle]),
            "printed_derivative_at_threshold": float(printed[middle]),
        },
        arrays={
            "x": x.numpy(),
            "step": step.numpy(),
            "step_derivative": quotients.numpy(),
            "approximation": curve.detach().numpy(),
            "derivative_coded": coded.grad.numpy(),
            "derivative_of_approximation": approximated.grad.numpy(),
            "derivative_printed": printed.numpy(),
        },
    )
