"""One pass of unsupervised training with label assignment, and the test, as the authors run them.

Images come in random order in batches; after every `assign_images` images their spikes, recorded
while the network learned, assign labels to the neurons, and the rates add up (authors' code:
`update_steps` of 100 batches, `rates=rates`). What comes after the last full interval trains the
network but assigns nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from respike.sources.stdp_tables import cpu, readout
from respike.sources.stdp_tables.encode import encode
from respike.sources.stdp_tables.model import Constants, State, StdpError, start_state
from respike.spiking.encoding import stream_key

STREAM_TRAIN, STREAM_TEST, STREAM_LABEL, STREAM_VAL = 1, 2, 3, 4
BLOCK = 256  # images encoded and tested at a time; the authors' test batch


@dataclass(frozen=True)
class Coding:
    """How images become spikes."""

    encoder: str
    num_steps: int  # ms of a presentation (source: 100)
    intensity: float  # Hz of a white pixel (source: 128)


@dataclass
class Trained:
    """A trained network and what training showed."""

    state: State
    labels: readout.Labels  # as BindsNET 0.3.4 assigns them
    labels_0: readout.Labels  # silent neurons stand for class 0
    counts: np.ndarray  # int32 (images, n): spikes in training, in the order of presentation
    order: np.ndarray  # int64 (images,): which image was presented when
    accuracy: list[float]  # all_activity on each interval with the labels of those before


def check_budget(n_images: int, batch_size: int, assign_images: int) -> None:
    """Raise StdpError if labels cannot be assigned as the document does."""
    if not 1 <= batch_size <= n_images:
        raise StdpError(f"batch_size: found {batch_size}, allowed: 1 to n_train ({n_images})")
    if not 1 <= assign_images <= n_images:
        raise StdpError(
            f"assign_images: found {assign_images}, allowed: 1 to n_train ({n_images}); with more "
            "no neuron would get a label"
        )
    if assign_images % batch_size:
        low = assign_images // batch_size * batch_size
        near = " or ".join(str(k) for k in (low, low + batch_size) if 0 < k <= n_images)
        raise StdpError(
            f"assign_images: found {assign_images}, which batches of batch_size {batch_size} do "
            f"not divide; use {near}"
        )


def intervals(n_images: int, assign_images: int) -> list[tuple[int, int]]:
    """Return first and end of the images of every assignment of labels.

    The authors assign when the next batch arrives, so an interval that ends with the images counts
    only where it is the only one.
    """
    ends = list(range(assign_images, n_images, assign_images)) or [assign_images]
    return [(end - assign_images, end) for end in ends]


def check_split(n_train: int, n_val: int, n_images: int) -> None:
    """Raise StdpError if the last n_val images are among the first n_train."""
    if n_train + n_val > n_images:
        raise StdpError(
            f"n_val: the last {n_val} of {n_images} images are not all left out of n_train "
            f"{n_train}; allowed is n_train + n_val up to {n_images}"
        )


def train(
    networks: list[Constants],
    coding: Coding,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    batch_size: int,
    assign_images: int,
    progress: Callable = lambda *_, **__: None,
) -> list[Trained]:
    """Train networks side by side on the same spikes, each image once; return them.

    images uint8 (images, 784), labels (images,). `progress(unit, done, of, **numbers)` is told
    after every batch. The last batch may be smaller.
    """
    check_budget(len(images), batch_size, assign_images)
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    key = stream_key(seed, STREAM_TRAIN)
    found = [
        Trained(
            start_state(c, seed), readout.no_labels(c.n_neurons), readout.no_labels(c.n_neurons),
            np.zeros((len(images), c.n_neurons), np.int32), order, [],
        )
        for c in networks
    ]  # fmt: skip
    ends = {end for _, end in intervals(len(images), assign_images)}
    total = -(-len(images) // batch_size)
    for step in range(total):
        first = step * batch_size
        index = order[first : first + batch_size]
        events = encode(
            images[index], index, coding.encoder, coding.num_steps, coding.intensity, key
        )
        end = first + len(index)
        for c, net in zip(networks, found, strict=True):
            net.counts[first:end] = cpu.present(c, net.state, events, index, key, learn=True)
            if end in ends:
                _assign(net, labels, end - assign_images, end)
        progress("batch", step + 1, total)
    return found


def _assign(net: Trained, labels: np.ndarray, first: int, end: int) -> None:
    counts, truth = net.counts[first:end], labels[net.order[first:end]]
    if net.labels.rates.any():
        net.accuracy.append(float((readout.all_activity(counts, net.labels) == truth).mean()))
    net.labels = readout.assign_labels(counts, truth, net.labels)
    net.labels_0 = readout.assign_labels(counts, truth, net.labels_0, silent_is_0=True)


def respond(c: Constants, state: State, coding: Coding, images, key) -> np.ndarray:
    """Return output spike counts int32 (images, n) without learning."""
    found = [np.zeros((0, c.n_neurons), np.int32)]
    for first in range(0, len(images), BLOCK):
        part = images[first : first + BLOCK]
        index = np.arange(first, first + len(part))
        events = encode(part, index, coding.encoder, coding.num_steps, coding.intensity, key)
        found.append(cpu.present(c, state, events, index, key, learn=False))
    return np.concatenate(found)


def predictions(counts: np.ndarray, net_labels: readout.Labels, labels_0: readout.Labels) -> dict:
    """Return the predictions of both read-outs, silence as class 0 and, `_strict`, as wrong."""
    return {
        f"{name}{end}": function(counts, of, silent_is_0)
        for end, of, silent_is_0 in (("", labels_0, True), ("_strict", net_labels, False))
        for name, function in readout.READ_OUTS.items()
    }
