"""What all figures share: one visual language, reading of results, writing of the picture."""

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from respike.runs import command, files, owned, surroundings

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen

# Okabe and Ito's palette, told apart with every common kind of colour blindness. The same colour
# means the same thing in every figure.
SNN = "#0072B2"
SNN_OTHER = "#56B4E9"  # a second spiking network beside the main one
ANN = "#E69F00"
WRONG = "#D55E00"
GOOD = "#009E73"
OTHER = "#CC79A7"
PUBLISHED = "#000000"  # published values: black diamonds, dashed lines, grey bands
INK = "#333333"
BAND = "#BBBBBB"


TICKS = {"major.width": 1.25, "major.size": 6, "minor.width": 1, "minor.size": 4, "labelsize": 9}
# On top of seaborn's "ticks", which matplotlib brings: importing seaborn takes more than a second.
STYLE = {
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "legend.title_fontsize": 12,
    "axes.linewidth": 1.25,
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    **{f"{axis}tick.{key}": value for axis in "xy" for key, value in TICKS.items()},
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same on every machine
}


def theme() -> None:
    """Set the look of all figures, from matplotlib's defaults; nothing of the user's counts."""
    matplotlib.rcdefaults()
    styles = Path(matplotlib.get_data_path(), "stylelib")  # a user's style may have the same name
    plt.style.use([styles / "seaborn-v0_8-ticks.mplstyle", STYLE])


@dataclass(frozen=True)
class Run:
    """One result: the content of metrics.json and the file with its arrays."""

    result: dict
    folder: Path

    def __getitem__(self, metric: str) -> float:
        """Return a metric; NaN where it is null."""
        value = self.result["metrics"][metric]
        return float("nan") if value is None else value

    def series(self, name: str) -> np.ndarray:
        """Return a curve, float64 (points,)."""
        return np.array(self.result["series"][name], float)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays beside the metrics."""
        with np.load(self.folder / "arrays.npz") as archive:
            return {name: archive[name] for name in archive.files}


class Runs:
    """The runs that a figure is drawn from, by experiment, seeds in order."""

    def __init__(self, paths: list[Path], published: dict[str, dict]):
        self.published = published  # claim id -> what the ledger says was published
        self.by_experiment: dict[str, list[Run]] = {}
        for path in paths:
            run = Run(json.loads(path.read_text(encoding="utf-8")), path.parent)
            self.by_experiment.setdefault(run.result["experiment"], []).append(run)
        for runs in self.by_experiment.values():
            runs.sort(key=lambda run: run.result["seed"])

    def __getitem__(self, experiment: str) -> list[Run]:
        return self.by_experiment.get(experiment, [])

    def starting(self, prefix: str) -> dict[str, list[Run]]:
        """Return the experiments whose name starts with `prefix`."""
        return {name: runs for name, runs in self.by_experiment.items() if name.startswith(prefix)}

    def values(self, experiment: str, metric: str) -> np.ndarray:
        """Return a metric over the seeds, float64 (n,)."""
        return np.array([run[metric] for run in self[experiment]])


def curves(ax, runs: list[Run], x, y: str, colour: str, label: str, **style) -> None:
    """Draw one thin line per seed and their mean; `x` names a series or is a function of a run."""
    if not runs:
        return
    points = [run.series(x) if isinstance(x, str) else x(run) for run in runs]
    lines = [run.series(y) for run in runs]
    for one, line in zip(points, lines, strict=True):
        ax.plot(one, line, color=colour, alpha=0.35, linewidth=0.8)
    mean = np.mean(lines, axis=0)
    n = f"{len(runs)} seeds" if len(runs) > 1 else "1 seed"
    ax.plot(points[0], mean, color=colour, label=f"{label} ({n})", **style)


def dots(ax, position: float, values, colour: str, horizontal: bool = False) -> None:
    """Draw the values of the seeds as dots and their mean as a bar, at one position."""
    values = np.asarray(values, float)
    at = np.full(len(values), float(position))
    half = 0.22
    if horizontal:
        ax.scatter(values, at, color=colour, s=18, alpha=0.6, zorder=3, linewidths=0)
        ax.plot(
            [values.mean()] * 2, [position - half, position + half], color=colour, linewidth=2.5
        )
    else:
        ax.scatter(at, values, color=colour, s=18, alpha=0.6, zorder=3, linewidths=0)
        ax.plot(
            [position - half, position + half], [values.mean()] * 2, color=colour, linewidth=2.5
        )


def alternatives(rows: list[tuple[str, np.ndarray]], base: np.ndarray, label: str) -> plt.Figure:
    """Return a dot plot of alternatives (label, values of the seeds) against a band of values."""
    figure, ax = plt.subplots(figsize=(8, 1.6 + 0.32 * max(1, len(rows))))
    ax.axvspan(base.min(), base.max(), color=BAND, alpha=0.5, linewidth=0)
    ax.axvline(base.mean(), color=SNN, linewidth=1.2)
    for k, (_, values) in enumerate(rows):
        dots(ax, k, values, SNN, horizontal=True)
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    ax.invert_yaxis()
    ax.set(xlabel=label, title="line and band: our choices")
    percent(ax, "x")
    return figure


def percent(ax, axis: str = "y") -> None:
    """Show the fractions on an axis in per cent."""
    side = ax.yaxis if axis == "y" else ax.xaxis
    side.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=None, symbol=" %"))


@command.ends("figure")
def main(figures: dict[str, Callable[[Runs], plt.Figure]]) -> int:
    """Draw one figure from the command line: --figure ID --runs metrics.json ... --out FILE."""
    surroundings.prepare()
    parser = argparse.ArgumentParser(description="Draw one figure from finished results.")
    parser.add_argument("--figure", required=True, choices=sorted(figures))
    parser.add_argument("--runs", required=True, nargs="+", type=Path, help="metrics.json files")
    parser.add_argument("--published", default="{}", help="published values by claim, as JSON")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    owned.check_new(args.out)
    theme()
    runs = Runs([p for p in args.runs if p.name == "metrics.json"], json.loads(args.published))
    figure = figures[args.figure](runs)
    picture = io.BytesIO()
    # No software version or date in the file: equal figures are equal bytes.
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    files.write_bytes(args.out, picture.getvalue())
    return 0
