"""Figures of the cross-document chapter: all trained networks, a point each, by learning rule."""

import argparse
import io
import json
import math
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from respike.figures.draw import ANN, GOOD, INK, OTHER, SNN, SNN_OTHER, percent, theme
from respike.runs import command, files, owned

SPIKING = (SNN, SNN_OTHER, GOOD, OTHER, INK)  # colours; shapes go round another number of them
SHAPES = ("o", "^", "v", "D", "<", ">", "p")
ANN_SHAPES = ("s", "P", "X", "*")  # all of one colour
NAMED = 7  # of the networks that no other beats in both directions, so many get their name


def looks(groups: list[dict]) -> dict[str, tuple[str, str]]:
    """Return learning rule -> colour and marker of all rules that occur, in the legend's order.

    Rules of networks without spikes come first and share a colour; the rest follow by name.
    """
    spiking: dict[str, bool] = {}
    for group in groups:
        for row in group["networks"]:
            spiking[row["rule"]] = spiking.get(row["rule"], False) or row["spikes"] is not None
    names = sorted(spiking, key=lambda rule: (spiking[rule], rule.casefold(), rule))
    shapes = {False: cycle(ANN_SHAPES), True: cycle(SHAPES)}
    colours = {False: cycle([ANN]), True: cycle(SPIKING)}
    return {rule: (next(colours[spiking[rule]]), next(shapes[spiking[rule]])) for rule in names}


def undominated(x, y) -> list[int]:
    """Return the indices of the points that no other point beats (less x, more y), x rising."""
    front: list[int] = []
    for k in sorted(range(len(x)), key=lambda k: (x[k], -y[k])):
        if not front or y[k] > y[front[-1]]:
            front.append(k)
    return front


def scatter(groups: list[dict], cost: Callable[[dict], float], label: str) -> plt.Figure:
    """Return accuracy against a cost, one panel per data set, bars: 95 % intervals."""
    figure, axes = plt.subplots(1, len(groups), figsize=(7.2 + 4.3 * (len(groups) - 1), 5.2),
                                squeeze=False)  # fmt: skip
    known, drawn = looks(groups), {}
    for ax, group in zip(axes[0], groups, strict=True):
        rows = group["networks"]
        x, y = [cost(row) for row in rows], [row["accuracy"] for row in rows]
        front = undominated(x, y)
        ax.step([x[k] for k in front], [y[k] for k in front], where="post", color=INK,
                linewidth=0.8, linestyle=":", zorder=1)  # fmt: skip
        for k, row in enumerate(rows):
            colour, marker = known[row["rule"]]
            low, high = max(row["low"], 0), min(row["high"], 1)
            ax.plot([x[k], x[k]], [low, high], color=colour, linewidth=1, alpha=0.6, zorder=2)
            drawn[row["rule"]] = ax.scatter(
                x[k], y[k], color=colour, marker=marker, s=34, zorder=3, edgecolor="white",
                linewidth=0.6,
            )  # fmt: skip
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
        ax.xaxis.set_minor_formatter(NullFormatter())
        middle = math.sqrt(min(x) * max(x))
        floor = min(y)
        ax.set_ylim(max(0, floor - 0.06), 1.005)
        ax.set(xlabel=label, title=f"{group['title']}, {group['n_test']:,} test images")
        percent(ax)
        for k in front[-NAMED:]:
            left = x[k] < middle  # names stay inside the panel
            ax.annotate(rows[k]["id"], (x[k], y[k]), xytext=(6 if left else -6, 5),
                        textcoords="offset points", ha="left" if left else "right", fontsize=7.5,
                        color=INK)  # fmt: skip
    axes[0][0].set_ylabel("test accuracy")
    figure.legend([drawn[rule] for rule in known], list(known), loc="outside lower center", ncols=2)
    return figure


def operations(groups: list[dict]) -> plt.Figure:
    """Accuracy against the operations of one image: accumulates of an SNN, MACs of an ANN."""

    def cost(row: dict) -> float:
        spiking = row["synaptic_operations"] is not None
        return max(row["synaptic_operations"] if spiking else row["macs"], 1)

    return scatter(groups, cost, "synaptic operations per image (ANN: multiply-accumulates)")


def training_time(groups: list[dict]) -> plt.Figure:
    """Accuracy against the time of training."""
    return scatter(groups, lambda row: max(row["train_s"], 1e-2), "training time (s)")


FIGURES = {"networks_operations": operations, "networks_time": training_time}


def blank() -> plt.Figure:
    """Return what is drawn where no run declares a network."""
    figure, ax = plt.subplots(figsize=(6, 2))
    ax.axis("off")
    ax.text(0.5, 0.5, "no trained network at this scale", ha="center", color=INK)
    return figure


@command.ends("figure")
def main(argv: list[str] | None = None) -> int:
    """Draw one figure from networks.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", required=True, choices=sorted(FIGURES))
    parser.add_argument("--networks", required=True, type=Path, help="networks.json")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args(argv)
    owned.check_new(args.out)
    theme()
    groups = json.loads(args.networks.read_text(encoding="utf-8"))
    figure = FIGURES[args.figure](groups) if groups else blank()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    files.write_bytes(args.out, picture.getvalue())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
