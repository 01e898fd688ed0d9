"""Figures of stdp-tables-paper.md, each a function of finished results."""

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
    dots,
    main,
    percent,
)
from respike.sources.stdp_tables.cost import ann_bytes
from respike.sources.stdp_tables.model import ENCODERS, NEURONS, RULES

LABEL = {
    "poisson": "Poisson", "bernoulli": "Bernoulli", "rank_order": "rank order",
    "if": "IF", "lif": "LIF", "srm0": "SRM0", "diehl_cook": "Diehl&Cook",
    "srm0_as_coded": "SRM0\nas coded",
    "PostPre": "PostPre", "WeightDependentPostPre": "weight-dep.", "Hebbian": "Hebbian",
}  # fmt: skip
CLAIM = {
    "PostPre": "post_pre", "WeightDependentPostPre": "weight_dependent", "Hebbian": "hebbian",
}  # fmt: skip
RULE_COLOUR = {"PostPre": SNN, "WeightDependentPostPre": GOOD, "Hebbian": OTHER}
ENCODER_COLOUR = {"poisson": SNN, "bernoulli": WRONG, "rank_order": OTHER}
MAIN = "PostPre"
CODED = "_as_coded"
SHOWN = (*NEURONS[:3], f"srm0{CODED}", NEURONS[3])
ZEROS = 0.098  # share of zeros among the 10,000 test digits


def accuracy(runs: Runs) -> plt.Figure:
    """Tables 4 to 6: every cell beside its published value, and the ANN."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.6), width_ratios=[3, 3, 3, 1], sharey=True)
    for ax, encoder in zip(axes, ENCODERS, strict=False):
        for k, neuron in enumerate(SHOWN):
            name = f"{encoder}_{neuron}"
            for m, rule in enumerate(RULES):
                x = k + 0.26 * (m - 1)
                if runs[name]:
                    values = runs.values(name, f"{rule}_test_accuracy_all")
                    strict = runs.values(name, f"{rule}_test_accuracy_all_strict")
                    colour = RULE_COLOUR[rule]
                    label = LABEL[rule] if k == 0 else None
                    style = {"s": 20, "zorder": 3}
                    ax.scatter([x] * len(values), values, color=colour, alpha=0.7, linewidths=0,
                               label=label, **style)  # fmt: skip
                    if np.abs(values - strict).max() > 0.005:
                        ax.scatter([x] * len(strict), strict, facecolors="none",
                                   edgecolors=colour, **style)  # fmt: skip
                claim = f"stdp_tables.{encoder}_{neuron.removesuffix(CODED)}_{CLAIM[rule]}"
                published = runs.published[claim]["value"]
                ax.plot(x + 0.09, published, "D", color=PUBLISHED, markersize=4,
                        label="published" if k == m == 0 else None)  # fmt: skip
        ax.axhline(ZEROS, color=PUBLISHED, linestyle=":", linewidth=0.8)
        ax.set_xticks(range(len(SHOWN)), [LABEL[n] for n in SHOWN], fontsize=8)
        ax.set_title(LABEL[encoder])
    axes[0].set(ylabel="test accuracy (all_activity)", ylim=(0, 1))
    handles, names = axes[0].get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda k: names[k] == "published")  # our rules first
    axes[0].legend([handles[k] for k in order], [names[k] for k in order], loc="upper left")
    percent(axes[0])
    ax = axes[3]
    for k, name in enumerate(("ann", "ann_as_coded")):
        if runs[name]:
            dots(ax, k, runs.values(name, "test_accuracy_final"), ANN)
    ax.plot([0, 1], [runs.published["stdp_tables.ann"]["value"]] * 2, "D", color=PUBLISHED,
            markersize=4)  # fmt: skip
    ax.set_xticks([0, 1], ["64", "32"])
    ax.set(title="ANN", xlabel="batch", xlim=(-0.6, 1.6))
    return figure


def confusion(runs: Runs) -> plt.Figure:
    """Confusion matrices of the adaptive network."""
    shown = [e for e in ENCODERS if runs[f"{e}_diehl_cook"]]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.6 * len(shown), 4.3), squeeze=False)
    for ax, encoder in zip(axes[0], shown, strict=True):
        table = runs[f"{encoder}_diehl_cook"][0].arrays()[f"{MAIN}_confusion"]
        picture = ax.imshow(table / np.maximum(1, table.sum(axis=1, keepdims=True)), vmin=0,
                            vmax=1, cmap="Blues")  # fmt: skip
        ax.set_xticks(range(11), [*map(str, range(10)), "-"])
        ax.set_yticks(range(10))
        ax.set(xlabel="answer", title=LABEL[encoder])
        ax.axvline(9.5, color=INK, linewidth=1)
    axes[0][0].set_ylabel("true digit")
    figure.colorbar(picture, ax=axes[0].tolist(), shrink=0.8, label="share of the digit")
    return figure


def mosaic(w: np.ndarray, side: int = 5) -> np.ndarray:
    """Return the images of the first side x side output neurons in one picture, w (784, n)."""
    picture = np.full((side * 29 - 1, side * 29 - 1), np.nan)
    for k in range(min(side * side, w.shape[1])):
        y, x = divmod(k, side)
        picture[29 * y : 29 * y + 28, 29 * x : 29 * x + 28] = w[:, k].reshape(28, 28)
    return picture


def weights(runs: Runs) -> plt.Figure:
    """Input weights of output neurons after training."""
    figure, axes = plt.subplots(len(ENCODERS), len(NEURONS), figsize=(11, 8.6))
    cmap = plt.get_cmap("magma").with_extremes(bad="white")
    for line, encoder in zip(axes, ENCODERS, strict=True):
        for ax, neuron in zip(line, NEURONS, strict=True):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            found = runs[f"{encoder}_{neuron}"]
            if found:
                w = found[0].arrays()[f"{MAIN}_w"][:, :25]
                ax.imshow(mosaic(w), cmap=cmap, vmin=0, vmax=max(1e-6, np.quantile(w, 0.995)))
            if encoder == ENCODERS[0]:
                ax.set_title(LABEL[neuron], loc="center")
        line[0].set_ylabel(LABEL[encoder])
    return figure


def by_network(ax, runs: Runs, metric: str, title: str, logarithmic: bool = False) -> None:
    """Draw one metric of every network, grouped by neuron model, coloured by encoder."""
    for m, encoder in enumerate(ENCODERS):
        for k, neuron in enumerate(NEURONS):
            values = runs.values(f"{encoder}_{neuron}", f"{MAIN}_{metric}")
            if len(values) and np.isfinite(values).any():
                dots_at = k + 0.26 * (m - 1)
                ax.scatter([dots_at] * len(values), values, s=22, linewidths=0, alpha=0.75,
                           color=ENCODER_COLOUR[encoder],
                           label=LABEL[encoder] if k == len(NEURONS) - 1 else None)  # fmt: skip
    ax.set_xticks(range(len(NEURONS)), [LABEL[n] for n in NEURONS], fontsize=8)
    ax.set_xlim(-0.5, len(NEURONS) - 0.5)
    ax.set_title(title)
    if logarithmic:
        ax.set_yscale("log")


def activity(runs: Runs) -> plt.Figure:
    """How much the networks fire."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.8))
    by_network(axes[0], runs, "output_spikes_per_image", "output spikes per image", True)
    by_network(axes[1], runs, "silent_images", "images without a spike")
    by_network(axes[2], runs, "neurons_firing", "neurons that ever fire")
    by_network(axes[3], runs, "distinct_labels", "distinct labels")
    percent(axes[1])
    axes[1].set_ylim(-0.03, 1.03)
    axes[2].set_ylim(0, None)
    axes[3].set_ylim(0, 10.5)
    axes[1].legend(loc="upper left")
    return figure


def diagnosis(runs: Runs) -> plt.Figure:
    """Why the models without adaptation fail."""
    figure, axes = plt.subplots(1, 5, figsize=(16.5, 3.9))
    by_network(axes[0], runs, "reach_together", "reach threshold at once")
    by_network(axes[1], runs, "inhibition_lost", "inhibition lost")
    by_network(axes[2], runs, "top_share", "spikes by the most active")
    by_network(axes[3], runs, "drive_mV", "drive per step (mV)", True)
    by_network(axes[4], runs, "mem_lowest_mV", "lowest potential (mV)")
    for ax in axes[1:3]:
        percent(ax)
        ax.set_ylim(-0.03, 1.03)
    axes[0].set_ylabel("neurons at the same step")
    axes[1].set_ylabel("share that meets refractory neurons")
    gap = {r.result["settings"]["v_thresh_mV"] - r.result["settings"]["v_rest_mV"]
           for found in runs.by_experiment.values() for r in found}  # fmt: skip
    for distance in gap:
        axes[3].axhline(distance, color=PUBLISHED, linestyle="--", linewidth=0.8)
        axes[3].annotate("rest to threshold", (-0.45, 0.95 * distance), fontsize=8, va="top")
        for m, encoder in enumerate(ENCODERS):  # where adaptation has taken the threshold
            raised = runs.values(f"{encoder}_diehl_cook", f"{MAIN}_theta_mean_mV")
            axes[3].scatter([3 + 0.26 * (m - 1)] * len(raised), distance + raised, marker="_",
                            s=120, color=ENCODER_COLOUR[encoder])  # fmt: skip
    axes[4].set_yscale("symlog", linthresh=100)
    axes[4].set_ylim(2 * axes[4].dataLim.y0, 0)
    axes[0].legend(loc="upper right")
    return figure


CONDITIONS = {
    "explain": ("Diehl&Cook, Poisson", SNN),
    "explain_if": ("IF, Poisson", GOOD),
    "explain_lif": ("LIF, Poisson", SNN_OTHER),
    "explain_srm0": ("SRM0, Poisson", WRONG),
    "explain_rank_order": ("Diehl&Cook, rank order", OTHER),
}


def explain(runs: Runs) -> plt.Figure:
    """Accuracy against what the document names as reasons."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.3), sharey=True)
    for ax, key, label in zip(
        axes, ("num_steps", "batch_size", "n_neurons"),
        ("presentation (ms)", "images per batch", "output neurons"), strict=True,
    ):  # fmt: skip
        ticks = set()
        for name, (title, colour) in CONDITIONS.items():
            lines = []
            for run in runs[name]:
                x = run.series(f"{key}_values")
                order = np.argsort(x)
                lines.append(run.series(f"{key}_accuracy")[order])
                ax.plot(x[order], lines[-1], color=colour, alpha=0.3, linewidth=0.8)
                ticks |= set(x.astype(int))
            if lines:
                ax.plot(x[order], np.mean(lines, axis=0), color=colour, marker="o", markersize=4,
                        label=title)  # fmt: skip
        ax.axhline(0.1, color=PUBLISHED, linestyle=":", linewidth=0.8)
        ax.set_xscale("log")
        ax.set_xticks(sorted(ticks), sorted(ticks))
        ax.minorticks_off()
        ax.set_xlabel(label)
    axes[1].invert_xaxis()
    axes[0].set(ylabel="validation accuracy", ylim=(0, 1))
    percent(axes[0])
    axes[2].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


SEARCHES = {
    "search": ("IF, Poisson", GOOD),
    "search_lif": ("LIF, Poisson", SNN_OTHER),
    "search_srm0": ("SRM0, Poisson", WRONG),
    "search_rank_order": ("Diehl&Cook, rank order", OTHER),
}


def search(runs: Runs) -> plt.Figure:
    """Search by trials, and accuracy before and after."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.2), width_ratios=[1.3, 1])
    ax = axes[0]
    for title, colour, found in ((t, c, runs[n]) for n, (t, c) in SEARCHES.items()):
        lines = [np.maximum.accumulate(run.series("val_accuracy")) for run in found]
        for line in lines:
            ax.step(range(len(line)), line, where="post", color=colour, alpha=0.35, linewidth=0.8)
        if lines:
            ax.step(range(len(lines[0])), np.mean(lines, axis=0), where="post", color=colour,
                    label=title)  # fmt: skip
    ax.set(xlabel="trial (0: the document's constants)", ylabel="best validation accuracy so far",
           ylim=(0, 1))  # fmt: skip
    ax.legend(loc="upper left")
    ax = axes[1]
    for k, (name, (_, colour)) in enumerate(SEARCHES.items()):
        for shift, which, alpha in ((-0.18, "document", 0.45), (0.18, "tuned", 1.0)):
            values = runs.values(name, f"test_accuracy_all_{which}") if runs[name] else []
            if len(values):
                ax.scatter([k + shift] * len(values), values, s=22, color=colour, alpha=alpha,
                           linewidths=0)  # fmt: skip
                ax.plot([k + shift - 0.12, k + shift + 0.12], [np.mean(values)] * 2, color=colour,
                        alpha=alpha, linewidth=2.5)  # fmt: skip
    ax.axhline(0.1, color=PUBLISHED, linestyle=":", linewidth=0.8)
    ax.set_xticks(range(len(SEARCHES)), [t.replace(", ", "\n") for t, _ in SEARCHES.values()])
    ax.set(ylabel="test accuracy", ylim=(0, 1), title="pale: the document's, full: tuned")
    for ax in axes:
        percent(ax)
    return figure


def cost(runs: Runs) -> plt.Figure:
    """Memory and operations of every network and of the ANN, as a table."""
    head = ["network", "memory\nkB", "input\nspikes", "output\nspikes", "additions",
            "multiply-\naccumulates", "exp", "energy\nnJ", "energy\nSNN / ANN",
            "accuracy"]  # fmt: skip
    rows, colours, last = [], [], None
    for encoder in ENCODERS:
        for neuron in NEURONS:
            name = f"{encoder}_{neuron}"
            if runs[name]:

                def at(key, name=name):
                    return runs.values(name, f"{MAIN}_{key}").mean()  # fmt: skip

                rows.append([
                    f"{LABEL[encoder]}, {LABEL[neuron]}", f"{at('memory_bytes') / 1000:.0f}",
                    f"{at('input_spikes_per_image'):.0f}", f"{at('output_spikes_per_image'):.1f}",
                    f"{at('additions'):,.0f}", f"{at('leak_operations'):,.0f}",
                    f"{at('exponentials'):,.0f}", f"{at('energy_nj'):.0f}",
                    f"{at('energy_ratio'):.2f}", f"{at('test_accuracy_all'):.1%}",
                ])  # fmt: skip
                colours.append("white")
                last = at, runs[name][0].result["settings"]["n_neurons"]
    at, n = last
    rows.append(["ANN 784-100-10", f"{ann_bytes(n) / 1000:.0f}", "-", "-", "0",
                 f"{at('ann_macs'):,.0f}", "0", f"{at('energy_ann_nj'):.0f}", "1",
                 f"{runs.values('ann', 'test_accuracy_final').mean():.1%}"])  # fmt: skip
    colours.append("#FBE7C2")
    figure, ax = plt.subplots(figsize=(14, 0.3 * (len(rows) + 2.5)))
    ax.axis("off")
    table = ax.table(rows, colLabels=head, loc="center", cellLoc="right",
                     colWidths=[0.2, *[0.09] * (len(head) - 1)])  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(9.5)
    table.scale(1, 1.45)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor(BAND)
        if row == 0:
            cell.set_text_props(weight="bold")
            cell.set_height(cell.get_height() * 1.5)
        else:
            cell.set_facecolor(colours[row - 1])
        if column == 0:
            cell.set_text_props(ha="left")
    return figure


def fig4(runs: Runs) -> plt.Figure:
    """Figure 4: one digit in each encoding."""
    run = runs["show"][0]
    found = run.arrays()
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.8), width_ratios=[0.7, 1, 1, 1, 1.1])
    axes[0].imshow(found["image"], cmap="gray_r")
    axes[0].set(xticks=[], yticks=[], title="test digit")
    for ax, encoder in zip(axes[1:], ENCODERS, strict=False):
        t, pixel = np.nonzero(found[f"spikes_{encoder}"])
        ax.scatter(t + 1, pixel, s=1.5 if encoder != "rank_order" else 5, linewidths=0,
                   color=ENCODER_COLOUR[encoder])  # fmt: skip
        ax.set(xlabel="step (ms)", title=f"{LABEL[encoder]}: {len(t)} spikes", ylim=(784, 0),
               xlim=(0, len(found["spikes_poisson"]) + 1))  # fmt: skip
        series = run.series(f"spikes_by_step_{encoder}")
        axes[4].plot(np.arange(1, len(series) + 1), np.where(series > 0, series, np.nan),
                     color=ENCODER_COLOUR[encoder], label=LABEL[encoder])  # fmt: skip
    axes[1].set_ylabel("pixel")
    axes[4].set(yscale="log", xlabel="step (ms)", ylabel="spikes per image",
                title="mean over test images")  # fmt: skip
    axes[4].legend(loc="center right", bbox_to_anchor=(1, 0.45))
    return figure


def fig5(runs: Runs) -> plt.Figure:
    """Figure 5: membrane potentials of the four models under the same input."""
    run = runs["show"][0]
    found, s = run.arrays(), run.result["settings"]
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.7), width_ratios=[1.15, 1, 1, 1, 1])
    ax = axes[0]
    t, pixel = np.nonzero(found["input"])
    ax.scatter(t + 1, pixel, s=1.5, linewidths=0, color=INK)
    ax.set(xlabel="step (ms)", ylabel="pixel", title="Poisson input", ylim=(784, 0))
    for ax, neuron in zip(axes[1:], NEURONS, strict=True):
        mem, spk = found[f"mem_{neuron}"], found[f"spk_{neuron}"].astype(bool)
        ms = np.arange(1, len(mem) + 1)
        ax.plot(ms, mem, color=SNN, linewidth=1.1)
        rise = s["theta_plus_mV"] * (np.cumsum(spk) - spk) if neuron == "diehl_cook" else 0
        limit = s["v_thresh_mV"] + np.zeros(len(mem)) + rise
        ax.plot(ms, limit, color=PUBLISHED, linestyle="--", linewidth=0.8)
        ax.vlines(ms[spk], limit[spk], limit[spk] + 3, color=WRONG, linewidth=1.2)
        start = "reset" if neuron == "if" else "rest"
        ax.set(xlabel="step (ms)", title=f"{LABEL[neuron]}: {spk.sum()} spikes",
               ylim=(s["v_rest_mV"] - 2, s["v_thresh_mV"] + 5))  # fmt: skip
        ax.annotate(f"from {start}", (0.98, 0.03), xycoords="axes fraction", ha="right", fontsize=8)
    axes[1].set_ylabel("potential (mV)")
    return figure


def fig6(runs: Runs) -> plt.Figure:
    """Figure 6: the STDP window of each rule."""
    run = runs["show"][0]
    found, s = run.arrays(), run.result["settings"]
    deltas = found["deltas"]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2))
    for rule in RULES:
        for k, w0 in enumerate(s["window_weights"]):
            change = found[f"window_{rule}_{w0:g}"]
            # PostPre and Hebbian have the same side of potentiation: dashes let both be seen.
            style = {"Hebbian": (0, (4, 3))}.get(rule, "-")
            for ax, part in ((axes[0], slice(None)), (axes[1], deltas < 0)):
                ax.plot(deltas[part], change[part], color=RULE_COLOUR[rule], linestyle=style,
                        alpha=1 - 0.55 * k, linewidth=2 - 0.6 * k,
                        label=f"{LABEL[rule]}, w = {w0:g}")  # fmt: skip
    for ax in axes:
        ax.axhline(0, color=INK, linewidth=0.7)
        ax.set_xlabel("output after input (ms)")
    axes[0].axvline(0, color=INK, linewidth=0.7)
    axes[0].set(ylabel="change of the weight", title="one pair of spikes")
    axes[1].set_title("output before input, enlarged")
    axes[1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes[0].legend(loc="upper left")
    return figure


FIGURES = {
    "stdp_tables_accuracy": accuracy,
    "stdp_tables_confusion": confusion,
    "stdp_tables_weights": weights,
    "stdp_tables_activity": activity,
    "stdp_tables_diagnosis": diagnosis,
    "stdp_tables_explain": explain,
    "stdp_tables_search": search,
    "stdp_tables_cost": cost,
    "stdp_tables_fig4": fig4,
    "stdp_tables_fig5": fig5,
    "stdp_tables_fig6": fig6,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
