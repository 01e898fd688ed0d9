"""Figures of poisson-mlp-report.md, each a function of finished results."""

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
    Runs,
    alternatives,
    curves,
    dots,
    main,
    percent,
)
from respike.spiking.energy import ADD_PJ, MAC_PJ


def fig_a(runs: Runs) -> plt.Figure:
    """Step 1 (a): the spike map of each step, five images."""
    found = runs["encode"][0].arrays()
    images, labels, spikes = found["images"], found["labels"], found["spikes"]
    steps = len(spikes)
    half = -(-steps // 2)  # two rows of maps an image keep them large enough to see
    figure, axes = plt.subplots(
        2 * len(images), half + 1, figsize=(12, 2.05 * len(images)), squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for k, image in enumerate(images):
        axes[2 * k, 0].imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes[2 * k, 0].set_title(f"digit {labels[k]}", fontsize=9)
        for t in range(steps):
            ax = axes[2 * k + t // half, 1 + t % half]
            ax.imshow(spikes[t, k], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(f"t = {t + 1}", fontsize=7, fontweight="normal", loc="center", pad=2)
    return figure


def fig_b(runs: Runs) -> plt.Figure:
    """Step 1 (b): spikes in space and time, colour is time."""
    found = runs["encode"][0].arrays()
    labels, spikes = found["labels"], found["spikes"]
    shown = range(min(3, len(labels)))
    figure = plt.figure(figsize=(12, 4.4))
    points = None
    for k in shown:
        ax = figure.add_subplot(1, len(shown), k + 1, projection="3d")
        t, y, x = np.nonzero(spikes[:, k])
        points = ax.scatter(x, t + 1, 27 - y, c=t + 1, cmap="viridis", s=3, linewidths=0)
        ax.set(
            xlabel="x (pixel)", ylabel="step t", zlabel="27 - y (pixel)", title=f"digit {labels[k]}"
        )
        ax.set(xlim=(0, 27), zlim=(0, 27), ylim=(0, len(spikes)))
        ax.yaxis.set_major_locator(plt.MaxNLocator(4, integer=True))
        ax.tick_params(labelsize=7)
        ax.view_init(elev=18, azim=-58)
    whole = plt.MaxNLocator(integer=True)
    figure.colorbar(points, ax=figure.axes, label="step t", shrink=0.7, pad=0.08, ticks=whole)
    return figure


def structure(runs: Runs) -> plt.Figure:
    """Correlation of image and time-averaged spikes against T."""
    figure, ax = plt.subplots(figsize=(6.5, 4))
    found = runs["encode"]
    steps = found[0].series("steps")
    r = np.array([run.series("correlation_by_steps") for run in found])
    sd = np.array([run.series("correlation_sd_by_steps") for run in found]).mean(axis=0)
    ax.errorbar(steps, r.mean(axis=0), yerr=sd, color=SNN, capsize=3, marker="o", markersize=4)
    at = found[0].result["settings"]["num_steps"]
    ax.axvline(at, color=PUBLISHED, linestyle=":", linewidth=1)
    ax.annotate(f"T = {at} (document)", (at, 0.02), xycoords=("data", "axes fraction"),
                xytext=(4, 0), textcoords="offset points", fontsize=9)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(steps, [f"{s:.0f}" for s in steps])
    ax.minorticks_off()
    ax.set(xlabel="time steps T", ylabel="Pearson's r of image and mean spikes")
    return figure


def forward(runs: Runs) -> plt.Figure:
    """Step 2: one image through the untrained network, and activity against weight scale."""
    found = runs["forward"]
    one = found[0].arrays()
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), width_ratios=[1.2, 1.2, 1, 1.1])
    ax = axes[0]
    t, neuron = np.nonzero(one["hidden_spikes"])
    ax.scatter(t + 1, neuron, s=3, color=SNN, linewidths=0)
    ax.set(xlabel="step t", ylabel="hidden neuron", title=f"hidden spikes, digit {one['label'][0]}")
    ax = axes[1]
    ax.plot(np.arange(1, len(one["output_mem"]) + 1), one["output_mem"], color=SNN, alpha=0.5,
            linewidth=1)  # fmt: skip
    ax.axhline(
        found[0].result["settings"]["v_thresh"], color=PUBLISHED, linestyle="--", linewidth=1
    )
    ax.set(
        xlabel="step t", ylabel="potential before reset", title="output neurons, threshold dashed"
    )
    ax = axes[2]
    ax.bar(range(10), one["counts_first"], color=SNN)
    ax.set(xlabel="output neuron", ylabel="spikes", title="output counts", xticks=range(10))
    ax = axes[3]
    for metric, colour, label in (
        ("hidden_rate_by_w_std", SNN, "hidden"),
        ("output_rate_by_w_std", OTHER, "output"),
    ):
        curves(ax, found, "w_std", metric, colour, label, marker="o", markersize=4)
    ax.set_xscale("log")
    ax.set(xlabel="standard deviation of weights", ylabel="spikes per neuron and step",
           title="activity")  # fmt: skip
    ax.legend()
    return figure


def _epochs(run) -> np.ndarray:
    return np.arange(1, len(run.series("val_accuracy")) + 1)


def learning_curves(runs: Runs) -> plt.Figure:
    """Step 3: validation accuracy by epoch, and the ANN."""
    figure, ax = plt.subplots(figsize=(7, 4.2))
    curves(ax, runs["train"], _epochs, "train_accuracy", SNN_OTHER, "SNN, training", linestyle=":")
    curves(ax, runs["train"], _epochs, "val_accuracy", SNN, "SNN, validation")
    curves(ax, runs["ann"], "epoch", "test_accuracy", ANN, "ANN, test")
    for run in runs["train"]:
        ax.plot(len(run.series("val_accuracy")), run["test_accuracy_final"], "o", color=SNN,
                markersize=4)  # fmt: skip
    ax.set(xlabel="epoch (dots: test accuracy at the end)", ylabel="accuracy")
    percent(ax)
    ax.legend(loc="lower right")
    return figure


def bars(runs: Runs) -> plt.Figure:
    """Step 3: output spikes for the first ten test images."""
    found = runs["train"][0].arrays()
    counts, labels = found["counts_first_ten"], found["labels_first_ten"]
    figure, axes = plt.subplots(2, 5, figsize=(12, 4.6), sharey=True)
    for ax, count, label, image in zip(
        axes.flat, counts, labels, found["images_first_ten"], strict=True
    ):
        winner = count.argmax()
        colours = [BAND] * 10
        colours[winner] = WRONG
        colours[label] = SNN
        ax.bar(range(10), count, color=colours)
        right = winner == label
        ax.set_title(
            f"true {label}, predicted {winner}{'' if right else ' (wrong)'}",
            color=INK if right else WRONG,
            fontsize=9.5,
        )
        ax.set_xticks(range(10))
        inset = ax.inset_axes([0.74, 0.66, 0.26, 0.36])
        inset.imshow(image, cmap="gray_r")
        inset.axis("off")
    axes[0, 0].set_ylim(0, 1.45 * counts.max())  # room for the images
    figure.supxlabel("output neuron", fontsize=10)
    figure.supylabel("output spikes", fontsize=10)
    return figure


SWEEPS = {
    "num_steps": ("time steps T", "log"),
    "v_thresh": ("threshold theta", "log"),
    "beta": ("leak beta", "linear"),
    "lr": ("learning rate", "log"),
    "n_hidden": ("hidden neurons H", "log"),
}


def sweeps(runs: Runs) -> plt.Figure:
    """Challenge 1: validation accuracy around the stated optimum, one setting at a time."""
    figure, axes = plt.subplots(1, len(SWEEPS), figsize=(14, 3.6))
    for ax, (key, (label, scale)) in zip(axes, SWEEPS.items(), strict=True):
        found = [*runs["optimum"]]
        for more in runs.starting(f"sweep_{key}_").values():
            found += more
        x = np.array([run.result["settings"][key] for run in found])
        y = np.array([run["val_accuracy_final"] for run in found])
        steps = np.unique(x)
        ax.plot(steps, [y[x == s].mean() for s in steps], color=SNN, zorder=2)
        ax.scatter(x, y, color=SNN, s=16, alpha=0.7, linewidths=0, zorder=3)
        ax.axvline(runs["optimum"][0].result["settings"][key], color=PUBLISHED, linestyle=":",
                   linewidth=1.2)  # fmt: skip
        ax.set_xscale(scale)
        ax.set_xticks(steps, [f"{s:g}" for s in steps], rotation=45)
        ax.minorticks_off()
        ax.set(xlabel=label)
        percent(ax)
    # One scale for all but the threshold, which silences the network.
    rest = [ax for ax, key in zip(axes, SWEEPS, strict=True) if key != "v_thresh"]
    low = min(ax.get_ylim()[0] for ax in rest)
    high = max(ax.get_ylim()[1] for ax in rest)
    for ax in rest:
        ax.set_ylim(low, high)
    axes[0].set_ylabel("validation accuracy")
    epochs = runs["optimum"][0].result["settings"]["epochs"]
    axes[0].set_title(f"dotted: stated optimum; {epochs} epochs")
    return figure


CHOICES = {
    "surrogate_alpha": "U3 alpha",
    "batch_size": "U5 batch size",
    "w_std": "U2 weight s.d.",
    "error": "U6 error",
    "target_rate": "U6 target rate",
    "grad_clip": "U8 gradient bound",
}


def choices(runs: Runs) -> plt.Figure:
    """Show how validation accuracy depends on what the document leaves open."""
    rows = []
    base = runs["optimum"][0].result["settings"]
    for name, found in runs.starting("choice_").items():
        settings = found[0].result["settings"]
        for key, label in CHOICES.items():
            if settings[key] != base[key]:
                rows.append((f"{label} = {settings[key]}", runs.values(name, "val_accuracy_final")))
    values = runs.values("optimum", "val_accuracy_final")
    return alternatives(rows, values, f"validation accuracy after {base['epochs']} epochs")


def overflow(runs: Runs) -> plt.Figure:
    """Challenge 3: the printed surrogate derivative, free and clipped, in both float types."""
    run = runs["overflow"][0]
    found, settings = run.arrays(), run.result["settings"]
    figure, axes = plt.subplots(2, 2, figsize=(11, 6.4), height_ratios=[1.2, 1])
    for column, dtype in enumerate(("float32", "float64")):
        ax = axes[0, column]
        ax.plot(found["x"], found[f"surrogate_{dtype}_clipped"], color=SNN, label="clipped")
        ax.plot(found["x"], found[f"surrogate_{dtype}_free"], color=WRONG, linestyle="--",
                label="free")  # fmt: skip
        bad = ~np.isfinite(found[f"surrogate_{dtype}_free"])
        if bad.any():
            edge = found["x"][bad].max()
            ax.axvspan(found["x"].min(), edge, color=WRONG, alpha=0.15, linewidth=0)
            ax.annotate("free: not a number", (edge, 1e-80), ha="right", fontsize=9, color=WRONG,
                        xytext=(-4, 0), textcoords="offset points")  # fmt: skip
        reached = max(
            (
                r["exponent_reached"] / r.result["settings"]["surrogate_alpha"]
                for r in runs["train"]
            ),
            default=None,
        )
        if reached:
            ax.axvline(-reached, color=INK, linestyle=":", linewidth=1.2)
            ax.annotate("lowest after training", (-reached, 1e-110), rotation=90, fontsize=8,
                        ha="right", xytext=(-3, 0), textcoords="offset points")  # fmt: skip
        ax.set_yscale("log")
        ax.set_ylim(1e-120, 1e3)
        ax.set(xlabel="v - theta", ylabel="surrogate derivative",
               title=f"{dtype}, alpha = {settings['surrogate_alpha']:g}")  # fmt: skip
        ax.legend(loc="lower center")
        ax = axes[1, column]
        for row, label in enumerate(("free", "clipped")):
            for x, warned in enumerate(found[f"overflow_by_alpha_{dtype}_{label}"]):
                ax.add_patch(
                    plt.Rectangle((x - 0.45, row - 0.42), 0.9, 0.84,
                                  color=WRONG if warned else GOOD, alpha=0.75)
                )  # fmt: skip
                ax.text(x, row, "overflow" if warned else "fine", ha="center", va="center",
                        color="white", fontsize=8)  # fmt: skip
        alphas = found["alphas"]
        ax.set(xlim=(-0.6, len(alphas) - 0.4), ylim=(-0.6, 1.6), xlabel="sharpness alpha",
               title=f"{dtype}, |v - theta| up to {settings['reach']:g}")  # fmt: skip
        ax.set_xticks(range(len(alphas)), [f"{a:g}" for a in alphas])
        ax.set_yticks([0, 1], ["free", "clipped"])
    return figure


def clipping(runs: Runs) -> plt.Figure:
    """Challenge 4: training with and without gradient clipping."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.6))
    for k, (kind, with_clip, without) in enumerate(
        (
            ("averaged over time", "optimum", "no_grad_clip"),
            ("summed over time", "summed_clip", "summed_no_clip"),
        )
    ):
        for ax, series, label in (
            (axes[2 * k], "val_accuracy", "validation accuracy"),
            (axes[2 * k + 1], "grad_max", "largest gradient entry"),
        ):
            curves(ax, runs[with_clip], _epochs, series, SNN, "clipped", marker="o", markersize=4)
            curves(ax, runs[without], _epochs, series, WRONG, "free", marker="o", markersize=4,
                   linestyle="--")  # fmt: skip
            ax.set(xlabel="epoch", ylabel=label, title=kind)
            ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
        percent(axes[2 * k])
        axes[2 * k + 1].set_ylim(bottom=0)
        axes[2 * k].legend(loc="lower right")
    return figure


def cost(runs: Runs) -> plt.Figure:
    """Show sparsity, operations, energy, and time against T."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.8))
    train, ann = runs["train"], runs["ann"]
    ax = axes[0]
    dots(ax, 0, runs.values("train", "hidden_silent_fraction"), SNN)
    dots(ax, 1, runs.values("ann", "hidden_silent_fraction"), ANN)
    ax.set_xticks([0, 1], ["SNN", "ANN"])
    ax.set(xlim=(-0.6, 1.6), ylim=(0, 1), ylabel="silent hidden units", title="sparsity")
    percent(ax)
    if train and ann:
        ax = axes[1]
        synaptic, leak, macs = (
            np.mean(runs.values("train", name))
            for name in ("synaptic_operations", "leak_operations", "ann_macs")
        )
        ax.bar(0, synaptic, color=SNN, label="accumulates")
        ax.bar(0, leak, bottom=synaptic, color=SNN_OTHER, label="leak")
        ax.bar(1, macs, color=ANN, label="multiply-accumulates")
        ax.set_xticks([0, 1], ["SNN", "ANN"])
        ax.set(ylabel="operations per image", title="operations")
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        ax.legend(loc="upper right")
        ax = axes[2]
        ax.bar(0, np.mean(runs.values("train", "energy_snn_nj")), color=SNN)
        ax.bar(1, np.mean(runs.values("train", "energy_ann_nj")), color=ANN)
        ax.set_xticks([0, 1], ["SNN", "ANN"])
        ax.set(ylabel="estimate per image (nJ)", title=f"energy at {ADD_PJ} / {MAC_PJ:g} pJ")
    ax = axes[3]
    found = [*runs["optimum"]]
    for more in runs.starting("sweep_num_steps_").values():
        found += more
    x = [run.result["settings"]["num_steps"] for run in found]
    ax.scatter(x, [run["train_cpu_s_per_1000"] for run in found], color=SNN, s=18, alpha=0.7,
               linewidths=0)  # fmt: skip
    for value in runs.values("ann", "train_cpu_s_per_1000"):
        ax.axhline(value, color=ANN, linewidth=0.8)
    ax.set(xlabel="time steps T", ylabel="CPU s per 1,000 images", title="time (ANN: lines)",
           xlim=(0, None), ylim=(0, None))  # fmt: skip
    return figure


FIGURES = {
    "poisson_mlp_fig_a": fig_a,
    "poisson_mlp_fig_b": fig_b,
    "poisson_mlp_structure": structure,
    "poisson_mlp_forward": forward,
    "poisson_mlp_curves": learning_curves,
    "poisson_mlp_bars": bars,
    "poisson_mlp_sweeps": sweeps,
    "poisson_mlp_choices": choices,
    "poisson_mlp_overflow": overflow,
    "poisson_mlp_clipping": clipping,
    "poisson_mlp_cost": cost,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
