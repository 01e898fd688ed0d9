"""The document's network written with snnTorch, one step after the other: the plain reference.

Slow and simple. Tests hold `cpu` against it, benchmarks run it.
"""

import snntorch
import snntorch.functional
import torch
from snntorch import surrogate


class SnnTorchMlp(torch.nn.Module):
    """2312-H-10 with snnTorch's Leaky neurons; input: frames (num_steps, batch, 2, 34, 34)."""

    def __init__(self, n_hidden: int, beta: float):
        super().__init__()
        self.hidden = torch.nn.Linear(2 * 34 * 34, n_hidden)
        self.output = torch.nn.Linear(n_hidden, 10)
        self.lif_hidden = snntorch.Leaky(beta=beta, spike_grad=surrogate.atan())
        self.lif_output = snntorch.Leaky(beta=beta, spike_grad=surrogate.atan())

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return spikes of the output and of the hidden layer, float32 (num_steps, batch, n)."""
        mem_hidden, mem_output = self.lif_hidden.init_leaky(), self.lif_output.init_leaky()
        hidden, output = [], []
        for frame in frames:
            spikes, mem_hidden = self.lif_hidden(self.hidden(frame.flatten(1)), mem_hidden)
            hidden.append(spikes)
            spikes, mem_output = self.lif_output(self.output(spikes), mem_output)
            output.append(spikes)
        return torch.stack(output), torch.stack(hidden)


def loss_function(correct: float, incorrect: float):
    """Return snnTorch's loss of section 3.4; it takes output spikes and labels."""
    return snntorch.functional.mse_count_loss(correct_rate=correct, incorrect_rate=incorrect)
