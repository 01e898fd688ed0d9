"""Figures of snn-mnist-readme.md and its cited repository, each a function of finished results."""

import matplotlib.pyplot as plt
import numpy as np

from respike.figures.draw import (
    ANN,
    BAND,
    INK,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    Runs,
    alternatives,
    curves,
    dots,
    main,
    percent,
)
from respike.spiking.energy import ADD_PJ, MAC_PJ
from respike.spiking.learning_curve import LEVELS


def learning_curves(runs: Runs) -> plt.Figure:
    """Test accuracy by epoch: SNN at both T, ANN."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=[1.4, 1])
    for ax in axes:
        published = runs.published["snn_mnist.accuracy"]
        ax.axhspan(published["low"], published["high"], color=BAND, alpha=0.25, linewidth=0)
        for level in LEVELS:
            ax.axhline(level, color=PUBLISHED, linestyle="--", linewidth=0.7)
        curves(ax, runs["train"], "epoch", "test_accuracy", SNN, "SNN, T = 25")
        curves(ax, runs["train_t50"], "epoch", "test_accuracy", SNN_OTHER, "SNN, T = 50")
        curves(ax, runs["ann"], "epoch", "test_accuracy", ANN, "ANN")
        ax.set(xlabel="epoch", ylabel="test accuracy")
        percent(ax)
    axes[0].legend(loc="lower right")
    axes[0].set_title("published range shaded")
    axes[1].set_title("close-up")
    top = max(run["test_accuracy_final"] for run in runs["ann"])
    axes[1].set_ylim(min(0.9, top - 0.08), min(1, top + 0.01))
    return figure


CURES = {
    "cure_none": "none",
    "cure_steps": "steps",
    "cure_init": "Kaiming",
    "cure_rates": "rates",
    "train": "all three",  # after its first epoch
}


def cures(runs: Runs) -> plt.Figure:
    """Accuracy after one epoch without, with each and with all cures."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), width_ratios=[1.3, 1])
    ax = axes[0]
    published = runs.published["snn_mnist.low_start"]
    ax.axhspan(published["low"], published["high"], color=BAND, alpha=0.6, linewidth=0)
    for k, name in enumerate(CURES):
        if runs[name]:
            metric = "test_accuracy_first_epoch"
            dots(ax, k, runs.values(name, metric), SNN)
    ax.set(ylabel="test accuracy after one epoch", ylim=(0, 1), title="published range shaded")
    percent(ax)
    ax = axes[1]
    for k, name in enumerate(CURES):
        if runs[name]:
            dots(ax, k, runs.values(name, "hidden_rate_untrained"), OTHER)
    ax.set(ylabel="spikes per hidden neuron and step", title="before training")
    for ax in axes:
        ax.set_xticks(range(len(CURES)), CURES.values())
        ax.set_xlabel("cure")
    return figure


def activity(runs: Runs) -> plt.Figure:
    """Spikes for one image, and the silent share of the hidden layer."""
    run = runs["train"][0]
    found = run.arrays()
    figure, axes = plt.subplots(1, 4, figsize=(14, 4), width_ratios=[1.4, 1.1, 1.1, 0.8])
    ax = axes[0]
    t, neuron = np.nonzero(found["hidden_spikes"])
    ax.scatter(t + 1, neuron, s=3, color=SNN, linewidths=0)
    ax.set(
        xlabel="step t", ylabel="hidden neuron", title=f"hidden spikes, digit {found['label'][0]}"
    )
    ax = axes[1]
    t, neuron = np.nonzero(found["output_spikes"])
    ax.scatter(t + 1, neuron, s=30, marker="|", color=SNN)
    ax.set(xlabel="step t", ylabel="output neuron", title="output spikes", ylim=(-0.7, 9.7))
    ax.set_yticks(range(10))
    ax.set_xlim(axes[0].get_xlim())
    ax = axes[2]
    curves(ax, runs["train"], lambda r: np.arange(1, len(r.series("silent_by_step")) + 1),
           "silent_by_step", SNN, "hidden layer")  # fmt: skip
    ax.axhline(0.5, color=PUBLISHED, linestyle="--", linewidth=0.8)
    ax.set(
        xlabel="step t",
        ylabel="silent neurons at a step",
        ylim=(0, 1),
        title="mean over test images",
    )
    percent(ax)
    ax.legend(loc="lower left")
    ax = axes[3]
    dots(ax, 0, runs.values("train", "hidden_silent_fraction"), SNN)
    dots(ax, 1, runs.values("ann", "hidden_silent_fraction"), ANN)
    ax.axhline(0.5, color=PUBLISHED, linestyle="--", linewidth=0.8)
    ax.set_xticks([0, 1], ["SNN", "ANN"])
    ax.set(
        xlim=(-0.6, 1.6),
        ylim=(0, 1),
        ylabel="silent hidden units",
        title="mean over steps",
    )
    percent(ax)
    return figure


def cost(runs: Runs) -> plt.Figure:
    """Operations and energy per image of each network beside its ANN."""
    networks = {
        "train": "784-250-10\nT = 25",
        "train_t50": "784-250-10\nT = 50",
        "cited_repository": "784-512-256-10\nT = 100 (cited)",
    }
    networks = {name: label for name, label in networks.items() if runs[name]}
    figure, axes = plt.subplots(1, 2, figsize=(12, 4))
    width = 0.38
    for k, name in enumerate(networks):
        at = {key: runs.values(name, key).mean() for key in runs[name][0].result["metrics"]}
        first = k == 0
        ax = axes[0]
        ax.bar(k - width / 2, at["synaptic_operations"], width, color=SNN,
               label="SNN accumulates" if first else None)  # fmt: skip
        ax.bar(k - width / 2, at["leak_operations"], width, bottom=at["synaptic_operations"],
               color=SNN_OTHER, label="SNN leak" if first else None)  # fmt: skip
        ax.bar(k + width / 2, at["ann_macs"], width, color=ANN,
               label="ANN multiply-accumulates" if first else None)  # fmt: skip
        ax = axes[1]
        ax.bar(k - width / 2, at["energy_snn_nj"], width, color=SNN, label="SNN" if first else None)
        ax.bar(k + width / 2, at["energy_ann_nj"], width, color=ANN, label="ANN" if first else None)
        for x, key in ((k - width / 2, "energy_snn_nj"), (k + width / 2, "energy_ann_nj")):
            ax.annotate(f"{at[key]:.0f}", (x, at[key]), ha="center", va="bottom", fontsize=8.5,
                        color=INK)  # fmt: skip
    axes[0].set(ylabel="operations per image", title="operations")
    axes[0].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes[1].set(ylabel="estimate per image (nJ)", title=f"energy at {ADD_PJ} / {MAC_PJ:g} pJ")
    for ax in axes:
        ax.set_xticks(range(len(networks)), networks.values())
        ax.legend()
    return figure


def cited(runs: Runs) -> plt.Figure:
    """Loss by epoch and accuracy by test steps beside the cited repository's numbers."""
    found = runs["cited_repository"]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2))
    ax = axes[0]
    curves(ax, found, lambda run: np.arange(1, len(run.series("loss")) + 1), "loss", SNN, "ours",
           marker="o", markersize=4)  # fmt: skip
    losses = [
        runs.published[f"snn_mnist.cited_loss_{epoch}"]["value"]
        for epoch in range(1, 1 + found[0].result["settings"]["epochs"])
    ]
    ax.plot(range(1, len(losses) + 1), losses, "D", color=PUBLISHED, label="published")
    ax.set(xlabel="epoch", ylabel="mean training loss", ylim=(0, None), title="training, T = 10")
    ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    ax.legend()
    ax = axes[1]
    steps = sorted(found[0].result["settings"]["num_steps_test"])
    for run in found:
        y = [run[f"test_accuracy_T{s}"] for s in steps]
        ax.plot(steps, y, color=SNN, alpha=0.6, marker="o", markersize=4, linewidth=1)
    published = runs.published["snn_mnist.cited_accuracy"]["value"]
    ax.plot(max(steps), published, "D", color=PUBLISHED, label="published")  # at the longest T
    ax.axvline(
        found[0].result["settings"]["num_steps"], color=PUBLISHED, linestyle=":", linewidth=1
    )
    ax.set(xlabel="time steps in the test (dotted: in training)", ylabel="test accuracy",
           title="tested with other T")  # fmt: skip
    ax.set_xticks(steps)
    percent(ax)
    ax.legend()
    return figure


CHOICES = {
    "init": "initialisation",
    "num_steps": "U8 time steps T",
    "hidden": "U1 hidden neurons",
    "beta": "U2 beta",
    "slope": "U4 slope",
    "batch_size": "U5 batch size",
    "optimiser": "U5 optimiser",
    "lr": "U5 learning rate",
}


def choices(runs: Runs) -> plt.Figure:
    """Show how accuracy after two epochs depends on what the document leaves open."""
    base = runs["train"][0].result["settings"]
    rows, epochs = [], 2
    for name, found in runs.starting("choice_").items():
        settings = found[0].result["settings"]
        epochs = settings["epochs"]
        changed = [
            f"{CHOICES[key]} = {settings[key]}" for key in CHOICES if settings[key] != base[key]
        ]
        rows.append((", ".join(changed), runs.values(name, "test_accuracy_final")))
    after = [
        run.series("test_accuracy")[run.series("epoch") <= epochs][-1] for run in runs["train"]
    ]
    return alternatives(rows, np.array(after), f"test accuracy after {epochs} epochs")


FIGURES = {
    "snn_mnist_choices": choices,
    "snn_mnist_curves": learning_curves,
    "snn_mnist_cures": cures,
    "snn_mnist_activity": activity,
    "snn_mnist_cost": cost,
    "snn_mnist_cited": cited,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
