"""Commands on data sets: fetch, emulate-nmnist."""

from __future__ import annotations

import argparse

from respike.commands.parsing import add, add_device, load_config
from respike.runs.surroundings import given


def add_to(commands) -> None:
    """Add the commands to the parser's."""
    one = add(commands, "fetch", _fetch, "download and verify a data set")
    one.add_argument("dataset", help="name in workflow/datasets.yaml, as mnist")
    one = add(
        commands, "emulate-nmnist", _emulate,
        "write emulated N-MNIST recordings in the official layout",
    )  # fmt: skip
    one.add_argument(
        "--images", required=True, type=given, help="IDX file, as train-images-idx3-ubyte[.gz]"
    )
    one.add_argument(
        "--labels", required=True, type=given, help="IDX file, as train-labels-idx1-ubyte[.gz]"
    )
    one.add_argument(
        "--indices", default=":", metavar="FIRST:END", help="which images, from 0; default: all"
    )
    one.add_argument(
        "--seed", type=int, default=0, help="with the index it fixes all chance; default 0"
    )
    one.add_argument(
        "--split", choices=("train", "test"), default="train", help="folder Train or Test"
    )
    add_device(one)
    one.add_argument(
        "--out",
        required=True,
        type=given,
        metavar="DIR",
        help="files go to DIR/NMNIST/Train/<digit>/<index + 1, five digits>.bin",
    )


def _fetch(options: argparse.Namespace) -> int:
    from respike.data import fetch

    data = load_config()["data"]
    folder = data.get(f"{options.dataset}_folder")
    return fetch.main(
        [options.dataset, "--out", f"{data['folder']}/{options.dataset}", "--local", folder or ""]
    )


def _emulate(options: argparse.Namespace) -> None:
    from respike.commands import emulate

    emulate.run(
        options.images, options.labels, options.out, options.indices, options.seed, options.split,
        options.device,
    )  # fmt: skip
