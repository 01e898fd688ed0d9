"""Figures of the emulated N-MNIST recordings beside real ones."""

import matplotlib
import numpy as np

from respike.data.nmnist.statistics import INTERVALS_MS, map_correlations, maps
from respike.figures.draw import BAND, INK, PUBLISHED, SNN, Runs, dots, main, percent, plt

REAL, OURS = PUBLISHED, SNN  # black: what was recorded; blue: what we compute
ON, OFF = "#D55E00", "#0072B2"


def rates(runs: Runs) -> plt.Figure:
    """Events per 5 ms, real and emulated, by polarity."""
    run = runs["fidelity"][0]
    found = run.arrays()
    figure, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    bin_ms = float(found["bin_ms"])
    real, ours = found["profile_real"], found["profile_emulated"]
    t = (np.arange(real.shape[1]) + 0.5) * bin_ms
    peak = real.sum(0).max()
    for ax, k, name in ((axes[0], 1, "ON"), (axes[1], 0, "OFF")):
        ax.fill_between(
            t, real[k] - peak / 20, real[k] + peak / 20, color=BAND, alpha=0.5, linewidth=0,
            label="a tenth of the peak, shared by both",
        )  # fmt: skip
        ax.plot(t, real[k], color=REAL, label="real")
        ax.plot(t, ours[k], color=OURS, label="emulated")
        ax.set(ylabel=f"{name} events per {bin_ms:g} ms", ylim=(0, None))
    axes[0].set_title(f"mean of {len(found['counts_real'])} recordings that the fit did not see")
    axes[0].legend()
    axes[1].set_xlabel("time (ms)")
    return figure


def counts(runs: Runs) -> plt.Figure:
    """Events per recording and per saccade, real against emulated."""
    found = runs["fidelity"][0].arrays()
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=[1, 1, 1.3])
    real, ours = found["counts_real"], found["counts_emulated"]
    ax = axes[0]
    top = max(real.max(), ours.max()) * 1.05
    ax.plot([0, top], [0, top], color=INK, linewidth=0.8)
    ax.scatter(real, ours, s=9, color=OURS, alpha=0.6, linewidths=0)
    ax.set(
        xlabel="events, real", ylabel="events, emulated", xlim=(0, top), ylim=(0, top),
        title=f"one dot per image, r = {np.corrcoef(real, ours)[0, 1]:.3f}", aspect="equal",
    )  # fmt: skip
    ax = axes[1]
    edges = np.linspace(0, top, 25)
    ax.hist(real, edges, color=BAND, label="real")
    ax.hist(ours, edges, histtype="step", color=OURS, linewidth=1.6, label="emulated")
    ax.set(xlabel="events per recording", ylabel="recordings")
    ax.legend()
    ax = axes[2]
    for k in range(3):
        for name, colour, at in (("real", REAL, k - 0.15), ("emulated", OURS, k + 0.15)):
            values = found[f"saccades_{name}"][:, k]
            box = ax.boxplot(
                values, positions=[at], widths=0.24, whis=(5, 95), showfliers=False,
                patch_artist=True, medianprops={"color": colour},
            )  # fmt: skip
            for patch in box["boxes"]:
                patch.set(facecolor="none", edgecolor=colour)
            for line in box["whiskers"] + box["caps"]:
                line.set_color(colour)
    ax.plot([], [], color=REAL, label="real")
    ax.plot([], [], color=OURS, label="emulated")
    ax.legend()
    ax.set_xticks(range(3), ["first", "second", "third"])
    ax.set(xlabel="saccade", ylabel="events", title="median, quartiles, 5 to 95 %", ylim=(0, None))
    return figure


def intervals(runs: Runs) -> plt.Figure:
    """Intervals between events of a pixel, and events per pixel."""
    found = runs["fidelity"][0].arrays()
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    width = np.diff(INTERVALS_MS)
    for ax, k, name in ((axes[0], 0, "same polarity"), (axes[1], 1, "opposite polarity")):
        for which, colour in (("real", REAL), ("emulated", OURS)):
            density = found[f"intervals_{which}"][k] / width
            ax.stairs(density, INTERVALS_MS, color=colour, label=which)
        ax.set(
            xscale="log", xlabel="interval (ms)", ylabel="intervals per recording and ms",
            title=f"within a pixel, {name}", xlim=(0.7, 400),
        )  # fmt: skip
    axes[0].legend()
    ax = axes[2]
    for which, colour in (("real", REAL), ("emulated", OURS)):
        ax.stairs(found[f"per_pixel_{which}"], np.arange(42) - 0.5, color=colour, label=which)
    ax.set(
        yscale="log", xlabel="events of a pixel (40: or more)", ylabel="pixels per recording",
        title="both polarities",
    )  # fmt: skip
    return figure


def pictures(runs: Runs) -> plt.Figure:
    """Event maps of one recording of each digit."""
    found = runs["fidelity"][0].arrays()
    digits = found["sample_digits"]
    both = {
        name: maps(found[f"sample_{name}"], found[f"sample_{name}_offsets"]).sum(1)
        for name in ("real", "emulated")
    }
    similar = map_correlations(both["emulated"], both["real"])
    columns = len(digits)
    figure, axes = plt.subplots(2, columns, figsize=(1.3 * columns + 0.6, 3.2), squeeze=False)
    for j in range(columns):
        top = max(both["real"][j].max(), both["emulated"][j].max())
        for i, name in enumerate(("real", "emulated")):
            ax = axes[i, j]
            ax.imshow(both[name][j], cmap="magma", vmin=0, vmax=top)
            ax.set(xticks=[], yticks=[])
            for side in ax.spines.values():
                side.set_visible(False)
        axes[0, j].set_title(str(digits[j]))
        axes[1, j].set_xlabel(f"r = {similar[j]:.2f}")
    axes[0, 0].set_ylabel("real")
    axes[1, 0].set_ylabel("emulated")
    return figure


def streams(runs: Runs) -> plt.Figure:
    """Events of the same images over time: x against t."""
    found = runs["fidelity"][0].arrays()
    digits = found["sample_digits"]
    shown = [k for k in (3, 5, 8) if k < len(digits)] or [0]
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(12, 2.6 * len(shown)), sharex=True, sharey=True, squeeze=False
    )
    for i, k in enumerate(shown):
        for j, name in enumerate(("real", "emulated")):
            ends = found[f"sample_{name}_offsets"]
            events = found[f"sample_{name}"][ends[k] : ends[k + 1]]
            on = (events >> 12 & 1).astype(bool)
            for chosen, colour, label in ((on, ON, "ON"), (~on, OFF, "OFF")):
                axes[i, j].scatter(
                    (events[chosen] >> 13) / 1000, events[chosen] & 63, s=1.6, color=colour,
                    linewidths=0, alpha=0.7, label=label,
                )  # fmt: skip
            axes[i, j].set_title(f"digit {digits[k]}, {name}: {len(events):,} events")
        axes[i, 0].set_ylabel("x (px)")
    axes[0, 0].legend(markerscale=5, loc="upper right")
    for ax in axes[-1]:
        ax.set_xlabel("time (ms)")
    return figure


def camera(runs: Runs) -> plt.Figure:
    """Show the fitted camera: motion of the image and thresholds of the pixels."""
    found = runs["fidelity"][0].arrays()
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), width_ratios=[1.6, 1, 1, 1])
    ax, t = axes[0], found["times"]
    for k, (name, colour) in enumerate((("x", SNN), ("y", "#E69F00"))):
        ax.plot(t, found["motion"][:, k], color=colour, label=name)
    for begin, end in found["rests"]:
        ax.axvspan(begin, end, color=BAND, alpha=0.5, linewidth=0)
    ax.set(xlabel="time (ms)", ylabel="displacement (px)", title="motion of the image; rests grey")
    ax.legend()
    ax = axes[1]
    ax.scatter(*found["variations"][:, :2].T, s=8, color=SNN, alpha=0.5, linewidths=0)
    ax.set(
        xlabel="second saccade late by (ms)", ylabel="third saccade late by (ms)",
        title="one dot per recording",
    )  # fmt: skip
    for ax, name, title in (
        (axes[2], "threshold_on", "ON threshold"), (axes[3], "threshold_off", "OFF threshold")
    ):  # fmt: skip
        image = ax.imshow(found[name], cmap="viridis")
        ax.set(xticks=[], yticks=[], title=f"{title} (log units)")
        figure.colorbar(image, ax=ax, shrink=0.8)
    return figure


def transfer(runs: Runs) -> plt.Figure:
    """Accuracy of a network trained on emulated recordings."""
    rows = {
        "accuracy_emulated_unseen": "emulated,\nother images",
        "accuracy_emulated_same_images": "emulated,\nimages of the real ones",
        "accuracy_real": "real",
        "accuracy_real_not_fitted": "real, not used\nin the fit",
    }
    figure, ax = plt.subplots(figsize=(7, 3.8))
    shown = [name for name in rows if name in runs["transfer"][0].result["metrics"]]
    for k, name in enumerate(shown):
        dots(ax, k, runs.values("transfer", name), OURS if "emulated" in name else REAL)
    ax.set_xticks(range(len(shown)), [rows[name] for name in shown])
    ax.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6))
    ax.set(ylabel="test accuracy", title="trained on emulated recordings only; dots: seeds")
    percent(ax)
    return figure


FIGURES = {
    "nmnist_emulator_rates": rates,
    "nmnist_emulator_counts": counts,
    "nmnist_emulator_intervals": intervals,
    "nmnist_emulator_maps": pictures,
    "nmnist_emulator_streams": streams,
    "nmnist_emulator_camera": camera,
    "nmnist_emulator_transfer": transfer,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
