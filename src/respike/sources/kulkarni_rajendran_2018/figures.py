"""Figures of Kulkarni and Rajendran (2018), each a function of finished results."""

import matplotlib.pyplot as plt
import numpy as np

from respike.figures.draw import (
    ANN,
    BAND,
    GOOD,
    INK,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    WRONG,
    Run,
    Runs,
    alternatives,
    curves,
    dots,
    main,
    percent,
)
from respike.sources.kulkarni_rajendran_2018.kernels import rate_factor

READOUTS = {"correlation": SNN, "count": SNN_OTHER, "first": OTHER}
SCHEDULES = {
    "constant": ("constant", WRONG),
    "inverse": ("r0 / (1 + k n)", OTHER),
    "exponential": ("r0 exp(-k n)", ANN),
    "halved_5": ("halved every 5 epochs", SNN_OTHER),
    "halved_3": ("halved every 3 epochs", SNN),
}
BASE = "schedule_halved_3"  # our choices, tested on held-out images


def published(runs: Runs, claim: str) -> float | None:
    """Return the published value of a claim, if a single one is."""
    return runs.published.get(f"kulkarni_rajendran_2018.{claim}", {}).get("value")


def diamond(ax, x: float, y: float | None) -> None:
    """Draw a published value."""
    if y is not None:
        ax.plot(x, y, "D", color=PUBLISHED, markersize=7, zorder=4)


def errors(ax, found: list[Run], series: str, colour: str, label: str) -> None:
    """Draw one minus a series of accuracies over the epochs: thin lines per seed, and the mean."""
    for run in found:
        ax.plot(
            run.series("epoch"), 1 - run.series(series), color=colour, alpha=0.35, linewidth=0.8
        )
    if found:
        mean = 1 - np.mean([run.series(series) for run in found], axis=0)
        ax.plot(found[0].series("epoch"), mean, color=colour, label=label)


def over_epochs(ax, runs: list[Run], whose: str) -> None:
    """Label a plot of errors over epochs."""
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    images = runs[0].result["settings"]["n_train"] if runs else 0
    ax.set(xlabel=f"epoch of {images:,} images", ylabel=f"error, {whose} images")
    percent(ax)
    ax.yaxis.set_minor_formatter(ax.yaxis.get_major_formatter())


def activity(runs: Runs) -> plt.Figure:
    """Draw the kernels, and the spikes of one image in all three layers."""
    run = runs["train"][0]
    found, s = run.arrays(), run.result["settings"]
    n = len(found["kernels"])
    counts = np.bincount(found["image_neurons"], minlength=n * 676).reshape(n, 26, 26)
    figure = plt.figure(figsize=(15, 5.2))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    grid = top.subplots(2, n, squeeze=False)
    for k in range(n):
        grid[0, k].imshow(found["kernels"][k], cmap="PuOr_r", vmin=-2, vmax=2)
        drawn = grid[1, k].imshow(counts[k], cmap="viridis", vmin=0, vmax=counts.max())
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    grid[0, 0].set_ylabel("kernel", fontsize=9)
    grid[1, 0].set_ylabel("spikes", fontsize=9)
    top.colorbar(drawn, ax=list(grid.flat), shrink=0.8, pad=0.01, label="spikes in all")
    picture, hidden, output = bottom.subplots(1, 3, width_ratios=[0.35, 1, 1])
    picture.imshow(found["image"], cmap="gray_r")
    picture.set(xticks=[], yticks=[], title=f"label {found['labels'][0]}")
    hidden.plot(found["image_steps"] * s["dt_ms"], found["image_neurons"], ",", color=INK)
    rates = run["driving_mean_Hz"], run["driving_highest_Hz"]
    hidden.set(xlabel="time (ms)", ylabel="hidden neuron",
               title="hidden; of all images {:.1f} Hz, highest {:.0f}".format(*rates))  # fmt: skip
    bars = output.bar(range(10), found["output_counts"][0], color=SNN_OTHER)
    bars[int(found["labels"][0])].set_color(SNN)
    asked = int(s["num_steps"] * s["dt_ms"] / s["period_ms"])
    output.axhline(asked, color=PUBLISHED, linestyle="--", linewidth=1)
    output.set_xticks(range(10))
    output.set(xlabel="output neuron", ylabel="spikes",
               title=f"output; dashed: asked of the class ({asked})")  # fmt: skip
    return figure


def fig4(runs: Runs) -> plt.Figure:
    """Figure 4: test error by read-out; two layers."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2))
    for name, colour in READOUTS.items():
        errors(left, runs["train"], f"test_accuracy_{name}", colour, name)
    over_epochs(left, runs["train"], "test")
    last = runs["train"][0].series("epoch")[-1]
    if (value := published(runs, "accuracy")) is not None:
        diamond(left, last, 1 - value)
    for value in 1 - runs.values("train", "train_accuracy_final"):
        left.plot(last, value, "_", color=INK, markersize=12)
    left.set_title("hidden layer; dash: training images, correlation")
    left.legend()
    errors(right, runs["two_layers"], "test_accuracy_correlation", SNN, "halved every 3 epochs")
    errors(right, runs["two_layers_constant"], "test_accuracy_correlation", WRONG, "constant rate")
    over_epochs(right, runs["two_layers"], "test")
    if (value := published(runs, "two_layers")) is not None and runs["two_layers"]:
        diamond(right, runs["two_layers"][0].series("epoch")[-1], 1 - value)
    right.set_title("no hidden layer")
    right.legend()
    return figure


def fig5(runs: Runs) -> plt.Figure:
    """Figure 5: schedules of the learning rate, held-out images."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), width_ratios=[1.4, 1])
    for name, (label, colour) in SCHEDULES.items():
        found = runs[f"schedule_{name}"]
        errors(left, found, "test_accuracy_correlation", colour, label)
        if found:
            s = found[0].result["settings"]
            rates = [s["rate_pA"] * rate_factor(name, n, s["decay"]) for n in range(s["epochs"])]
            right.step(range(1, s["epochs"] + 1), rates, where="mid", color=colour, label=label)
    over_epochs(left, runs[BASE], "held-out")
    right.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    right.set(xlabel="epoch", ylabel="learning rate (pA, 1 pS is 1 pA)", ylim=(0, None))
    left.legend(fontsize=8)
    return figure


def fig6(runs: Runs) -> plt.Figure:
    """Figure 6: number of kernels and time per image, held-out images."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True)
    for ax, stem, setting, label in (
        (axes[0], "kernels_", "n_kernels", "kernels"),
        (axes[1], "duration_", "num_steps", "time per image (ms)"),
    ):
        found = [runs[BASE], *runs.starting(stem).values()]
        points = []
        for same in (same for same in found if same):
            s = same[0].result["settings"]
            at = s[setting] * (s["dt_ms"] if setting == "num_steps" else 1)
            values = np.array([1 - run["test_accuracy_final"] for run in same])
            ax.scatter(np.full(len(values), at), values, color=SNN, s=18, alpha=0.6, linewidths=0)
            points.append((at, values.mean()))
        ax.plot(*np.array(sorted(points)).T, color=SNN)
        ax.set(xlabel=label)
        ax.set_xticks([at for at, _ in sorted(points)])
    axes[0].set(ylabel="error, held-out images", ylim=(0, None))
    percent(axes[0])
    return figure


def fig7(runs: Runs) -> plt.Figure:
    """Section 4.1 and Table 3: time of the first output spike, confusion matrix."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=[1, 1.15])
    for run in runs["train"]:
        first = run.arrays()["first_step"]
        when = np.sort((first[first >= 0] + 1) * run.result["settings"]["dt_ms"])
        left.step(when, np.arange(1, len(when) + 1) / len(first), where="post", color=SNN,
                  alpha=0.7)  # fmt: skip
    left.axvline(20, color=BAND, linewidth=1)
    diamond(left, 20, published(runs, "decided_in_20_ms"))
    left.set(xlabel="first output spike (ms)", ylabel="share of the test images", xlim=(0, None),
             ylim=(0, 1.02))  # fmt: skip
    percent(left)
    table = runs["train"][0].arrays()["confusion"]
    off = table.astype(float)
    np.fill_diagonal(off, np.nan)
    right.imshow(off, cmap="Oranges", vmin=0, aspect="auto")
    for y, x in np.ndindex(table.shape):
        if table[y, x]:
            dark = x != y and off[y, x] > 0.6 * np.nanmax(off)
            right.text(x, y, table[y, x], ha="center", va="center", fontsize=8,
                       color="white" if dark else SNN if x == y else INK)  # fmt: skip
    right.set_xticks(range(11), [*map(str, range(10)), "none"])
    right.set_yticks(range(10))
    right.set(xlabel="answer", ylabel="digit", title="test images, first seed")
    return figure


def fig8(runs: Runs) -> plt.Figure:
    """Figure 8: the first 100 images."""
    figure, ax = plt.subplots(figsize=(6.5, 4.2))
    curves(ax, runs["hundred_images"], "early_images", "early_accuracy", SNN, "correlation",
           marker="o", markersize=4)  # fmt: skip
    diamond(ax, 100, published(runs, "hundred_images"))
    ax.set_xscale("log")
    shown = runs["hundred_images"][0].series("early_images")
    ax.set_xticks(shown, [f"{n:.0f}" for n in shown])
    ax.minorticks_off()
    ax.set(xlabel="training images, each shown once", ylabel="test accuracy", ylim=(0, 1))
    percent(ax)
    ax.legend()
    return figure


def fig9(runs: Runs) -> plt.Figure:
    """Figure 9: precision of the weights."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.4))
    for name, label, colour in (("train", "spiking network", SNN), ("ann", "ANN", ANN)):
        if not runs[name]:
            continue
        bits = runs[name][0].result["settings"]["bits"]
        for end, style in (("", "-"), ("_fitted", "--")):
            values = [runs.values(name, f"test_accuracy_{b}_bits{end}") for b in bits]
            values.append(runs.values(name, "test_accuracy_final"))
            for ax in axes:
                ax.plot(range(len(values)), [v.mean() for v in values], style, color=colour,
                        label=label + (", fitted range" if end else ""))  # fmt: skip
                for k, v in enumerate(values):
                    ax.scatter(np.full(len(v), k), v, color=colour, s=14, alpha=0.5, linewidths=0)
        for ax in axes:
            ax.set_xticks(range(len(bits) + 1), [*map(str, bits), "full"])
    for ax in axes:
        ax.set(xlabel="bits per weight", ylabel="test accuracy")
        percent(ax)
    best = max(runs.values(name, "test_accuracy_final").max() for name in ("train", "ann")
               if runs[name])  # fmt: skip
    axes[0].legend(loc="lower right")
    axes[1].set(ylim=(best - 0.06, best + 0.005), title="the upper six points")
    return figure


def fig10(runs: Runs) -> plt.Figure:
    """Figure 10: steps of 1 ms."""
    figure, ax = plt.subplots(figsize=(6.5, 4.2))
    durations = runs["train"][0].result["settings"]["coarse_ms"]
    for end, label, colour in (("", "3 bits", SNN), ("_full", "full weights", SNN_OTHER)):
        values = [runs.values("train", f"test_accuracy_1_ms_{ms}{end}") for ms in durations]
        ax.plot(durations, [v.mean() for v in values], color=colour, label=label)
        for ms, v in zip(durations, values, strict=True):
            ax.scatter(np.full(len(v), ms), v, color=colour, s=18, alpha=0.6, linewidths=0)
    ax.axhline(runs.values("train", "test_accuracy_count").mean(), color=GOOD, linestyle=":",
               label="steps of 0.1 ms, 100 ms, full weights")  # fmt: skip
    diamond(ax, 50, published(runs, "coarse_steps"))
    ax.set_xticks(durations)
    ax.set(xlabel="time per image (ms)", ylabel="test accuracy, counts")
    percent(ax)
    ax.legend(loc="best", fontsize=8)
    return figure


def ablation(runs: Runs) -> plt.Figure:
    """From the setting of kulkarni_forward to the article's."""
    rows = [
        ("kulkarni_forward", "step_0_old", "test_accuracy_count"),
        ("+ the article's kernels", "step_1_kernels", "test_accuracy_count"),
        ("+ hidden rate of 10 Hz", "step_2_rate", "test_accuracy_count"),
        ("+ synapses into the hidden layer", "step_3_synapse", "test_accuracy_count"),
        ("+ clipping", "step_4_clipping", "test_accuracy_count"),
        ("+ inhibition of 1 nS, not 20", "step_5_inhibition", "test_accuracy_count"),
        ("+ learning rate and schedule", "step_6_schedule", "test_accuracy_count"),
        ("+ correlation read-out", "step_6_schedule", "test_accuracy_final"),
    ]
    figure, ax = plt.subplots(figsize=(9, 4.2))
    budgets = {run.result["settings"]["n_train"] for _, name, _ in rows for run in runs[name]}
    by_seed: dict[int, list] = {}
    for k, (_, name, metric) in enumerate(rows):
        if runs[name]:
            dots(ax, k, runs.values(name, metric), SNN, horizontal=True)
        for run in runs[name]:
            by_seed.setdefault(run.result["seed"], []).append((run[metric], k))
    for points in by_seed.values():
        ax.plot(*np.array(points).T, color=SNN, alpha=0.35, linewidth=0.8)
    if (value := published(runs, "accuracy")) is not None:
        ax.axvline(value, color=PUBLISHED, linestyle="--", linewidth=1)
    ax.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    ax.invert_yaxis()
    said = " and ".join(f"{n:,}" for n in sorted(budgets))
    ax.set(xlabel=f"test accuracy after training on {said} images", title="dashed: published")
    percent(ax, "x")
    return figure


def choices(runs: Runs) -> plt.Figure:
    """Draw what open items cost when they are chosen otherwise."""
    labels = {
        "random_kernels": "kernels of three pixels at random (U1)",
        "gain_5100": "hidden rate 5 Hz (U2)", "gain_40000": "hidden rate 20 Hz (U2)",
        "pulses": "pulses into the hidden layer (U3)",
        "rate_100": "r0 of 100 pA (U4)", "rate_400": "r0 of 400 pA (U4)",
        "inhibition_0": "no inhibition (U4)", "inhibition_20000": "inhibition of 20 nA (U4)",
        "decay_inverse_0.1": "inverse, k = 0.1 (U11)",
        "decay_inverse_0.5": "inverse, k = 0.5 (U11)",
        "decay_exponential_0.1": "exponential, k = 0.1 (U11)",
        "decay_exponential_0.5": "exponential, k = 0.5 (U11)",
    }  # fmt: skip
    rows = [
        (label, runs.values(name, "test_accuracy_final"))
        for name, label in labels.items()
        if runs[name]
    ]
    for tau in (1, 20):
        name = f"test_accuracy_tau_{tau}"
        rows.append((f"correlation, tau = {tau} ms (U5)", runs.values(BASE, name)))
    return alternatives(rows, runs.values(BASE, "test_accuracy_final"), "accuracy, held-out images")


FIGURES = {
    f"kulkarni_rajendran_2018_{draw.__name__}": draw
    for draw in (activity, fig4, fig5, fig6, fig7, fig8, fig9, fig10, ablation, choices)
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
