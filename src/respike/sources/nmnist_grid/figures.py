"""Figures of the N-MNIST grid document, in its numbering, and what its recordings are."""

import numpy as np

from respike.figures.draw import (
    ANN,
    BAND,
    INK,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    WRONG,
    Runs,
    alternatives,
    curves,
    main,
    percent,
    plt,
)
from respike.sources.nmnist_grid import figures_search

KIND = {"official": "official", "local": "real, local archive", "emulated": "emulated"}


def figure_4(runs: Runs) -> plt.Figure:
    """Show a frame of a digit before and after the noise filter."""
    shown = [(name, runs[name][0]) for name in ("describe_real", "describe") if runs[name]]
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(7, 3.5 * len(shown)), squeeze=False, sharex=True, sharey=True
    )
    for row, (_, run) in zip(axes, shown, strict=True):
        found = run.arrays()
        begin, end = found["frame_ms"]
        for ax, key, title in (
            (row[0], "frame_before", "(a)"), (row[1], "frame_after", "(b) denoised")
        ):  # fmt: skip
            frame = found[key].astype(float)
            # ON red, OFF blue, as deep as there are events.
            top = max(found["frame_before"].max(), 1)
            picture = np.ones((*frame.shape[1:], 3))
            picture -= (frame[1] / top)[..., None] * (1 - np.array([0.835, 0.369, 0.0]))
            picture -= (frame[0] / top)[..., None] * (1 - np.array([0.0, 0.447, 0.698]))
            ax.imshow(picture.clip(0, 1), interpolation="nearest")
            ax.set(xticks=[0, 33], yticks=[0, 33], title=f"{title}: {int(frame.sum())} events")
        row[0].set_ylabel(f"{KIND.get(run.result['data_kind'])}\n{begin:g} to {end:g} ms, y (px)")
    for ax in axes[-1]:
        ax.set_xlabel("x (px)")
    return figure


def durations(runs: Runs) -> plt.Figure:
    """How long recordings are, and how many events they have."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8))
    for name, colour in (("describe_real", PUBLISHED), ("describe", SNN)):
        for run in runs[name]:
            found, kind = run.arrays(), KIND.get(run.result["data_kind"])
            label = f"{kind} (n = {len(found['counts']):,})"
            for ax, key in zip(axes, ("durations_ms", "counts", "removed"), strict=True):
                bins = np.arange(0, 345, 5) if key == "durations_ms" else 40
                ax.hist(
                    found[key], bins, density=True, histtype="step", color=colour,
                    linewidth=1.6, label=label,
                )  # fmt: skip
    published = runs.published.get("nmnist_grid.duration", {}).get("value")
    if published:
        axes[0].axvline(published, color=SNN_OTHER, linestyle="--", label="published")
    axes[0].set(xlabel="last event (ms)", ylabel="density", xlim=(0, 345))
    axes[1].set(xlabel="events per recording", ylabel="density", xlim=(0, None))
    axes[2].set(xlabel="share removed by the noise filter", ylabel="density", xlim=(0, None))
    axes[0].legend(loc="upper center")
    return figure


def figure_1(runs: Runs) -> plt.Figure:
    """Show the spike as a step and its difference quotients."""
    found = runs["surrogate"][0].arrays()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    axes[0].step(found["x"], found["step"], where="pre", color=SNN)
    axes[0].set(ylabel="spike S", title="forward pass")
    middle = (found["x"][1:] + found["x"][:-1]) / 2
    axes[1].plot(middle, found["step_derivative"], color=SNN)
    axes[1].set(ylabel="difference quotient of S by U", title="dead gradient")
    for ax in axes:
        ax.set_xlabel("membrane potential less threshold, U - theta")
    return figure


def figure_2(runs: Runs) -> plt.Figure:
    """Show the surrogate and its derivative: printed, true, and as snnTorch computes it."""
    found = runs["surrogate"][0].arrays()
    x = found["x"]
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    axes[0].step(x, found["step"], where="pre", color=BAND, label="step S")
    axes[0].plot(x, found["approximation"], color=SNN, label="1/pi arctan(pi U), as printed")
    axes[0].set(ylabel="spike and approximation", title="surrogate")
    axes[1].plot(
        x, found["derivative_printed"], color=PUBLISHED, linestyle="--", label="as printed"
    )
    axes[1].plot(x, found["derivative_of_approximation"], color=SNN, label="of the approximation")
    each = slice(None, None, 10)
    axes[1].plot(
        x[each], found["derivative_coded"][each], "o", color=OTHER, markersize=4, label="snnTorch"
    )
    axes[1].set(ylabel="derivative", title="derivative of the surrogate")
    for ax in axes:
        ax.set_xlabel("membrane potential less threshold, U - theta")
        ax.legend(loc="upper left")
    return figure


def learning_curves(runs: Runs) -> plt.Figure:
    """Show accuracy by epoch of the final model, and where early stopping would end."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6), sharey=True)

    def epochs(run):
        return np.arange(1, len(run.series("test_accuracy")) + 1)

    curves(axes[0], runs["final"], epochs, "test_accuracy", SNN, "test, as documented")
    curves(axes[0], runs["final_as_coded"], epochs, "test_accuracy", OTHER, "test, as coded")
    axes[0].set_title("final model")
    curves(axes[1], runs["final_val"], epochs, "val_accuracy", SNN_OTHER, "validation")
    curves(axes[1], runs["final_val"], epochs, "test_accuracy", SNN, "test")
    if runs["final_val"] and "early_stop_epoch" in runs["final_val"][0].result["metrics"]:
        for k, run in enumerate(runs["final_val"]):
            label = "early stopping (U6)" if k == 0 else None
            axes[1].axvline(
                run["early_stop_epoch"], color=WRONG, alpha=0.5, linestyle=":", label=label
            )
    axes[1].set_title("with recordings held out")
    published = runs.published["nmnist_grid.final"]["value"]
    lows = [run.series("test_accuracy")[1:].min(initial=1.0) for run in runs["final"]]
    for ax in axes:
        ax.axhline(published, color=PUBLISHED, linestyle="--", linewidth=1, label="published test")
        ax.set(xlabel="epoch", ylim=(max(0.0, min(0.9, *lows) - 0.01), 1.0))
        ax.legend(loc="lower right")
        percent(ax)
    axes[0].set_ylabel("accuracy")
    return figure


def confusion(runs: Runs) -> plt.Figure:
    """Show the errors of the final model per digit and answer, sum over the seeds."""
    table = np.zeros((10, 10), int)
    for run in runs["final"]:
        found = run.arrays()
        np.add.at(table, (found["labels"], found["predictions"]), 1)
    share = np.diag(table) / table.sum(axis=1).clip(1)
    errors = table.astype(float)
    np.fill_diagonal(errors, np.nan)
    figure, ax = plt.subplots(figsize=(6.6, 5.2))
    image = ax.imshow(errors, cmap="cividis")
    for digit in range(10):
        for answer in range(10):
            if digit == answer:
                ax.text(answer, digit, f"{100 * share[digit]:.1f} %", ha="center", va="center",
                        fontsize=7, color=INK)  # fmt: skip
            elif table[digit, answer]:
                dark = errors[digit, answer] < 0.6 * np.nanmax(errors)
                ax.text(answer, digit, table[digit, answer], ha="center", va="center",
                        fontsize=8, color="white" if dark else INK)  # fmt: skip
    ax.set(xticks=range(10), yticks=range(10), xlabel="answer", ylabel="digit")
    ax.set_title(f"{int(np.nansum(errors))} errors in {table.sum():,}; diagonal: share right")
    figure.colorbar(image, label="recordings")
    return figure


def activity(runs: Runs) -> plt.Figure:
    """Show one recording passing through the network."""
    run = runs["final"][0]
    found = run.arrays()
    step_ms = run.result["settings"]["t_window"] / 1000
    n = len(found["events_per_step"])
    t = (np.arange(n) + 0.5) * step_ms
    figure = plt.figure(figsize=(11, 5.2))
    axes = figure.subplot_mosaic(
        [["image", "events"], ["image", "hidden"], ["none", "output"]], width_ratios=[1, 3]
    )
    axes["none"].axis("off")
    picture = found["events_by_input"].astype(float).reshape(2, 34, 34).sum(axis=0)
    axes["image"].imshow(picture, cmap="cividis")
    axes["image"].set(xlabel="x (px)", ylabel="y (px)", title=f"events, digit {found['labels'][0]}")
    axes["events"].bar(t, found["events_per_step"], width=step_ms, color=ANN)
    axes["events"].set_ylabel("events\nper step")
    axes["hidden"].bar(t, found["hidden_per_step"][:n], width=step_ms, color=SNN_OTHER)
    axes["hidden"].set_ylabel("hidden spikes\nper step")
    for digit in range(10):
        spikes = t[found["output_spikes"][:n, digit] > 0]
        colour = SNN if digit == found["labels"][0] else INK
        axes["output"].scatter(spikes, [digit] * len(spikes), color=colour, marker="|", s=60)
    axes["output"].set(
        yticks=range(10), ylabel="output neuron", xlabel="time (ms)", ylim=(9.6, -0.6)
    )
    for name in ("events", "hidden", "output"):
        axes[name].set_xlim(0, n * step_ms)
    return figure


def economy(runs: Runs) -> plt.Figure:
    """Show accuracy, energy and training time against the number of hidden neurons."""
    groups = {
        group[0].result["settings"]["n_hidden"]: group
        for group in [runs["final"], *runs.starting("width_").values()]
        if group
    }
    sizes = sorted(groups)
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for ax, metric, label, factor in (
        (axes[0], "test_accuracy_final", "test accuracy", 1),
        (axes[1], "energy_snn_nj", "energy of an inference (nJ)", 1),
        (axes[2], "train_s_per_epoch", "CPU time of a training epoch (s)", 1),
    ):
        each = [np.array([run[metric] for run in groups[n]]) * factor for n in sizes]
        for n, values in zip(sizes, each, strict=True):
            ax.scatter([n] * len(values), values, color=SNN, s=18, alpha=0.6)
        ax.plot(sizes, [values.mean() for values in each], color=SNN)
        ax.set(xlabel="hidden neurons", ylabel=label, xscale="log")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.minorticks_off()
    axes[0].axhline(
        runs.published["nmnist_grid.final"]["value"], color=PUBLISHED, linestyle="--",
        linewidth=1, label="published, 800 neurons",
    )  # fmt: skip
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    percent(axes[0])
    for ax in axes[1:]:
        ax.set_ylim(0, None)
    return figure


def choices(runs: Runs) -> plt.Figure:
    """Show validation accuracy when one open choice is changed, at the same epoch."""
    rows = []
    for prefix, said in (("l2_", "weight decay "), ("lr_", "learning rate ")):
        for name, group in runs.starting(prefix).items():
            rows.append((f"{said}{name.removeprefix(prefix)}", group))
    if runs["printed_derivative"]:
        rows.append(("derivative as printed (1/pi)", runs["printed_derivative"]))
    drawn = [*runs["final_val"], *(run for _, group in rows for run in group)]
    epoch = min(len(run.series("val_accuracy")) for run in drawn)
    base = np.array([run.series("val_accuracy")[epoch - 1] for run in runs["final_val"]])
    found = [
        (name, np.array([run.series("val_accuracy")[epoch - 1] for run in group]))
        for name, group in rows
    ]
    return alternatives(found, base, f"validation accuracy after epoch {epoch}")


FIGURES = {
    "nmnist_grid_fig_1": figure_1,
    "nmnist_grid_fig_2": figure_2,
    "nmnist_grid_fig_4": figure_4,
    "nmnist_grid_recordings": durations,
    "nmnist_grid_curves": learning_curves,
    "nmnist_grid_confusion": confusion,
    "nmnist_grid_activity": activity,
    "nmnist_grid_economy": economy,
    "nmnist_grid_choices": choices,
    **figures_search.FIGURES,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
