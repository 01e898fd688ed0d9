"""Tables 4 to 6 in one go, with the time they took: `respike stdp-table`.

The workflow makes the tables cell by cell and keeps records (`stdp_tables` in config.yaml); this
command is for timing and for a GPU, where all rules and seeds of a column advance together.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from respike.data.mnist import Mnist
from respike.runs import files, owned
from respike.sources.stdp_tables import readout
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.model import (
    ENCODERS,
    NEURONS,
    RULES,
    Constants,
    StdpError,
    check_images,
    constants,
)
from respike.spiking.encoding import stream_key

GPU_TEST_BATCH = 2000


def run(
    base: Constants,
    settings: dict,
    data: Mnist,
    seeds: Sequence[int],
    engine: str,
    device: str = "cpu",
    encoders=ENCODERS,
    neurons=NEURONS,
    progress=lambda *_, **__: None,
) -> dict:
    """Return accuracies of every cell and the seconds that training and test took.

    `settings`: num_steps, intensity, batch_size, n_train, n_test, assign_images. `engine` is `fast`
    (one core) or `batched` (torch, on `device`).
    """
    columns, begun = {}, time.perf_counter()
    total = len(encoders) * len(neurons)
    for encoder in encoders:
        coding = stdp_train.Coding(encoder, settings["num_steps"], settings["intensity"])
        for neuron in neurons:
            c, since = replace(base, neuron=neuron), time.perf_counter()
            column = _fast if engine == "fast" else _batched
            cells = column(c, coding, settings, data, seeds, device)
            columns[f"{encoder}_{neuron}"] = cells | {"s": time.perf_counter() - since}
            progress("column", len(columns), total)
    return {
        "engine": engine, "device": device, "seeds": list(seeds), "settings": settings,
        "columns": columns, "total_s": time.perf_counter() - begun,
    }  # fmt: skip


def _scores(counts, labels_0, truth) -> float:
    return float((readout.all_activity(counts, labels_0, silent_is_0=True) == truth).mean())


def _fast(c, coding, settings, data, seeds, _) -> dict[str, list[float]]:
    images = check_images(data.train_images[: settings["n_train"]])
    test, truth = _test_set(data, settings)
    networks, found = [constants(c, rule) for rule in RULES], {rule: [] for rule in RULES}
    for seed in seeds:
        nets = stdp_train.train(
            networks, coding, images, data.train_labels, seed, settings["batch_size"],
            settings["assign_images"],
        )  # fmt: skip
        key = stream_key(seed, stdp_train.STREAM_TEST)
        for own, net in zip(networks, nets, strict=True):
            counts = stdp_train.respond(own, net.state, coding, test, key)
            found[own.rule].append(_scores(counts, net.labels_0, truth))
    return found


def _test_set(data, settings):
    n = settings["n_test"]
    return check_images(data.test_images[:n]), data.test_labels[:n]


def _batched(c, coding, settings, data, seeds, device) -> dict[str, list[float]]:
    import torch

    from respike.sources.stdp_tables import gpu

    n, size = settings["n_train"], settings["batch_size"]
    stdp_train.check_budget(n, size, settings["assign_images"])
    generator = torch.Generator(device).manual_seed(seeds[0])
    orders = np.stack([np.random.default_rng([seed, 1]).permutation(n) for seed in seeds])
    net = gpu.table(c, [c.neuron], RULES, seeds, device)[c.neuron]
    how = (coding.encoder, coding.num_steps, coding.intensity)
    images = torch.from_numpy(check_images(data.train_images[:n])).to(device)
    counts = gpu.train(net, images, torch.from_numpy(orders).to(device), *how, size, generator)
    counts = counts.cpu().numpy()
    test, truth = _test_set(data, settings)
    test = torch.from_numpy(test).to(device)
    answers = []
    for first in range(0, len(test), GPU_TEST_BATCH):
        trains = gpu.encode(test[None, first : first + GPU_TEST_BATCH], *how, generator)
        trains = trains.expand(-1, len(seeds), -1, -1)
        part = gpu.present(net, trains, False, generator=generator)
        answers.append(part.cpu().numpy())
    answers = np.concatenate(answers, axis=1)
    found = {rule: [] for rule in RULES}
    for k, own in enumerate(net.constants):
        order = orders[int(net.group[k])]
        labels = readout.no_labels(own.n_neurons)
        for first, end in stdp_train.intervals(n, settings["assign_images"]):
            labels = readout.assign_labels(
                counts[k, first:end], data.train_labels[order[first:end]], labels, silent_is_0=True
            )
        found[own.rule].append(_scores(answers[k], labels, truth))
    return found


def main(
    settings: dict,
    data: Path,
    n_seeds: int,
    device: str,
    engine: str | None,
    encoders: Sequence[str],
    out: Path | None,
) -> None:
    """Make the tables and write them as JSON into the file `out`, or print them.

    Parameters
    ----------
    settings
        Of a cell of the document: the constants and the budget of all.
    data
        Folder of MNIST.
    n_seeds
        Networks per cell.
    device
        auto, cpu or cuda.
    engine
        fast or batched; by default batched on a GPU, else fast.

    Raises
    ------
    StdpError
        `n_seeds` is below 1, or the budget is none.
    owned.NotOwned
        `out` is there and not ours.
    """
    from respike.data import mnist
    from respike.runs.devices import device_name
    from respike.runs.progress import Progress

    if out:
        owned.check_new(out)
    device = device_name(device)
    names = ("num_steps", "intensity", "batch_size", "n_train", "n_test", "assign_images")
    budget = {name: settings[name] for name in names}
    own = {k: settings[k] for k in Constants.__dataclass_fields__ if k in settings}
    if n_seeds < 1:
        raise StdpError(f"--seeds: found {n_seeds}, allowed is at least 1")
    found = run(
        Constants(**own, rule=RULES[0]), budget, mnist.load(data), range(n_seeds),
        engine or ("batched" if device == "cuda" else "fast"), device, encoders,
        progress=Progress("stdp-table"),
    )  # fmt: skip
    if out:
        files.write_json(out, found)
        print(f"{out}: {found['total_s']:.0f} s", file=sys.stderr)
    else:
        print(json.dumps(found, indent=2))
