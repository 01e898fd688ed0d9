"""Spiking network on MNIST trained through time with surrogate gradients (autograd).

Source: snn-mnist-readme.md, sections 1-3 and "Observations". Claims P2-a to P2-e, and the numbers
of the repository that it cites. Deviations and choices: claims.yaml.
Neurons, surrogate and fast path: respike.spiking.lif. Cost: about 5 s per epoch of 60,000 images at
T=25, 250 hidden neurons, one core.
"""

import time

import numpy as np
import torch

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.snn_mnist.settings import Train as Settings
from respike.spiking.encoding import encode, scale_intensity, stream_key
from respike.spiking.energy import costs
from respike.spiking.learning_curve import epochs_to, largest_drop
from respike.spiking.lif import Lif, SpikingMlp

STREAM_CURVE, STREAM_TEST = 1_000_000, 2_000_000  # random streams; epoch e uses stream e
TEST_BATCH = 100  # small enough for the caches


def build(settings: Settings, seed: int) -> SpikingMlp:
    """Return the untrained network."""
    torch.manual_seed(seed)
    net = SpikingMlp(
        (784, *settings.hidden, 10),
        Lif(
            beta=settings.beta,
            reset=settings.reset,
            reset_detached=settings.reset_detached,
            surrogate=settings.surrogate,
            slope=settings.slope,
        ),
    )
    net.init(settings.init)
    return net


@torch.no_grad()
def test(net: SpikingMlp, images: np.ndarray, num_steps: int, key) -> tuple:
    """Return output counts (n, 10) and spikes per image of each hidden layer and step.

    The second is float64 (hidden layers, num_steps).
    """
    counts, spikes = [], np.zeros((len(net.rest), num_steps))
    for start in range(0, len(images), TEST_BATCH):
        batch = images[start : start + TEST_BATCH]
        index = np.arange(start, start + len(batch))
        layers = net(encode(batch, index, num_steps, key), num_steps)
        counts.append(layers[-1].sum(dim=0).cpu().numpy())
        spikes += [layer.sum(dim=(1, 2)).cpu().numpy() for layer in layers[:-1]]
    return np.concatenate(counts), spikes / len(images)


def run(settings: Settings, data: Mnist, seed: int, progress, device: str) -> Result:
    """Train; follow the test accuracy (nothing is chosen by it); test with each T of the test."""
    s = settings
    images = scale_intensity(data.train_images[: s.n_train].reshape(-1, 784), s.rate_gain)
    test_images = scale_intensity(data.test_images[: s.n_test].reshape(-1, 784), s.rate_gain)
    test_labels = data.test_labels[: s.n_test]
    labels = torch.from_numpy(data.train_labels[: s.n_train]).to(device)
    net = build(s, seed).to(device)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[s.optimiser]
    optimiser = kind(net.parameters(), lr=s.lr, fused=True)
    rng = np.random.default_rng(seed)
    starts = np.arange(0, s.n_train, s.batch_size)
    test_after = {round(len(starts) * k / s.tests_per_epoch) for k in range(1, s.tests_per_epoch)}
    test_after.add(len(starts))

    _, first_spikes = test(
        net, test_images[:TEST_BATCH], s.num_steps, stream_key(seed, STREAM_CURVE)
    )
    one = encode(test_images[:1], np.arange(1), s.num_steps, stream_key(seed, STREAM_CURVE))
    net(one, s.num_steps)[-1].sum().backward()  # compiles before the time is taken
    curve = {"epoch": [], "test_accuracy": [], "loss": [], "silent_fraction": []}
    train_cpu_s = 0.0
    for epoch in range(s.epochs):
        order = rng.permutation(s.n_train)
        key = stream_key(seed, epoch)
        losses = []
        for k, start in enumerate(starts, 1):
            since = time.process_time()  # CPU time: other jobs share the machine
            batch = order[start : start + s.batch_size]
            words = encode(images[batch], batch, s.num_steps, key)
            counts = net(words, s.num_steps)[-1].sum(dim=0)  # (batch, 10)
            loss = torch.nn.functional.cross_entropy(counts, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())
            train_cpu_s += time.process_time() - since
            if k in test_after:
                at = stream_key(seed, STREAM_CURVE + len(curve["epoch"]))
                counts, spikes = test(net, test_images, s.num_steps, at)
                curve["epoch"].append(epoch + k / len(starts))
                curve["test_accuracy"].append((counts.argmax(axis=1) == test_labels).mean())
                curve["silent_fraction"].append(1 - spikes.sum() / (s.num_steps * sum(s.hidden)))
            progress(
                "batch", epoch * len(starts) + k, s.epochs * len(starts),
                epoch=epoch + k / len(starts), loss=losses[-1].item(),
                test_accuracy=curve["test_accuracy"][-1] if curve["epoch"] else float("nan"),
            )  # fmt: skip
        curve["loss"].append(torch.stack(losses).mean().item())

    metrics, arrays = {}, {}
    for steps in reversed(s.num_steps_test):  # the first one last: its numbers stay
        counts, spikes = test(net, test_images, steps, stream_key(seed, STREAM_TEST))
        predictions = counts.argmax(axis=1)
        metrics[f"test_accuracy_T{steps}"] = (predictions == test_labels).mean()
        arrays[f"predictions_T{steps}"] = predictions.astype(np.uint8)
    sizes = (784, *s.hidden, 10)
    input_spikes = float(test_images.sum() / 255 / len(test_images) * steps)  # expected, per image
    cost = costs(sizes, (input_spikes, *spikes.sum(axis=1)), steps)
    output_spikes = float(counts.sum(axis=1).mean())
    metrics |= {
        "test_accuracy_final": metrics[f"test_accuracy_T{steps}"],
        "test_accuracy_first_epoch": curve["test_accuracy"][s.tests_per_epoch - 1],
        "hidden_silent_fraction": float(1 - spikes.sum() / (steps * sum(s.hidden))),
        "hidden_rate_untrained": float(first_spikes.sum() / (s.num_steps * sum(s.hidden))),
        "output_spikes_per_image": output_spikes,
        "input_spikes_per_image": input_spikes,
        "hidden_spikes_per_image": float(spikes.sum()),
        "train_cpu_s_per_epoch": train_cpu_s / s.epochs,
        "largest_drop": largest_drop(curve["test_accuracy"]),
        **epochs_to(curve["epoch"], curve["test_accuracy"]),
        **{f"loss_epoch_{k}": loss for k, loss in enumerate(curve["loss"], 1)},
        **cost,
    }
    with torch.no_grad():
        one = net(
            encode(test_images[:1], np.arange(1), steps, stream_key(seed, STREAM_TEST)), steps
        )
    arrays |= {
        "predictions": predictions.astype(np.uint8),
        "labels": test_labels.astype(np.uint8),
        "image": data.test_images[0],
        "label": test_labels[:1],
        "hidden_spikes": one[0][:, 0].cpu().numpy().astype(np.uint8),
        "output_spikes": one[-1][:, 0].cpu().numpy().astype(np.uint8),
    }
    curve["silent_by_step"] = 1 - spikes.sum(axis=0) / sum(s.hidden)
    tested = f"T = {steps}" + (f", trained with {s.num_steps}" if steps != s.num_steps else "")
    network = Network(
        name=f"{'-'.join(map(str, sizes))}, {tested}",
        data_set="mnist",
        rule="surrogate gradients through time",
        n_neurons=sum(sizes[1:]),
        n_parameters=sum(p.numel() for p in net.parameters()),
        n_state=sum(sizes[1:]),
        num_steps=steps,
        spikes=input_spikes + float(spikes.sum()) + output_spikes,
        synaptic_operations=cost["synaptic_operations"],
        macs=cost["ann_macs"],
        n_train=s.n_train,
        presentations=s.n_train * s.epochs,
        train_s=train_cpu_s,
    )
    return Result(metrics=metrics, series=curve, arrays=arrays, network=network)
