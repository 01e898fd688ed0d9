"""How a command gets into the parser of `respike`, and the configuration that it works on.

Nothing heavy is imported here: every call of `respike` loads it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

SCALES = ("smoke", "default", "paper")
DEVICES = ("auto", "cpu", "cuda")


def add(
    commands, name: str, run: Callable | None, text: str, scaled: bool = False
) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Parameters
    ----------
    commands
        What `argparse.ArgumentParser.add_subparsers` returned.
    run
        Takes the parsed options and returns the exit status; None counts as 0.
    text
        What the command does, for the list of commands and for its own help.
    scaled
        Give it the option `--scale`, None where it is not given.
    """
    added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    added.set_defaults(run=run)
    if scaled:
        added.add_argument("--scale", choices=SCALES, help="instead of the one in config.yaml")
    return added


def add_device(parser: argparse.ArgumentParser) -> None:
    """Give a command the option `--device`."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto (default) takes a GPU if there is one",
    )


def load_config(scale: str | None = None) -> dict:
    """Return the configuration of this folder at a scale, by default the one that it names."""
    from respike.workflow import config

    return config.load("config.yaml", {"scale": scale} if scale else None)
