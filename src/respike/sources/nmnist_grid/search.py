"""Some cells of a hyper-parameter search on N-MNIST, trained one after the other.

Source: nmnist-grid-paper.md, section 3.7. Protocols, deviations and choices:
claims.yaml. Network: respike.sources.nmnist_grid.cpu.

as_documented: run (seed) k trains fold k mod n_folds of split k div n_folds, and so five runs of
five folds are one cross-validation. With `keep_optimiser` (the authors' script) folds depend on
one another: run k trains all folds of split k in turn, and its numbers are means over them.
Each finished (cell, fold) is kept on disk at once, and a killed job goes on after it.
"""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import torch

from respike.data.inputs import Inputs, load
from respike.runs.result import Result
from respike.sources.nmnist_grid.cells import Cell
from respike.sources.nmnist_grid.cpu import frames_of
from respike.sources.nmnist_grid.settings import Search as Settings
from respike.sources.nmnist_grid.training import Training, accuracy, folds, train

__all__ = ["Settings", "load", "run"]


def run(settings: Settings, data: Inputs, seed: int, progress, device: str, kept) -> Result:
    """Train every cell on its fold or folds; report accuracy held out, on training and on test."""
    s = settings
    cells = [Cell.parse(text) for text in s.cells]
    windows = {s.cached_t_window or cell.t_window for cell in cells}
    if len(windows) != 1:
        raise ValueError(f"cells: t_window {sorted(windows)} in one job, must be one")
    held, half = data.recordings.splits["train"], data.recordings.splits["test"]
    n, n_test = min(s.n_recordings, len(held)), min(s.n_test, len(half))
    if n < s.n_recordings or n_test < s.n_test:
        raise ValueError(
            f"n_recordings {s.n_recordings}, n_test {s.n_test}: the table holds {len(held)} and "
            f"{len(half)}; lower them, or raise data.nmnist_recordings in config.yaml"
        )
    own = range(s.n_folds) if s.keep_optimiser else [seed % s.n_folds]
    split = seed if s.keep_optimiser else seed // s.n_folds
    common = {key: value for key, value in asdict(s).items() if key != "cells"}
    names = {
        (cell, fold): json.dumps([str(cell), split, fold, common]) for cell in cells for fold in own
    }
    done = {key: found for key, name in names.items() if (found := kept.get(name)) is not None}
    metrics, series = {}, {}
    if len(done) < len(names):
        (t_window,) = windows
        args = (t_window, s.filter_time, s.whole)
        train_set = (frames_of(held, np.arange(n), *args, progress), held.labels[:n].astype(int))
        test_set = (frames_of(half, np.arange(n_test), *args), half.labels[:n_test].astype(int))
        parts = folds(n, s.n_folds, split)
    for team in _teams(cells, device):
        for fold in own:
            # A team is trained together, so it is done together: what one lacks, all lack.
            if not all((cell, fold) in done for cell in team):
                state = None
                if s.keep_optimiser and fold > 0:
                    state = _state(kept, team, split, common, fold - 1)
                say = _Cells(progress, len(done), len(names), team)
                found, optimiser = _fold(
                    s, team, fold, split, train_set, test_set, parts, state, device, say
                )
                if s.keep_optimiser:
                    _keep_state(kept, team, split, common, fold, optimiser)
                for cell, numbers in zip(team, found, strict=True):
                    kept.put(names[cell, fold], numbers)
                    done[cell, fold] = numbers
            progress("cell", len(done), len(names), held_out=done[team[-1], fold]["held_out"][-1])
    for cell in cells:
        results = [done[cell, fold] for fold in own]
        for kind in ("held_out", "training", "test"):
            curve = np.mean([found[kind] for found in results], axis=0)
            metrics[f"{kind} {cell}"] = curve[-1]
            if kind == "held_out":
                series[f"{kind} {cell}"] = curve
        metrics[f"train_s_per_epoch {cell}"] = np.mean([f["train_s_per_epoch"] for f in results])
    return Result(metrics=metrics, series=series)


def _teams(cells: list[Cell], device: str) -> list[list[Cell]]:
    """Return the cells that train together: on a GPU those of one batch size, else each alone."""
    if device != "cuda":
        return [[cell] for cell in cells]
    return [
        [cell for cell in cells if cell.batch_size == size]
        for size in dict.fromkeys(cell.batch_size for cell in cells)
    ]


class _Cells:
    """Progress in cells while one of them trains."""

    def __init__(self, progress, done: int, total: int, team: list[Cell]):
        self.progress, self.done, self.total, self.team = progress, done, total, team

    def __call__(self, unit, k, n, **numbers):
        said = {key: numbers[key] for key in ("held_out", "loss") if key in numbers}
        at = round(self.done + len(self.team) * min(k / n, 0.99), 2)
        self.progress("cell", at, self.total, **said)


def _fold(s, team, fold, split, train_set, test_set, parts, state, device, progress) -> tuple:
    """Train a team on one fold; return the numbers of each cell, and the optimiser."""
    frames, labels = train_set
    held_out = parts[fold]
    index = np.setdiff1d(np.arange(len(labels)), held_out)
    trainings = [
        Training(cell.n_hidden, cell.beta, _rates(s, cell), cell.batch_size, s.epochs, s.lr, s.l2)
        for cell in team
    ]
    weights = [
        int.from_bytes(hashlib.sha256(f"{cell} {split} {fold}".encode()).digest()[:4])
        for cell in team
    ]
    order = 1000 * split + fold  # the same for all cells
    follow = {"held_out": (frames, labels, held_out)}
    every_test = np.arange(len(test_set[1]))
    if device == "cuda":
        from respike.sources.nmnist_grid import gpu

        net, optimiser, curves = gpu.train_side_by_side(
            frames, labels, index, trainings, weights, order, follow, device, state, progress
        )
        for name, own, which in (("training", train_set, index), ("test", test_set, every_test)):
            counts, _ = gpu.output_counts(net, gpu.DeviceFrames(own[0], device), which)
            for one, found in zip(curves, counts, strict=True):
                one[name] = [float((found.argmax(axis=1) == own[1][which]).mean())]
        return curves, optimiser
    trained = train(frames, labels, index, trainings[0], weights[0], order, follow, state, progress)
    return [
        {
            **trained.curves,
            "training": [accuracy(trained.net, frames, labels, index)],
            "test": [accuracy(trained.net, *test_set, every_test)],
            "train_s_per_epoch": trained.cpu_s_per_epoch,
        }
    ], trained.optimiser


def _rates(s: Settings, cell: Cell) -> tuple[float, float]:
    return (0.8, 0.0) if s.first_ratio_typo and cell.ratio == "0.8/0.2" else cell.rates()


def _state_name(team, split, common, fold) -> str:
    return json.dumps(["state", [str(cell) for cell in team], split, fold, common])


def _keep_state(kept, team, split, common, fold, optimiser) -> None:
    """Keep Adam's moments after a fold, for the next one."""
    arrays = {
        f"{number}_{key}": value.cpu().numpy()
        for number, held in optimiser.state_dict()["state"].items()
        for key, value in held.items()
    }
    kept.put_arrays(_state_name(team, split, common, fold), arrays)
    if fold > 0:
        kept.drop_arrays(_state_name(team, split, common, fold - 1))


def _state(kept, team, split, common, fold) -> dict[int, dict]:
    """Return Adam's moments after a fold; raise ValueError if they were not kept."""
    arrays = kept.get_arrays(_state_name(team, split, common, fold))
    if arrays is None:
        raise ValueError(
            f"{team[0]}: Adam's moments after fold {fold} are gone from {kept.folder}; remove that "
            "folder to train the cell anew"
        )
    state: dict[int, dict] = {}
    for name, value in arrays.items():
        number, key = name.split("_", 1)
        state.setdefault(int(number), {})[key] = torch.from_numpy(value)
    return state
