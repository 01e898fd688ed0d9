"""The ANN of equal size: fully connected ReLU layers, softmax, cross-entropy.

The counterpart that poisson-mlp-report.md and snn-mnist-readme.md compare their networks with; no
document gives its settings, so optimiser, batch and learning rate are those of the spiking network
it stands beside. Claims P1-c, P1-h, P2-c, P2-d. Cost: about 2 s per epoch of 60,000 images.
"""

import time

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.shared.settings import Ann as Settings
from respike.spiking.energy import ann_macs
from respike.spiking.learning_curve import epochs_to


def build(sizes) -> torch.nn.Sequential:
    """Return the network; weights as `torch.nn.Linear` draws them."""
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def run(settings: Settings, data: Mnist, seed: int, progress, device: str) -> Result:
    """Train on images in [0, 1]; follow the test accuracy (nothing is chosen by it)."""
    s = settings
    torch.manual_seed(seed)
    net = build((784, *s.hidden, 10)).to(device)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[s.optimiser]
    optimiser = kind(net.parameters(), lr=s.lr, fused=True)

    def to_input(images):
        return torch.from_numpy(images.reshape(len(images), 784)).to(device).float() / 255

    x, y = to_input(data.train_images[: s.n_train]), torch.from_numpy(data.train_labels).to(device)
    x_test, y_test = to_input(data.test_images[: s.n_test]), data.test_labels[: s.n_test]
    rng = np.random.default_rng(seed)
    starts = np.arange(0, s.n_train, s.batch_size)
    test_after = {round(len(starts) * k / s.tests_per_epoch) for k in range(1, s.tests_per_epoch)}
    test_after.add(len(starts))
    curve = {"epoch": [], "test_accuracy": [], "loss": []}
    train_cpu_s = 0.0
    for epoch in range(s.epochs):
        order = torch.from_numpy(rng.permutation(s.n_train)).to(device)
        losses = []
        for k, start in enumerate(starts, 1):
            since = time.process_time()  # CPU time: other jobs share the machine
            batch = order[start : start + s.batch_size]
            loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
            train_cpu_s += time.process_time() - since
            if k in test_after:
                with torch.no_grad():
                    predictions = net(x_test).argmax(dim=1).cpu().numpy()
                curve["epoch"].append(epoch + k / len(starts))
                curve["test_accuracy"].append((predictions == y_test).mean())
        curve["loss"].append(torch.stack(losses).mean().item())
        progress("epoch", epoch + 1, s.epochs, test_accuracy=curve["test_accuracy"][-1])
    with torch.no_grad():
        active = (torch.relu(net[0](x_test)) > 0).float().mean().item()
    sizes = (784, *s.hidden, 10)
    return Result(
        metrics={
            "test_accuracy_final": curve["test_accuracy"][-1],
            "hidden_silent_fraction": 1 - active,  # units with output 0
            "train_cpu_s_per_1000": train_cpu_s / s.epochs / s.n_train * 1000,
            **epochs_to(curve["epoch"], curve["test_accuracy"]),
        },
        series=curve,
        arrays={"predictions": predictions.astype(np.uint8), "labels": y_test.astype(np.uint8)},
        network=Network(
            name=f"ANN {'-'.join(map(str, sizes))}",
            data_set="mnist",
            rule="back-propagation",
            n_neurons=sum(sizes[1:]),
            n_parameters=sum(p.numel() for p in net.parameters()),
            n_state=sum(sizes[1:]),
            num_steps=0,
            spikes=None,
            synaptic_operations=None,
            macs=ann_macs(sizes),
            n_train=s.n_train,
            presentations=s.n_train * s.epochs,
            train_s=train_cpu_s,
        ),
    )
