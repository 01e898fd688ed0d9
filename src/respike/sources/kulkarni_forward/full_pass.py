"""Forward pass over MNIST with random output weights, original and modified, side by side.

Source: kulkarni-forward-paper.md, Sections IV to VIII, Figures 3 and 4. Claims K-d to K-g; choices
U2 to U4, deviations D1 to D3. As printed, neurons fire without input, which no fast path follows:
few images, step by step. Cost: about 2 ms per image and pass on one core; as printed 1 s.
"""

import time

import numpy as np

from respike.data.mnist import Mnist
from respike.runs.result import Result
from respike.sources.kulkarni_forward import filters as kulkarni_filters
from respike.sources.kulkarni_forward import passes as kulkarni_pass
from respike.sources.kulkarni_forward import reference as model
from respike.sources.kulkarni_forward.comparison import (
    agreement,
    correlation,
    first_layer_ratio,
    plain_passes,
)
from respike.sources.kulkarni_forward.neuron import VARIANTS
from respike.sources.kulkarni_forward.settings import FullPass as Settings

BLOCK = 500  # images at a time; bounds the memory, changes no number


def output_weights(n_hidden: int, seed: int) -> np.ndarray:
    """Return |N(0, 1)| weights (n_hidden, 10), as the authors' script draws them (U4)."""
    return np.abs(np.random.default_rng([seed, 1]).normal(size=(n_hidden, 10)))


def decays(s: Settings) -> dict[str, float | None]:
    """Return the passes: the original, and the modified one with the printed and coded decay."""
    printed = model.modified_decay(s)
    return {"original": None, "printed_decay": printed, "coded_decay": s.decay_coded}


def fast_passes(s: Settings, net: kulkarni_pass.Network, images: np.ndarray, progress):
    """Return hidden and output counts, CPU seconds per image, tables, by the keys of `decays`."""
    if net.variant.holds_first and images[:, : model.FIELD, : model.FIELD].any():
        # The table knows one neuron alone; as coded the first one feels all others.
        raise ValueError("images: a corner is lit, which the look-up table as coded cannot follow")
    tables = {
        key: None if decay is None else net.table(s.modified_gain_pA, decay)
        for key, decay in decays(s).items()
    }
    hidden, output, seconds = {}, {}, {}
    for number, (key, table) in enumerate(tables.items(), 1):
        chosen = images if table is None else images[: s.n_modified]
        kulkarni_pass.run(net, chosen[:2], table)  # compiled before it is timed
        counts, outputs, seconds[key] = [], [], 0.0
        for start in range(0, len(chosen), BLOCK):
            block = chosen[start : start + BLOCK]
            since = time.process_time()
            h, o = kulkarni_pass.run(net, block, table)
            seconds[key] += (time.process_time() - since) / len(chosen)
            counts.append(h.astype(np.uint8))  # a count is at most 34
            outputs.append(o)
            progress("image", start + len(block), len(chosen), of_pass=number, passes=len(tables))
        hidden[key], output[key] = np.concatenate(counts), np.concatenate(outputs)
    return hidden, output, seconds, tables


def slow_passes(s: Settings, filters: np.ndarray, weights: np.ndarray, images, progress):
    """Return the same without tables, step by step: as printed no fast path can follow."""
    found = ({}, {}, {})
    for number, (key, decay) in enumerate(decays(s).items(), 1):
        chosen = images if decay is None else images[: s.n_modified]
        for part, one in zip(
            found, plain_passes(s, filters, weights, chosen, {key: decay}), strict=True
        ):
            part |= one
        progress("pass", number, 3)
    return found


def run(settings: Settings, data: Mnist, seed: int, progress) -> Result:
    """Train the filters, pass the images, compare the passes."""
    s = settings
    images = model.check_images(data.test_images[: s.n_test])
    labels = data.test_labels[: s.n_test]
    found = kulkarni_filters.train(data, s.n_filters, s.n_train_filters, 1, seed)
    filters = found.trained if s.filters == "trained" else found.start
    n_hidden = s.n_filters * model.MAP**2
    weights = output_weights(n_hidden, seed)
    metrics = {
        "hidden_neurons": n_hidden,
        "output_weights": weights.size,
        "filter_change": np.abs(found.trained - found.start).mean() / np.abs(found.start).mean(),
        "filter_net_accuracy_start": found.test_accuracy_start,
        "filter_net_accuracy": found.test_accuracy,
    }
    if s.variant == "as_documented":
        hidden, output, seconds = slow_passes(s, filters, weights, images, progress)
        tables = None
    else:
        net = kulkarni_pass.Network(
            s, VARIANTS[s.variant], filters, s.gain_pA, weights, s.gain_out_pA
        )
        hidden, output, seconds, tables = fast_passes(s, net, images, progress)
    for key, counts in output.items():
        winners = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1)
        metrics |= {
            f"test_accuracy_{key}": (model.decide(counts) == labels[: len(counts)]).mean(),
            f"one_winner_{key}": (winners == 1).mean(),
            f"hidden_mean_{key}": hidden[key].mean(),
            f"hidden_active_{key}": (hidden[key] > 0).mean(),
            f"hidden_highest_Hz_{key}": hidden[key].max() / (s.num_steps * s.dt_ms) * 1000,
            f"output_mean_{key}": counts.mean(),
            f"cpu_ms_{key}": seconds[key] * 1000,
        }
    metrics["predicted_most_often"] = np.bincount(model.decide(output["original"])).max() / len(
        labels
    )
    arrays = {"filters": filters, "filters_start": found.start}
    features = model.feature_map(images[0], filters)
    metrics["map_correlation"] = map_correlation(hidden["original"], images, filters)
    maps = hidden["original"].reshape(-1, model.MAP**2)
    metrics["maps_that_vary"] = (maps.max(axis=1) > maps.min(axis=1)).mean()
    for key in ("printed_decay", "coded_decay"):
        metrics |= {
            f"{name}_{key}": value
            for name, value in agreement(
                hidden["original"][: len(hidden[key])], hidden[key]
            ).items()
        }
        metrics[f"speed_up_{key}"] = seconds["original"] / seconds[key]
        near = np.full((1, 2), np.nan)  # not a number where it is not measured
        if tables is not None and s.n_compare:
            near = kulkarni_pass.timing(net, images[: s.n_compare], tables[key])
            near = near[~np.isnan(near).any(axis=1)]
        metrics[f"coincidence_{key}"] = near[:, 0].mean()
        metrics[f"first_spike_gap_ms_{key}"] = near[:, 1].mean() * s.dt_ms
    times = ("plain_cpu_s_original", "plain_cpu_s_modified", "plain_speed_up")
    metrics |= dict.fromkeys((*times, "first_layer_time_ratio"), float("nan"))
    if s.n_plain:
        _, _, plain = plain_passes(s, filters, weights, images[: s.n_plain], decays(s))
        metrics["plain_cpu_s_original"] = plain["original"]
        metrics["plain_cpu_s_modified"] = plain["printed_decay"]
        metrics["plain_speed_up"] = plain["original"] / plain["printed_decay"]
        metrics["first_layer_time_ratio"] = first_layer_ratio(images[0], filters, s.num_steps)
    nine = int(np.argmax(labels == 9))  # Figure 4 shows a digit 9; image 0 if there is none
    for key, counts in hidden.items():
        arrays[f"histogram_{key}"] = histogram(counts)
        if nine < len(counts):
            arrays[f"maps_{key}"] = counts[nine].reshape(-1, model.MAP, model.MAP)
        arrays[f"image_means_{key}"] = counts.mean(axis=1)
        arrays[f"output_counts_{key}"] = output[key].astype(np.uint16)
    arrays |= {"image": images[nine], "label": labels[nine : nine + 1], "labels": labels}
    arrays["features"] = features
    return Result(metrics=metrics, arrays=arrays)


def histogram(counts: np.ndarray) -> np.ndarray:
    """Return how many entries of uint8 `counts` (images, neurons) are 0, 1, ..., 40."""
    return sum(np.bincount(row, minlength=41) for row in counts)  # row by row: bincount copies


def map_correlation(hidden: np.ndarray, images: np.ndarray, filters: np.ndarray) -> float:
    """Return the mean correlation of count maps and rectified feature maps, first 200 images.

    Over the pairs of image and filter in which both vary.
    """
    found = []
    for counts, image in zip(hidden[:200], images[:200], strict=False):
        features = np.maximum(model.feature_map(image, filters), 0).reshape(len(filters), -1)
        found += [
            correlation(a, b)
            for a, b in zip(counts.reshape(len(filters), -1), features, strict=True)
            if np.ptp(a) and np.ptp(b)
        ]
    return float(np.mean(found)) if found else float("nan")
