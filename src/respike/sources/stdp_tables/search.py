"""Constants tuned for one neuron model: how far it can be brought.

Source: stdp-tables-paper.md, Section 4.2: "the hyperparameters were not optimized for the other
neuron models". Claims S-d; choice U12. A search with a stated number of trials, the first half at
random, the second around the best so far (NEAR); all on the same first training images, judged on
the last training images, which no trial learns from. The best is also trained with the final
budget, the validation images choose between the two, and the test images are used once. The
document's own constants with the final budget stand beside it. Cost: 0.1 s per 1000 images and
trial.
"""

import dataclasses
import math
import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.model import StdpError, check_images, constants
from respike.sources.stdp_tables.settings import Search as Settings
from respike.spiking.encoding import stream_key

# What is searched, as (low, high, whether on a logarithmic scale).
RANGES = {
    "v_thresh_mV": (-56.0, 20.0, False),
    "refrac_ms": (0.0, 10.0, False),
    "inhibit_mV": (0.5, 120.0, True),
    "nu_pre": (1e-6, 1e-3, True),
    "nu_post": (1e-4, 3e-2, True),
    "intensity": (32.0, 512.0, True),
    "tc_decay_ms": (5.0, 300.0, True),  # not of `if`, which has no leak
    "theta_plus_mV": (0.01, 1.0, True),  # diehl_cook only
    "d_thresh_mV": (0.1, 5.0, True),  # srm0 only
    "norm": (40.0, 200.0, True),
    "tc_trace_ms": (2.0, 40.0, True),
}
WHOLE = ("refrac_ms",)


def searched(neuron: str, encoder: str) -> list[str]:
    """Return the settings that mean something for a neuron model and an encoder."""
    without = {
        "if": {"tc_decay_ms", "theta_plus_mV", "d_thresh_mV"},
        "lif": {"theta_plus_mV", "d_thresh_mV"},
        "srm0": {"theta_plus_mV"},
        "diehl_cook": {"d_thresh_mV"},
    }[neuron]
    if encoder != "poisson":  # the others divide the intensity out again
        without = without | {"intensity"}
    return [key for key in RANGES if key not in without]


NEAR = 0.1  # standard deviation of a step around the best point, in shares of a range


def to_point(keys: list[str], place: np.ndarray) -> dict[str, float]:
    """Return the settings at a place of the unit cube."""
    point = {}
    for key, x in zip(keys, place, strict=True):
        low, high, logarithmic = RANGES[key]
        if logarithmic:
            point[key] = float(math.exp(math.log(low) + x * math.log(high / low)))
        else:
            point[key] = float(low + x * (high - low))
        if key in WHOLE:
            point[key] = float(round(point[key]))
    return point


def trained(s: Settings, data: Mnist, n_images: int, seed: int):
    """Return constants, coding and the trained network."""
    coding = stdp_train.Coding(s.encoder, s.num_steps, s.intensity)
    c = constants(s, s.rule)
    images = check_images(data.train_images[:n_images])
    [net] = stdp_train.train(
        [c], coding, images, data.train_labels, seed, s.batch_size, s.assign_images
    )
    return c, coding, net


def accuracies(c, coding, net, images, labels, key) -> dict[str, float]:
    """Return the share of right answers of each read-out."""
    counts = stdp_train.respond(c, net.state, coding, check_images(images), key)
    found = stdp_train.predictions(counts, net.labels, net.labels_0)
    return {name: float((p == labels).mean()) for name, p in found.items()}


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Search, train the best and the document's constants, test both."""
    s = settings
    stdp_train.check_split(max(s.n_train, s.n_search), s.n_val, len(data.train_images))
    if s.n_search < s.assign_images:
        raise StdpError(f"n_search: found {s.n_search}, allowed is at least assign_images")
    rng = np.random.default_rng([seed, 4])
    keys = searched(s.neuron, s.encoder)
    points = [{key: getattr(s, key) for key in keys}]  # trial 0: the document's
    places = [None]
    val, val_labels = data.train_images[-s.n_val :], data.train_labels[-s.n_val :]
    val_key = stream_key(seed, stdp_train.STREAM_VAL)
    since, scores, kept = time.process_time(), [], None
    for k in range(1 + s.n_trials):
        if k:  # first half: anywhere; second half: around the best place so far
            place = rng.random(len(keys))
            if k > s.n_trials // 2 and (centre := places[int(np.argmax(scores))]) is not None:
                place = np.clip(centre + NEAR * rng.standard_normal(len(keys)), 0, 1)
            places.append(place)
            points.append(to_point(keys, place))
        network = trained(dataclasses.replace(s, **points[k]), data, s.n_search, seed)
        # strict: silence must not be rewarded
        scores.append(accuracies(*network, val, val_labels, val_key)["all_strict"])
        if scores[-1] == max(scores):
            kept = network
        progress("trial", k + 1, 1 + s.n_trials, best=max(scores))
    best = len(scores) - 1 - int(np.argmax(scores[::-1]))  # the last of equals, as `kept`
    longer = trained(dataclasses.replace(s, **points[best]), data, s.n_train, seed)
    longer_score = accuracies(*longer, val, val_labels, val_key)["all_strict"]
    # More images can make it worse; the validation images decide this too.
    tuned = longer if longer_score >= scores[best] else kept
    document = trained(dataclasses.replace(s, **points[0]), data, s.n_train, seed)
    metrics = {
        "val_accuracy_document": scores[0], "val_accuracy_best": scores[best], "best_trial": best,
        "val_accuracy_best_longer": longer_score, "tuned_images": len(tuned[2].order),
        **{f"best_{key}": points[best][key] for key in keys},
    }  # fmt: skip
    arrays = {"labels": data.test_labels[: s.n_test]}
    for name, network in (("document", document), ("tuned", tuned)):
        found = accuracies(
            *network, data.test_images[: s.n_test], data.test_labels[: s.n_test],
            stream_key(seed, stdp_train.STREAM_TEST),
        )  # fmt: skip
        metrics |= {f"test_accuracy_{read_out}_{name}": a for read_out, a in found.items()}
        arrays[f"w_{name}"] = network[2].state.w
    progress("final", 1, 1, accuracy=found["all"])
    metrics["gain_tuning"] = (
        metrics["test_accuracy_all_tuned"] - metrics["test_accuracy_all_document"]
    )
    metrics["cpu_s"] = time.process_time() - since
    series = {"val_accuracy": scores} | {key: [p[key] for p in points] for key in keys}
    return Result(metrics=metrics, series=series, arrays=arrays)
