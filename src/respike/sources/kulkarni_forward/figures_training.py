"""Figures of kulkarni-forward-paper.md about filters, time and trained weights."""

import matplotlib.pyplot as plt
import numpy as np

from respike.figures.draw import (
    ANN,
    BAND,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    Runs,
    curves,
    dots,
    percent,
)

NORMAD, READOUT = ("NormAD", SNN), ("back-propagation on counts", OTHER)


def filters(runs: Runs) -> plt.Figure:
    """Section V: filters before and after one epoch, their maps, and what they allow."""
    pairs = [
        ("random", runs["full_pass_random_filters"]),
        ("one epoch", runs["full_pass_corrected"]),
    ]
    figure = plt.figure(figsize=(15, 4.6))
    left, right = figure.subfigures(1, 2, width_ratios=[4.2, 1])
    grid = left.subplots(4, 12)
    for k, (label, found) in enumerate(pairs):
        arrays = found[0].arrays()
        reach = np.abs(arrays["filters"]).max()
        for line, pictures, style in (
            (grid[2 * k], arrays["filters"], {"cmap": "PuOr", "vmin": -reach, "vmax": reach}),
            (grid[2 * k + 1], arrays["maps_original"], {"cmap": "viridis", "vmin": 0, "vmax": 25}),
        ):
            for ax, picture in zip(line, pictures, strict=False):
                drawn = ax.imshow(picture, interpolation="nearest", **style)
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
            left.colorbar(drawn, ax=list(line), shrink=0.8, pad=0.01,
                          label="weight" if "PuOr" in style.values() else "spikes")  # fmt: skip
        grid[2 * k, 0].set_ylabel(f"{label}:\nfilters", fontsize=9)
        grid[2 * k + 1, 0].set_ylabel("counts", fontsize=9)
    ax = right.subplots()
    dots(ax, 0, runs.values("readout_random_filters", "test_accuracy_final"), OTHER)
    dots(ax, 1, runs.values("readout", "test_accuracy_final"), OTHER)
    ax.set_xticks([0, 1], ["random", "one epoch"])
    ax.set(xlim=(-0.6, 1.6), ylabel="test accuracy, linear layer")
    percent(ax)
    return figure


def speed(runs: Runs) -> plt.Figure:
    """Section VIII: CPU time of a forward pass."""
    coded, corrected = "full_pass_as_coded", "full_pass_corrected"
    rows = [
        ("document's loop, original", runs.values(coded, "plain_cpu_s_original"), SNN_OTHER),
        ("document's loop, modified", runs.values(coded, "plain_cpu_s_modified"), SNN_OTHER),
        ("ours, original, as coded", runs.values(coded, "cpu_ms_original") / 1000, SNN),
        ("ours, modified, as coded", runs.values(coded, "cpu_ms_coded_decay") / 1000, SNN),
        ("ours, original, corrected", runs.values(corrected, "cpu_ms_original") / 1000, SNN),
        ("ours, modified, corrected", runs.values(corrected, "cpu_ms_printed_decay") / 1000, SNN),
    ]
    figure, ax = plt.subplots(figsize=(8, 3.6))
    for k, (_, values, colour) in enumerate(rows):
        dots(ax, k, values, colour, horizontal=True)
    published = runs.published.get("kulkarni_forward.five_seconds", {}).get("value")
    if published:
        ax.plot(published, 0, "D", color=PUBLISHED, markersize=7)
        ax.annotate("document, GPU", (published, 0), xytext=(-4, -14), ha="right", fontsize=8,
                    textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yticks(range(len(rows)), [row[0] for row in rows])
    ax.set(xlabel="CPU time per image (s), one core", ylim=(len(rows) - 0.5, -0.6))
    ax.grid(axis="x", color=BAND, linewidth=0.4)
    return figure


def training(runs: Runs) -> plt.Figure:
    """Draw learning curves, test accuracies and highest rates (reference [6])."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), width_ratios=[1.1, 1.3, 0.9])
    ax = axes[0]
    for name, colour, label in (
        ("train", SNN, "original pass"), ("train_modified", SNN_OTHER, "modified pass"),
    ):  # fmt: skip
        curves(ax, runs[name], "epoch", "val_accuracy", colour, label, marker="o", markersize=4)
    ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    settings = runs["train"][0].result["settings"]
    images, held_out = settings["n_train"], settings["n_val"]
    # With all 60,000 images the last ones are learned from, too.
    said = "validation accuracy" if images + held_out <= 60_000 else "accuracy on images learned"
    ax.set(xlabel=f"epoch of {images:,} images", ylabel=said, title="NormAD")
    percent(ax)
    ax.legend(loc="lower right")
    ax = axes[1]
    final, other = "test_accuracy_final", "test_accuracy_other_pass"
    rows = [
        ("NormAD, original", "train", final, SNN),
        ("  tested on modified", "train", other, SNN),
        ("NormAD, modified", "train_modified", final, SNN_OTHER),
        ("  tested on original", "train_modified", other, SNN_OTHER),
        ("back-prop. on counts", "readout", final, OTHER),
        ("  tested on modified", "readout", other, OTHER),
        ("ANN, same filters", "ann_filters", final, ANN),
    ]
    for k, (_, name, metric, colour) in enumerate(rows):
        dots(ax, k, runs.values(name, metric), colour, horizontal=True)
    published = runs.published.get("kulkarni_forward.trained_accuracy", {}).get("value")
    if published:
        ax.axvline(published, color=PUBLISHED, linestyle="--", linewidth=1)
        ax.plot(published, 0, "D", color=PUBLISHED, markersize=7)
    ax.set_yticks(range(len(rows)), [row[0] for row in rows])
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy", title="diamond: published")
    percent(ax, "x")
    ax = axes[2]
    for k, metric in enumerate(("hidden_highest_Hz", "output_highest_Hz", "output_winner_Hz")):
        dots(ax, k, runs.values("train", metric), SNN)
    ax.axhline(300, color=PUBLISHED, linestyle="--", linewidth=1)
    ax.set_xticks(range(3), ["hidden,\nhighest", "output,\nhighest", "winner,\nmean"])
    ax.set(xlim=(-0.6, 2.6), ylim=(0, 350), ylabel="rate (Hz)", title="dashed: 300 Hz")
    return figure


def bits(runs: Runs) -> plt.Figure:
    """Draw accuracy against the precision of the weights (reference [6])."""
    figure, ax = plt.subplots(figsize=(7, 4.2))
    for name, (label, colour) in {
        "train": NORMAD, "readout": READOUT, "ann_filters": ("ANN, same filters", ANN)
    }.items():  # fmt: skip
        if not runs[name]:
            continue
        steps = runs[name][0].result["settings"]["bits"]
        values = [runs.values(name, f"test_accuracy_{b}_bits") for b in steps]
        values.append(runs.values(name, "test_accuracy_final"))
        at = np.arange(len(values))
        ax.plot(at, [v.mean() for v in values], color=colour, label=label)
        for k, value in zip(at, values, strict=True):
            ax.scatter(np.full(len(value), k), value, color=colour, s=18, alpha=0.6, linewidths=0)
        ax.set_xticks(at, [*map(str, steps), "full"])
    ax.set(xlabel="bits per weight", ylabel="test accuracy")
    percent(ax)
    ax.legend(loc="lower right")
    return figure
