"""Training image after image, labels from its last images, test with the network frozen.

Source: Diehl & Cook (2015), Sections 2 and 3. Claims DC-a to DC-d; choices U1 to U9, deviations D1
to D5 in claims.yaml. Cost on one core, one pass of 60,000 images: some 1.5 min with 100
neurons, 3 with 400, 10 with 1600, 40 with 6400.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Network, Result
from respike.sources.diehl_cook_2015 import cpu, readout
from respike.sources.diehl_cook_2015.model import (
    N_CLASSES,
    N_PIXELS,
    DiehlCookError,
    Parameters,
    State,
    start_state,
    steps,
)
from respike.sources.diehl_cook_2015.settings import Train as Settings
from respike.spiking.encoding import stream_key

STREAM_TRAIN, STREAM_TEST, STREAM_LABEL = 1, 2, 3
CHUNK = 256  # images between two lines of progress
CHECKPOINT = 5000  # images between two copies on disk: a killed run loses no more
SHOWN_NEURONS = 400  # weights of larger networks are not kept with the result


@dataclass
class Trained:
    """A trained network and what training showed."""

    state: State
    counts: np.ndarray  # uint16 (label_images, n): spikes of the last training images
    labels: np.ndarray  # int64 (label_images,): their classes
    accuracy: list[float]  # of each block of label_images, with the labels of the block before
    tally: np.ndarray  # int64 (4,): input spikes, steps computed, output spikes, presentations
    cpu_s: float


def fit(
    p: Parameters, images, labels, seed: int, n_passes: int, label_images: int,
    progress: Callable = lambda *_, **__: None, kept=None, name: str = "",
) -> Trained:  # fmt: skip
    """Train a network on images uint8 (m, 784) in their order, n_passes times.

    With `kept` (`respike.runs.checkpoints.Kept`) training goes on after the last copy made under
    `name`. Raises DiehlCookError where label_images are more than are shown. Where blocks of
    label_images do not fill the training, the first images are in none.
    """
    total = len(images) * n_passes
    if label_images > total:
        raise DiehlCookError(
            f"label_images: found {label_images}, allowed: up to n_train x n_passes ({total})"
        )
    before = total % label_images
    key = stream_key(seed, STREAM_TRAIN)
    net = Trained(
        start_state(p, seed), np.zeros((label_images, p.n_exc), np.uint16),
        np.zeros(label_images, np.int64), [], np.zeros(4, np.int64), 0.0,
    )  # fmt: skip
    assigned = np.full(p.n_exc, -1)
    done = 0
    if kept is not None and (found := kept.get_arrays(name)) is not None:
        done, net, assigned = _restored(found)
    saved = done
    since = time.process_time()
    while done < total:
        at = (done - before) % label_images
        end = min(done + _chunk(p), done + label_images - at)
        number = np.arange(done, end)
        counts, repeats = cpu.show(
            p, net.state, images[number % len(images)], number, key, True, net.tally[:3]
        )
        net.tally[3] += repeats.sum()
        block = slice(at, at + end - done)
        net.counts[block], net.labels[block] = counts, labels[number % len(images)]
        done = end
        if done >= label_images and (done - before) % label_images == 0:
            if done >= before + 2 * label_images:
                found = readout.answers(net.counts, assigned)
                net.accuracy.append(float((found == net.labels).mean()))
            assigned = readout.assign(readout.class_rates(net.counts, net.labels))
        net.cpu_s += time.process_time() - since
        since = time.process_time()
        if kept is not None and (done - saved >= CHECKPOINT or done == total):
            kept.put_arrays(name, _as_arrays(done, net, assigned))
            saved = done
        said = {"accuracy": net.accuracy[-1]} if net.accuracy else {}
        progress("image", done, total, **said)
    return net


def _chunk(p: Parameters) -> int:
    return max(1, CHUNK // p.batch_size) * p.batch_size


def _as_arrays(done: int, net: Trained, assigned) -> dict:
    return {
        **{f"state_{name}": value for name, value in net.state.arrays().items()},
        "done": np.array(done), "assigned": assigned, "counts": net.counts, "labels": net.labels,
        "accuracy": np.array(net.accuracy), "tally": net.tally, "cpu_s": np.array(net.cpu_s),
    }  # fmt: skip


def _restored(found: dict) -> tuple[int, Trained, np.ndarray]:
    names = [item.name for item in dataclasses.fields(State)]
    net = Trained(
        State(**{name: found[f"state_{name}"] for name in names}), found["counts"],
        found["labels"], list(found["accuracy"]), found["tally"], float(found["cpu_s"]),
    )  # fmt: skip
    return int(found["done"]), net, found["assigned"]


def respond(p: Parameters, state: State, images, key, progress=lambda *_, **__: None) -> tuple:
    """Show images to a frozen copy of the network.

    Returns spike counts int32 (m, n), presentations int64 (m,), and the tally of `cpu.show`.
    """
    frozen, tally = state.copy(), np.zeros(3, np.int64)
    cpu.normalise(frozen.w, frozen.changed, float(p.norm))
    counts = np.zeros((len(images), p.n_exc), np.int32)
    repeats = np.zeros(len(images), np.int64)
    for first in range(0, len(images), CHUNK):
        number = np.arange(first, min(first + CHUNK, len(images)))
        counts[number], repeats[number] = cpu.show(
            p, frozen, images[number], number, key, False, tally
        )
        progress("test image", number[-1] + 1, len(images))
    return counts, repeats, tally


def run(settings: Settings, data: Mnist, seed: int, progress, kept=None) -> Result:
    """Train, assign labels, test; report the accuracy and what the neurons came to stand for."""
    s = settings
    images = data.train_images[: s.n_train].reshape(-1, N_PIXELS)
    labels = data.train_labels[: s.n_train]
    cpu.show(s, start_state(s, seed), images[:1], [0], 0, True)  # compiles before the time is taken
    name = json.dumps(["train", seed, dataclasses.asdict(s)])
    net = fit(s, images, labels, seed, s.n_passes, s.label_images, progress, kept, name)
    rates = readout.class_rates(net.counts, net.labels)
    assigned = readout.assign(rates)
    test_images = data.test_images[: s.n_test].reshape(-1, N_PIXELS)
    test_labels = data.test_labels[: s.n_test]
    counts, repeats, tally = respond(
        s, net.state, test_images, stream_key(seed, STREAM_TEST), progress
    )
    predictions = readout.answers(counts, assigned)
    table = readout.confusion(predictions, test_labels)
    per_class = np.bincount(assigned[assigned >= 0], minlength=N_CLASSES)
    n_shown = s.n_train * s.n_passes
    metrics = {
        "test_accuracy_final": (predictions == test_labels).mean(),
        "undecided_images": (predictions < 0).mean(),
        "output_spikes_per_image": counts.sum() / len(counts),
        "presentations_per_image": repeats.mean(),
        "neurons_firing": (counts.sum(axis=0) > 0).sum(),
        "least_neurons_of_a_class": per_class.min(),
        "distinct_labels": (per_class > 0).sum(),
        "mean_purity": _purity(rates)[assigned >= 0].mean() if (assigned >= 0).any() else 0.0,
        "pair_4_9_over_next": readout.pair_over_next(table, 4, 9),
        "late_gain": _late_gain(net.accuracy),
        "theta_mean_mV": net.state.theta.mean(),
        "theta_sd_mV": net.state.theta.std(),
        "train_cpu_s": net.cpu_s,
        "train_cpu_ms_per_image": 1000 * net.cpu_s / n_shown,
        "train_presentations_per_image": net.tally[3] / n_shown,
        "train_input_spikes_per_image": net.tally[0] / n_shown,
        "train_steps_per_image": net.tally[1] / n_shown,
        "train_output_spikes_per_image": net.tally[2] / n_shown,
    }
    metrics |= cpu.operations(s, *net.tally / n_shown)
    if s.frozen_labels:
        own, own_labels = _last(images, labels, s.label_images)
        seen, _, _ = respond(s, net.state, own, stream_key(seed, STREAM_LABEL), progress)
        frozen = readout.assign(readout.class_rates(seen, own_labels))
        found = readout.answers(counts, frozen)
        metrics["test_accuracy_frozen_labels"] = (found == test_labels).mean()
    arrays = {
        "predictions": np.where(predictions < 0, 255, predictions).astype(np.uint8),
        "labels": test_labels.astype(np.uint8),
        "assigned": assigned.astype(np.int8),
        "rates": rates.astype(np.float32),
        "confusion": table,
        "theta": net.state.theta,
    }
    if s.n_exc <= SHOWN_NEURONS:
        arrays["w"] = net.state.w
    shown = n_shown - s.label_images * np.arange(len(net.accuracy))[::-1]
    return Result(
        metrics=metrics,
        series={"images": shown.tolist(), "running_accuracy": net.accuracy},
        arrays=arrays,
        network=declared(s, tally / s.n_test, net.cpu_s),
    )


def _last(images, labels, count: int) -> tuple:
    """Return the last `count` training images shown and their labels."""
    at = np.arange(-count, 0) % len(images)
    return images[at], labels[at]


def _late_gain(accuracy: list[float]) -> float:
    """Return the mean of the last third of a curve less that of the third before; NaN: too short.

    In three passes these are the last and the second one.
    """
    third = max(1, (len(accuracy) + 1) // 3)
    if len(accuracy) < 2 * third:
        return float("nan")
    return float(np.mean(accuracy[-third:]) - np.mean(accuracy[-2 * third : -third]))


def _purity(rates) -> np.ndarray:
    """Return the share of each neuron's rates that its own class has, float64 (n,)."""
    total = rates.sum(axis=1)
    return np.divide(rates.max(axis=1), total, out=np.zeros(len(rates)), where=total > 0)


def declared(s: Settings, per_image, train_s: float) -> Network:
    """Return what the network is and costs; per_image: input spikes, steps, output spikes.

    Spikes of all presentations of a test image count. An inhibitory neuron is taken to fire once
    for each spike of its excitatory one.
    """
    n, (spikes_in, _, spikes_out) = s.n_exc, per_image
    direct = s.inhibition == "direct"
    return Network(
        name=f"{N_PIXELS}-{n}, conductances, {s.rule} STDP",
        data_set="mnist",
        rule="STDP",
        n_neurons=n if direct else 2 * n,
        n_parameters=N_PIXELS * n + n + 2,  # weights, thresholds, the two weights of inhibition
        n_state=(4 if direct else 7) * n,  # potentials, conductances, refractory times
        num_steps=steps(s.present_ms + s.rest_ms, s),
        spikes=spikes_in + spikes_out * (1 if direct else 2),
        synaptic_operations=spikes_in * n + spikes_out * (n - 1 if direct else n),
        macs=N_PIXELS * n + n * n,
        n_train=s.n_train,
        presentations=s.n_train * s.n_passes,
        train_s=train_s,
    )
