"""The N-MNIST recordings in use: python -m respike.data.nmnist.recordings --out FOLDER.

Official ones if they are there, else recordings given by the user, else emulated ones. The manifest
of the table says which, and every result carries it on.
"""

import argparse
import hashlib
import json
import signal
import sys
from pathlib import Path

import numpy as np

from respike.data import mnist
from respike.data.emulator import camera, parameters
from respike.data.nmnist import event_table, official
from respike.data.nmnist.event_table import TableWriter
from respike.runs import command, files, foreign, owned
from respike.runs.devices import device_name, set_threads
from respike.runs.progress import Progress

TEST_SHARE = 5  # a fifth of given recordings is held out if they have no test half


def emulated(out: Path, data: mnist.Mnist, sizes: dict[str, int], seed: int, device: str) -> None:
    """Write a table of emulated recordings of the first images of each half of MNIST."""
    p = parameters.load_parameters()
    halves = {
        "train": (data.train_images, data.train_labels),
        "test": (data.test_images, data.test_labels),
    }
    source = {
        "seed": seed,
        "device": device,
        "parameters_sha256": hashlib.sha256(parameters.PARAMETERS.read_bytes()).hexdigest(),
        "mnist_sha256": data.sha256,
    }
    text = f"Emulated from MNIST images (respike.data.emulator, seed {seed}); no camera took them."
    total, done, progress = sum(sizes.values()), 0, Progress("emulating N-MNIST")
    official.claim_table(out)
    with TableWriter(out, "emulated", text, source) as table:
        for split, n in sizes.items():
            images, labels = (half[:n] for half in halves[split])
            index = np.arange(len(images))
            blocks = camera.emulate_blocks(images, index, seed, p, device)
            for part, events, counts in blocks:
                table.add(split, events, counts, labels[part], index[part])
                progress("recording", done + part.stop, total)
            done += len(images)


def given(out: Path, real: event_table.EventTable, folder: Path) -> None:
    """Write a table of real recordings; without a test half, the last fifth becomes one."""
    official.claim_table(out)
    if out.resolve() == folder.resolve():
        raise owned.NotOwned(f"{out} holds the recordings that are given: name another folder")
    if set(real.splits) == {"train", "test"}:
        # The arrays are shared where the disk can do that: 1.1 GB.
        out.mkdir(parents=True, exist_ok=True)
        owned.remove(out / "manifest.json")
        for split in real.splits:
            for part in event_table.PARTS:
                name = f"{split}_{part}.npy"
                owned.remove(out / name)
                files.link_or_copy(folder / name, out / name)
        manifest = foreign.read_json(folder / "manifest.json")
        files.write_json(out / "manifest.json", manifest)
        return
    (half,) = real.splits.values()
    cut = len(half) - len(half) // TEST_SHARE
    text = f"{real.description} The last {len(half) - cut} serve as test recordings."
    with TableWriter(out, real.kind, text, real.source) as table:
        for split, chosen in (("train", np.arange(cut)), ("test", np.arange(cut, len(half)))):
            events, offsets = half.take(chosen)
            table.add(split, events, np.diff(offsets), half.labels[chosen], half.index[chosen])


@command.ends("nmnist")
def main(arguments: list[str] | None = None) -> None:
    """Write the table; return 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m respike.data.nmnist.recordings", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument("--out", required=True, type=foreign.path, help="folder for the table")
    parser.add_argument("--mnist", required=True, help="manifest.json of MNIST")
    parser.add_argument("--given", default="", help="table of real recordings; empty: none")
    parser.add_argument(
        "--numbers", type=json.loads, default=[60_000, 10_000], metavar="[TRAIN, TEST]",
        help="recordings to emulate; default: all",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the emulator")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args(arguments)
    real = None
    if options.given and not event_table.is_unreachable(options.given):
        real = event_table.load(options.given)
    if real:
        given(options.out, real, Path(options.given).parent)
        print(f"recordings in use: {real.description}")
    else:
        device = device_name(options.device)
        data = mnist.load(options.mnist)
        set_threads(options.threads)
        sizes = dict(zip(("train", "test"), options.numbers, strict=True))
        emulated(options.out, data, sizes, options.seed, device)
        print(f"recordings in use: emulated on {device}")


if __name__ == "__main__":
    # Snakemake ends a job with SIGTERM: leave through the clean-up of temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main())
