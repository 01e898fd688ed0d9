"""Figures of the two searches of the N-MNIST grid document: tables, protocols, effects, subset."""

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
    percent,
    plt,
)
from respike.sources.nmnist_grid.cells import Cell
from respike.sources.nmnist_grid.effects import FACTORS, Row, effect, marginal_means, variance_share
from respike.sources.nmnist_grid.published import TABLES

UNITS = {
    "t_window": "t_window (us)",
    "beta": "beta",
    "n_hidden": "hidden neurons",
    "ratio": "target ratio",
    "batch_size": "batch size",
}


def rows_of(run) -> list[Row]:
    """Return the table of one run as respike.sources.nmnist_grid.effects has it."""
    found = run.arrays()
    columns = zip(*(found[name] for name in Row._fields[1:]), strict=True)
    return [Row(Cell.parse(str(text)), *c) for text, c in zip(found["cells"], columns, strict=True)]


def mean_accuracy(runs, kind: str) -> dict[Cell, float]:
    """Return cell -> mean accuracy over the runs of a table."""
    values: dict[Cell, list[float]] = {}
    for run in runs:
        for row in rows_of(run):
            values.setdefault(row.cell, []).append(getattr(row, kind))
    return {cell: float(np.mean(each)) for cell, each in values.items()}


def heat_map(runs: Runs, name: str, table: int, down: tuple[str, ...]) -> plt.Figure:
    """Show the mean accuracy of every cell; the rows that the document prints are framed."""
    found, published = mean_accuracy(runs[name], "held_out"), TABLES[table]
    across = ("beta", "n_hidden")
    keys = [
        sorted({tuple(getattr(cell, f) for f in factors) for cell in found})
        for factors in (down, across)
    ]
    grid = np.full((len(keys[0]), len(keys[1])), np.nan)
    texts = np.full(grid.shape, "", object)
    framed = []
    for cell, accuracy in found.items():
        at = tuple(
            known.index(tuple(getattr(cell, f) for f in factors))
            for known, factors in zip(keys, (down, across), strict=True)
        )
        grid[at] = accuracy
        texts[at] = f"{100 * accuracy:.2f}"
        if cell in published:
            texts[at] += f"\n({100 * published[cell]:.2f})"
            framed.append(at)
    import seaborn  # takes more than a second: no other figure needs it

    size = (3.2 + 0.85 * len(keys[1]), max(2.8, 1.8 + 0.62 * len(keys[0])))
    figure, ax = plt.subplots(figsize=size)
    seaborn.heatmap(
        100 * grid, annot=texts, fmt="", cmap="cividis", ax=ax, linewidths=0.5,
        annot_kws={"fontsize": 8}, cbar_kws={"label": "accuracy on held-out folds (%)"},
    )  # fmt: skip
    for row, column in framed:
        ax.add_patch(plt.Rectangle((column, row), 1, 1, fill=False, edgecolor=WRONG, linewidth=2))
    ax.set_xticks(np.arange(len(keys[1])) + 0.5, [f"{h}\n{b:g}" for b, h in keys[1]], rotation=0)
    ax.set_yticks(
        np.arange(len(keys[0])) + 0.5, [", ".join(map(str, k)) for k in keys[0]], rotation=0
    )
    said = f"Mean of {len(runs[name])} runs" if len(runs[name]) > 1 else "One run"
    ax.set(
        xlabel="hidden neurons, beta", ylabel=", ".join(UNITS[f] for f in down),
        title=f"{said}; framed: printed, in brackets: published",
    )  # fmt: skip
    return figure


def table_1(runs: Runs) -> plt.Figure:
    """Heat map of the first search."""
    return heat_map(runs, "table_1", 1, ("t_window", "ratio"))


def table_2(runs: Runs) -> plt.Figure:
    """Heat map of the second search."""
    return heat_map(runs, "table_2", 2, ("batch_size",))


FAR = 0.2  # below the median of a panel by more than this: marked at its foot, with the value


def protocols(runs: Runs) -> plt.Figure:
    """Show published rows against ours, by protocol and by the recordings that are judged."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.4))
    handles = {}
    for ax, table in zip(axes, (1, 2), strict=True):
        drawn = []
        for name, colour, said in (
            (f"table_{table}", SNN, "as documented"),
            (f"table_{table}_rows", SNN, "as documented"),
            (f"table_{table}_as_coded", OTHER, "as coded"),
            (f"table_{table}_rows_as_coded", OTHER, "as coded"),
            (f"table_{table}_rows_fresh_adam", GOOD, "as coded, Adam anew in each fold"),
        ):
            for kind, filled in (("held_out", True), ("training", False)):
                ours = mean_accuracy(runs[name], kind)
                both = [cell for cell in TABLES[table] if cell in ours]
                x, y = [TABLES[table][cell] for cell in both], [ours[cell] for cell in both]
                style = {"facecolors": colour if filled else "none", "edgecolors": colour, "s": 36}
                label = f"{said}, {'held out' if filled else 'trained on'}"
                drawn += [(*point, style, label) for point in zip(x, y, strict=True)]
        far = np.median([y for _, y, *_ in drawn]) - FAR if drawn else 0.0
        foot = min((y for _, y, *_ in drawn if y >= far), default=0.0) - 0.005
        notes = []
        for x, y, style, label in drawn:
            if y < far:
                notes.append((x, f"{100 * y:.1f} %"))
            marker = {"marker": "v"} if y < far else {}
            handles.setdefault(label, ax.scatter(x, max(y, foot), **style, **marker))
        for x in {x for x, _ in notes}:
            values = ", ".join(dict.fromkeys(text for at, text in notes if at == x))
            ax.annotate(values, (x, foot), (-8, 0), textcoords="offset points", ha="right",
                        va="center", fontsize=8)  # fmt: skip
        low, high = min(TABLES[table].values()), max(TABLES[table].values())
        (line,) = ax.plot([low, high], [low, high], color=PUBLISHED, linestyle="--")
        handles.setdefault("as published", line)
        ax.set(xlabel="published accuracy", title=f"Table {table}")
        percent(ax)
        percent(ax, "x")
    axes[0].set_ylabel("our accuracy")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4)
    return figure


def effects(runs: Runs) -> plt.Figure:
    """Marginal means of every factor of both tables, on held-out folds and as coded."""
    panels = [
        (name, kind, title)
        for name, kind, title in (
            ("table_1", "held_out", "Table 1, held-out folds"),
            ("table_2", "held_out", "Table 2, held-out folds"),
            ("table_1_as_coded", "training", "Table 1 as coded, recordings trained on"),
        )
        if runs[name]
    ]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.8 * len(panels), 4.6), sharey=True, squeeze=False
    )
    for ax, (name, kind, title) in zip(axes[0], panels, strict=True):
        tables = [rows_of(run) for run in runs[name]]
        position, ticks = 0, []
        for factor in FACTORS:
            each = [marginal_means(table, factor, kind) for table in tables]
            if len(each[0]) < 2:
                continue
            start = position
            means = []
            for value in sorted(each[0], key=str if factor == "ratio" else float):
                points = [
                    100 * (m[value] - np.mean([getattr(row, kind) for row in table]))
                    for m, table in zip(each, tables, strict=True)
                ]
                ax.scatter([position] * len(points), points, color=SNN, s=16, alpha=0.6)
                means.append(np.mean(points))
                ticks.append((position, f"{value}"))
                position += 1
            ax.plot(np.arange(len(means)) + start, means, color=SNN)
            size = 100 * np.mean([effect(table, factor, kind) for table in tables])
            share = 100 * np.mean([variance_share(table, factor, kind) for table in tables])
            ax.text(
                (start + position - 1) / 2, 1.0,
                f"{UNITS[factor]}\nrange {size:.2f}\nvariance {share:.0f} %",
                ha="center", va="bottom", fontsize=8, transform=ax.get_xaxis_transform(),
            )  # fmt: skip
            ax.axvline(position - 0.25, color=BAND, linewidth=0.8)
            position += 0.5
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xticks([at for at, _ in ticks], [text for _, text in ticks], rotation=45)
        ax.set_title(title, pad=42)
    axes[0][0].set_ylabel("marginal mean less mean of all (points)")
    return figure


def subset(runs: Runs) -> plt.Figure:
    """Each cell's accuracy in the search on a subset against the whole search."""
    figure, ax = plt.subplots(figsize=(6.4, 5))
    small = mean_accuracy(runs["table_1_subset"], "held_out")
    whole = mean_accuracy(runs["table_1"], "held_out")
    both = [cell for cell in small if cell in whole]
    n_small = runs["table_1_subset"][0].result["settings"]["n_recordings"]
    n_whole = runs["table_1"][0].result["settings"]["n_recordings"]
    for n, colour in zip(sorted({cell.n_hidden for cell in both}), _shades(), strict=False):
        own = [cell for cell in both if cell.n_hidden == n]
        ax.scatter(
            [small[c] for c in own], [whole[c] for c in own], color=colour, s=34, label=f"H = {n}"
        )
    for source, edge, said in ((small, WRONG, "best of the subset"), (whole, INK, "best of all")):
        cell = max(both, key=source.get)
        ax.scatter(
            small[cell], whole[cell], s=140, facecolors="none", edgecolors=edge, linewidths=1.8,
            label=said,
        )  # fmt: skip
    ax.set(
        xlabel=f"accuracy, search on {n_small:,} recordings",
        ylabel=f"accuracy, search on {n_whole:,} recordings",
    )
    percent(ax)
    percent(ax, "x")
    ax.legend()
    return figure


def _shades() -> list[str]:
    return [SNN_OTHER, GOOD, OTHER, SNN]


FIGURES = {
    "nmnist_grid_table_1": table_1,
    "nmnist_grid_table_2": table_2,
    "nmnist_grid_protocols": protocols,
    "nmnist_grid_effects": effects,
    "nmnist_grid_subset": subset,
}
