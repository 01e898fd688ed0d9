"""Figures of the document, each a function of finished results; claims.yaml lists them."""

import matplotlib.pyplot as plt

from respike.figures.draw import PUBLISHED, SNN, Runs, curves, main, percent


def accuracy(runs: Runs) -> plt.Figure:
    """Draw how the accuracy grows with the time steps; `runs` are those that claims.yaml names."""
    figure, ax = plt.subplots(figsize=(8, 4.4))
    curves(ax, runs["train"], "step", "test_accuracy", SNN, "ten neurons")
    ax.axhline(0.1, color=PUBLISHED, linestyle="--", linewidth=0.8, label="chance")
    ax.set(xlabel="time steps", ylabel="test accuracy", ylim=(0, 1))
    percent(ax)
    ax.legend(loc="lower right")
    return figure


FIGURES = {
    "NEW_SOURCE_accuracy": accuracy,
}

if __name__ == "__main__":
    raise SystemExit(main(FIGURES))
