"""Compare respike.spiking.lif_gpu with the CPU layer: python gpu_against_cpu.py cuda|cpu.

`cpu` needs TRITON_INTERPRET=1. A program of its own, because Triton reads that variable once.
"""

import itertools
import sys

import torch

from respike.spiking.lif import RESETS, SURROGATES, Lif, lif_layer
from respike.spiking.lif_gpu import lif_layer_gpu


def compare(device):
    """Return how many combinations of reset, surrogate and detached were found equal."""
    torch.manual_seed(0)
    # 3 x 100 neurons: more than one block, and the last one not full.
    cur, grad = torch.randn(12, 3, 100) * 0.4 + 0.2, torch.randn(12, 3, 100)
    done = 0
    for reset, kind, detached in itertools.product(RESETS, SURROGATES, (True, False)):
        lif = Lif(0.9, 0.8, reset=reset, reset_detached=detached, surrogate=kind, slope=5.0)
        cpu, gpu = cur.clone().requires_grad_(), cur.to(device, copy=True).requires_grad_()
        wanted, found = lif_layer(cpu, lif), lif_layer_gpu(gpu, lif)
        assert torch.equal(found.cpu(), wanted), (lif, "spikes")
        assert wanted.sum() > 150
        wanted.backward(grad)
        found.backward(grad.to(device))
        torch.testing.assert_close(gpu.grad.cpu(), cpu.grad, rtol=1e-5, atol=1e-6, msg=str(lif))
        print(f"equal: {lif}")
        done += 1
    return done


if __name__ == "__main__":
    compare(sys.argv[1])
