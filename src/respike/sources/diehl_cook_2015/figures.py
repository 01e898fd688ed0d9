"""Figures of Diehl & Cook (2015), each a function of finished results."""

import matplotlib.pyplot as plt
import numpy as np

from respike.figures.draw import (
    GOOD,
    INK,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    Runs,
    curves,
    dots,
    main,
    percent,
)

SIZES = {"n100": 100, "n400": 400, "n1600": 1600, "n6400": 6400}
COLOUR = {"n100": SNN, "n400": SNN_OTHER, "n1600": GOOD, "n6400": OTHER}
N_CLASSES = 10
LABEL = {
    "currents": "currents, not conductances",
    "direct_inhibition": "direct inhibition",
    "reset": "reset to -60 mV",
    "short": "100 ms, not 350",
    "no_rest": "no rest, state set back",
    "no_repeat": "no second presentation",
    "batch_64": "batches of 64",
    "one_spike": "one spike a step",
    "pair_rule": "pair rule, not triplet",
    "rate_128": "128 Hz, not 63.75",
    "all": "all of these",
    "theta_plus_half": "threshold rise x 0.5",
    "theta_plus_double": "threshold rise x 2",
    "tc_theta_half": "threshold decay time x 0.5",
    "inhibition_half": "inhibition x 0.5",
    "inhibition_double": "inhibition x 2",
    "norm_half": "weight sum x 0.5",
    "norm_double": "weight sum x 2",
    "rates_half": "learning rates x 0.5",
    "rates_double": "learning rates x 2",
    "no_delays": "no input delays",
    "euler_conductances": "forward Euler, conductances",
    "euler_potential": "forward Euler, potential",
}


def published(runs: Runs, name: str) -> float:
    """Return the published accuracy of a size."""
    return runs.published[f"diehl_cook_2015.accuracy_{name}"]["value"]


def shown(run) -> str:
    """Return how many images a run was trained on, in words."""
    s = run.result["settings"]
    return f"{s['n_train'] * s.get('n_passes', 1):,} images"


def accuracy(runs: Runs) -> plt.Figure:
    """Accuracy against the number of neurons."""
    figure, ax = plt.subplots(figsize=(7, 4.4))
    for k, name in enumerate(SIZES):
        if runs[name]:
            values = runs.values(name, "test_accuracy_final")
            dots(ax, k, values, COLOUR[name])
            ax.annotate(shown(runs[name][0]), (k, values.min()), xytext=(0, -14), fontsize=8,
                        textcoords="offset points", ha="center")  # fmt: skip
        ax.plot(k + 0.3, published(runs, name), "D", color=PUBLISHED, markersize=5,
                label="published" if k == 0 else None)  # fmt: skip
    ax.set_xticks(range(len(SIZES)), [str(n) for n in SIZES.values()])
    ax.set(xlabel="excitatory neurons", ylabel="test accuracy", ylim=(0, 1.02), xlim=(-0.5, 3.6))
    ax.legend(loc="lower right")
    percent(ax)
    return figure


def fields(runs: Runs) -> plt.Figure:
    """Input weights of the smallest network by the class of its neurons."""
    arrays = runs["n100"][0].arrays()
    w, assigned, purity = arrays["w"], arrays["assigned"], arrays["rates"].max(axis=1)
    order = np.lexsort((-purity, np.where(assigned < 0, N_CLASSES, assigned)))
    side = int(np.ceil(np.sqrt(len(order))))
    figure, axes = plt.subplots(side, side, figsize=(7.2, 7.6))
    top = np.quantile(w, 0.995)
    for ax, j in zip(axes.flat, order, strict=False):
        ax.imshow(w[:, j].reshape(28, 28), cmap="magma", vmin=0, vmax=top)
        label = "-" if assigned[j] < 0 else str(assigned[j])
        ax.text(1, 6, label, color="white", fontsize=7)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        ax.set_visible(bool(ax.images))
    figure.suptitle(f"input weights by class, {shown(runs['n100'][0])}", fontsize=11)
    return figure


def convergence(runs: Runs) -> plt.Figure:
    """Draw running accuracy on training images against images shown."""
    figure, ax = plt.subplots(figsize=(7, 4.4))
    for name, n in SIZES.items():
        own = [run for run in runs[name] if len(run.series("images"))]
        style = {"marker": "o", "markersize": 3}
        curves(ax, own, "images", "running_accuracy", COLOUR[name], f"{n} neurons", **style)
        if own:
            ax.axhline(published(runs, name), color=COLOUR[name], linestyle=":", linewidth=1)
    ax.set(xlabel="training images shown", ylabel="accuracy on training images", ylim=(0, 1.02))
    ax.legend(loc="lower right", title="dotted: published, test")
    percent(ax)
    return figure


def classes(runs: Runs) -> plt.Figure:
    """Neurons per class, and how purely each stands for it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    names = [name for name in ("n100", "n400") if runs[name]]
    for k, name in enumerate(names):
        arrays = [run.arrays() for run in runs[name]]
        share = [
            np.bincount(a["assigned"][a["assigned"] >= 0], minlength=N_CLASSES)
            / len(a["assigned"])
            for a in arrays
        ]  # fmt: skip
        label = f"{SIZES[name]} neurons"
        x = np.arange(N_CLASSES) + 0.4 * (k - (len(names) - 1) / 2)
        left.bar(x, np.mean(share, axis=0), 0.38, color=COLOUR[name], label=label)
        rates = np.concatenate([a["rates"] for a in arrays])
        rates = rates[rates.any(axis=1)]
        right.hist(
            rates.max(axis=1) / rates.sum(axis=1), np.linspace(0, 1, 21), density=True,
            histtype="step", linewidth=1.6, edgecolor=COLOUR[name], label=label,
        )  # fmt: skip
    left.axhline(1 / N_CLASSES, color=INK, linestyle=":", linewidth=1)
    left.set(xlabel="class", ylabel="share of the neurons", xticks=range(N_CLASSES))
    right.set(xlabel="share of a neuron's rates in its class", ylabel="density")
    left.legend()
    percent(left)
    percent(right, "x")
    return figure


def confusion(runs: Runs) -> plt.Figure:
    """Confusion of the test digits."""
    names = [name for name in ("n100", "n400") if runs[name]]
    figure, axes = plt.subplots(1, len(names), figsize=(5.4 * len(names), 4.8), squeeze=False)
    for ax, name in zip(axes[0], names, strict=True):
        tables = [run.arrays()["confusion"] for run in runs[name]]
        share = np.mean([t / np.maximum(1, t.sum(axis=1, keepdims=True)) for t in tables], axis=0)
        ax.imshow(share, vmin=0, vmax=1, cmap="Blues")
        for (i, j), value in np.ndenumerate(share):
            if value >= 0.01:
                colour = "white" if value > 0.5 else INK
                ax.text(j, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=7,
                        color=colour)  # fmt: skip
        ax.set_xticks(range(N_CLASSES + 1), [*map(str, range(N_CLASSES)), "none"])
        ax.set(yticks=range(N_CLASSES), xlabel="answer", ylabel="digit",
               title=f"{SIZES[name]} neurons, {shown(runs[name][0])}")  # fmt: skip
    return figure


def gains(runs: Runs, names: dict[str, str]) -> plt.Figure:
    """Return a dot plot of what changes do, one panel per experiment: name -> title."""
    names = {name: title for name, title in names.items() if runs[name]}
    changes = runs[next(iter(names))][0].result["settings"]["changes"]
    figure, axes = plt.subplots(
        1, len(names), figsize=(2.2 + 4.4 * len(names), 1.5 + 0.34 * len(changes)), sharey=True,
        squeeze=False,
    )  # fmt: skip
    for ax, (name, title) in zip(axes[0], names.items(), strict=True):
        for k, change in enumerate(changes):
            dots(ax, k, runs.values(name, f"gain_{change}"), COLOUR["n100"], horizontal=True)
        base = runs.values(name, "accuracy_base").mean()
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.locator_params(axis="x", nbins=5)
        ax.set(xlabel=f"accuracy less that unchanged ({base:.1%})",
               title=f"{title}, {shown(runs[name][0])}")  # fmt: skip
        percent(ax, "x")
    axes[0][0].set_yticks(range(len(changes)), [LABEL[change] for change in changes])
    axes[0][0].invert_yaxis()
    return figure


def costs(runs: Runs) -> plt.Figure:
    """Draw what each simplification towards source stdp_tables costs."""
    return gains(runs, {"simplify_100": "100 neurons", "simplify_400": "400 neurons"})


def robust(runs: Runs) -> plt.Figure:
    """Draw what a constant halved or doubled does."""
    return gains(runs, {"robust_100": "100 neurons"})


def left_open(runs: Runs) -> plt.Figure:
    """Draw what other choices do where the script is silent."""
    return gains(runs, {"open_100": "100 neurons"})


FIGURES = {
    "diehl_cook_2015_accuracy": accuracy,
    "diehl_cook_2015_fields": fields,
    "diehl_cook_2015_convergence": convergence,
    "diehl_cook_2015_classes": classes,
    "diehl_cook_2015_confusion": confusion,
    "diehl_cook_2015_costs": costs,
    "diehl_cook_2015_robust": robust,
    "diehl_cook_2015_open": left_open,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
