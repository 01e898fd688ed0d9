"""Figures of the N-MNIST grid document, in its numbering, and what its recordings are."""

import numpy as np

from respike.figures.draw import PUBLISHED, SNN, SNN_OTHER, Runs, main, plt

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


FIGURES = {"nmnist_grid_fig_4": figure_4, "nmnist_grid_recordings": durations}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
