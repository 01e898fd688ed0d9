"""Figures of kulkarni-forward-paper.md, each a function of finished results: neurons and passes."""

import matplotlib.pyplot as plt
import numpy as np

from respike.figures.draw import (
    BAND,
    GOOD,
    INK,
    OTHER,
    PUBLISHED,
    SNN,
    SNN_OTHER,
    WRONG,
    Runs,
    dots,
    main,
    percent,
)
from respike.sources.kulkarni_forward.figures_training import bits, filters, speed, training

VARIANTS = {  # suffix of the experiment: label, colour
    "": ("as printed", WRONG),
    "_as_coded": ("as coded", SNN_OTHER),
    "_corrected": ("corrected", SNN),
}
AXIS = (0, 45, 95, 135, 185, 205, 255)  # ticks of the document's Figure 2
PASSES = {
    "original": ("original", SNN),
    "coded_decay": ("modified, 0.966 a step", OTHER),
    "printed_decay": ("modified, 0.9802 a step", GOOD),
}


def encodings(runs: Runs, stem: str = "encode"):
    """Yield (label, colour, first run) of each variant that there is."""
    for suffix, (label, colour) in VARIANTS.items():
        if found := runs[stem + suffix]:
            yield label, colour, found[0]


def fig2(runs: Runs) -> plt.Figure:
    """Figure 2: spikes of every pixel value; their times."""
    figure, (ax, raster) = plt.subplots(1, 2, figsize=(12, 4.4), width_ratios=[1, 1.15])
    for label, colour, run in encodings(runs):
        found = run.arrays()
        ax.step(np.arange(256), found["counts"], where="mid", color=colour, label=label)
        if label == "corrected":
            ax.step(
                np.arange(256), found["counts_one_step_less"], where="mid", color=colour,
                linewidth=0.7, alpha=0.7, label="29 refractory steps",
            )  # fmt: skip
    ax.set_xticks(AXIS)
    ax.set(xlabel="pixel value k", ylabel="spikes in 1000 steps", ylim=(0, None), xlim=(0, 255))
    ax.legend(loc="lower right")
    variants = list(encodings(runs))
    for row, (_, colour, run) in enumerate(variants):
        spk = np.unpackbits(run.arrays()["trains"], axis=0)
        steps = run.result["settings"]["num_steps"]
        for k, pixel in enumerate(AXIS):
            times = np.flatnonzero(spk[:steps, pixel]) * run.result["settings"]["dt_ms"]
            y = k + 0.26 * (1 - row)
            raster.plot(times, np.full(len(times), y), "|", color=colour, markersize=7)
    raster.set_yticks(range(len(AXIS)), AXIS)
    raster.set(xlabel="time (ms)", ylabel="pixel value k", title="spike times", xlim=(0, 100))
    return figure


def rate(runs: Runs) -> plt.Figure:
    """Section III: whether the rate is sub-linear in the current."""
    run = runs["encode_corrected"][0]
    found = run.arrays()
    nano = found["current_pA"] / 1000
    s = run.result["settings"]
    counted = found["counts"] / (s["num_steps"] * s["dt_ms"]) * 1000
    figure, (ax, local) = plt.subplots(1, 2, figsize=(11, 4.2))
    ax.step(nano, counted, where="mid", color=SNN, label="counted in 100 ms")
    ax.plot(nano, found["rate_Hz"], color=INK, linewidth=1, label="continuous time")
    ax.plot([0, nano[-1]], [0, found["rate_Hz"][-1]], "--", color=BAND, label="proportional")
    ax.axvline(nano[0], color=BAND, linewidth=1)
    ax.annotate("rheobase", (nano[0], 200), rotation=90, fontsize=8, xytext=(4, 0),
                textcoords="offset points")  # fmt: skip
    ax.set(xlabel="input current (nA)", ylabel="rate (Hz)", xlim=(0, None), ylim=(0, None))
    ax.legend(loc="lower right")
    exponent = np.gradient(np.log(found["rate_Hz"][1:]), np.log(nano[1:]))
    local.plot(nano[1:], exponent, color=SNN)
    local.axhline(1, color=PUBLISHED, linestyle="--", linewidth=1)
    local.set_yscale("log")
    local.set_yticks([0.3, 0.5, 1, 2, 5], ["0.3", "0.5", "1", "2", "5"])
    local.minorticks_off()
    local.set(xlabel="input current (nA)", ylabel="local exponent", xlim=(0, None),
              title="dashed: proportional; below: sub-linear")  # fmt: skip
    return figure


def printed(runs: Runs) -> plt.Figure:
    """Show sign, rest, kernel and recursion as printed beside the corrected ones."""
    first = next(encodings(runs))[2]
    found, s = first.arrays(), first.result["settings"]
    ms = np.arange(s["num_steps"]) * s["dt_ms"]
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.9))
    ax = axes[0]
    ax.plot(ms, found["deviation_printed_sign"], color=WRONG, label="+ g_L (V - E_L), printed")
    ax.plot(ms, found["deviation_corrected_sign"], color=SNN, label="- g_L (V - E_L)")
    ax.set_yscale("log")
    ax.set(xlabel="time (ms)", ylabel="V - E_L (mV)", title="1 mV off rest, no input")
    ax.legend(loc="upper left")
    ax.set_ylim(top=1e7)
    ax = axes[1]
    for label, colour, run in encodings(runs):
        if label != "as coded":
            trace = run.arrays()["traces"][:, -1]
            ax.plot(ms[:200], trace[:200], color=colour, label=label, linewidth=1.2)
    ax.axhline(s["v_thresh_mV"], color=PUBLISHED, linestyle="--", linewidth=1)
    ax.set(xlabel="time (ms)", ylabel="V after a step (mV)", title="pixel 255, threshold dashed")
    ax.legend(loc="upper right", bbox_to_anchor=(1, 0.78))
    for ax, names, title in (
        (axes[2], {"kernel_printed": ("as printed", WRONG), "kernel": ("corrected", SNN)},
         "synaptic kernel, size"),
        (axes[3], {"recursion_printed": ("as printed", WRONG),
                   "recursion_with_minus": ("with the minus put in", OTHER),
                   "kernel": ("double exponential", SNN)}, "recursion after one spike"),
    ):  # fmt: skip
        for name, (label, colour) in names.items():
            ax.plot(ms, np.abs(found[name]), color=colour, label=label)
        ax.set_yscale("symlog", linthresh=1)
        ax.set(xlabel="time (ms)", title=title)
        ax.legend(loc="upper left")
    axes[2].set_ylabel("|c| (linear up to 1)")
    return figure


def show_maps(axes, maps, top) -> None:
    """Draw heat maps, (n, 26, 26), one in each of the axes, colours from 0 to `top`."""
    for ax, counts in zip(axes, maps, strict=False):
        picture = ax.imshow(counts, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0].figure.colorbar(picture, ax=list(axes), shrink=0.8, pad=0.01, label="spikes")


def fig3(runs: Runs) -> plt.Figure:
    """Figure 3: heat maps of the hidden layer's spike counts, one row per variant."""
    rows = list(encodings(runs, "full_pass"))
    figure, axes = plt.subplots(len(rows), 12, figsize=(15, 1.45 * len(rows) + 0.2), squeeze=False)
    for line, (label, _, run) in zip(axes, rows, strict=True):
        found = run.arrays()
        show_maps(line, found["maps_original"], max(1, found["maps_original"].max()))
        line[0].set_ylabel(f"{label}\ndigit {found['label'][0]}", fontsize=9)
    for k, ax in enumerate(axes[0]):
        ax.set_title(f"filter {k + 1}", fontsize=8, loc="center", fontweight="normal")
    return figure


def outputs(runs: Runs) -> plt.Figure:
    """Section VII: output counts with random weights, and what is answered."""
    rows = list(encodings(runs, "full_pass"))
    figure, axes = plt.subplots(len(rows), 5, figsize=(13, 2.5 * len(rows)), squeeze=False,
                                width_ratios=[1, 1, 1, 1, 1.6])  # fmt: skip
    for line, (label, colour, run) in zip(axes, rows, strict=True):
        found = run.arrays()
        counts = found["output_counts_original"]
        for k, ax in enumerate(line[:4]):
            ax.set_visible(k < len(counts))
            if k < len(counts):
                ax.bar(range(10), counts[k], color=colour)
                ax.set(xticks=[0, 5, 9], ylim=(0, 1.1 * max(1, counts[:4].max())))
                ax.set_title(f"true {found['labels'][k]}", fontsize=9, fontweight="normal")
        line[0].set_ylabel(f"{label}\noutput spikes")
        shares = np.array(
            [np.bincount(r.arrays()["output_counts_original"].argmax(1), minlength=10) /
             len(counts) for r in runs[run.result["experiment"]]]
        )  # fmt: skip
        line[4].bar(range(10), shares.mean(axis=0), color=colour)
        for k, values in enumerate(shares.T):
            dots(line[4], k, values, INK)
        line[4].axhline(0.1, color=PUBLISHED, linestyle="--", linewidth=1)
        line[4].set(xticks=range(10), ylabel="share of answers", ylim=(0, 1.05))
        line[4].set_title("dashed: chance; dots: seeds", fontsize=9)
        percent(line[4])
    for ax in axes[-1]:
        ax.set_xlabel("output neuron")
    return figure


def fig4(runs: Runs) -> plt.Figure:
    """Figure 4: distributions of hidden counts and heat maps, original against modified."""
    rows = [row for row in encodings(runs, "full_pass") if row[0] != "as printed"]
    figure = plt.figure(figsize=(15, 3.7 * len(rows)))
    for part, (label, _, run) in zip(
        np.atleast_1d(figure.subfigures(len(rows), 1)), rows, strict=True
    ):
        left, right = part.subfigures(1, 2, width_ratios=[1, 2.1])
        found = run.arrays()
        ax = left.subplots()
        for key, (name, colour) in PASSES.items():
            shares = found[f"histogram_{key}"] / found[f"histogram_{key}"].sum()
            ax.step(np.arange(1, len(shares)), shares[1:], where="mid", color=colour,
                    label=f"{name}: mean {run[f'hidden_mean_{key}']:.2f}")  # fmt: skip
        ax.set(xlabel="spikes of a hidden neuron", ylabel="share of neurons", xlim=(0.5, 35),
               title=f"{label}: test images")  # fmt: skip
        percent(ax)
        ax.set_ylim(0, 1.4 * ax.get_ylim()[1])  # room for the legend
        ax.legend(loc="upper left")
        grid = right.subplots(len(PASSES), 12)
        for line, (key, (name, _)) in zip(grid, PASSES.items(), strict=True):
            show_maps(line, found[f"maps_{key}"], max(1, found[f"maps_{key}"].max()))
            line[0].set_ylabel(name.replace(", ", "\n"), fontsize=8)
    return figure


MEASURES = {  # metric: label, what the claims ask for, (low, high) of the axis
    "mean_ratio": ("mean, modified over original", (0.8, 1), None),
    "overlap_active": ("shared area of distributions", (0.8,), (0, 1)),
    "rank_correlation": ("rank correlation", (0.8,), (0, 1)),
    "coincidence": ("spikes within 1 ms", (0.8,), (0, 1)),
}


def similarity(runs: Runs) -> plt.Figure:
    """Section VIII: measures of agreement by variant and decay."""
    rows = [
        (f"{VARIANTS[suffix][0]}\n{PASSES[key][0].split(', ')[1]}", f"full_pass{suffix}", key)
        for suffix in ("_as_coded", "_corrected")
        for key in ("coded_decay", "printed_decay")
    ]
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(14, 3.4), sharey=True)
    for ax, (metric, (label, asked, limits)) in zip(axes, MEASURES.items(), strict=True):
        for k, (_, experiment, key) in enumerate(rows):
            dots(ax, k, runs.values(experiment, f"{metric}_{key}"), PASSES[key][1], horizontal=True)
        for value in asked:
            ax.axvline(value, color=PUBLISHED, linestyle="--", linewidth=1)
        ax.set(xlabel=label, xlim=limits or (0, None))
    axes[0].set_yticks(range(len(rows)), [row[0] for row in rows])
    axes[0].invert_yaxis()
    return figure


FIGURES = {
    "kulkarni_forward_fig2": fig2,
    "kulkarni_forward_rate": rate,
    "kulkarni_forward_printed": printed,
    "kulkarni_forward_fig3": fig3,
    "kulkarni_forward_filters": filters,
    "kulkarni_forward_outputs": outputs,
    "kulkarni_forward_fig4": fig4,
    "kulkarni_forward_similarity": similarity,
    "kulkarni_forward_speed": speed,
    "kulkarni_forward_training": training,
    "kulkarni_forward_bits": bits,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
