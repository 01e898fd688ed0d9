"""Commands on STDP networks: stdp-evaluate, stdp-table.

Nothing heavy is imported here: every call of `respike` loads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from respike.commands.parsing import add, add_device, load_config
from respike.runs.surroundings import given

CELL = "poisson_diehl_cook"  # whose settings are those of every network of the document
ENCODERS = ("poisson", "bernoulli", "rank_order")
NEURONS = ("if", "lif", "srm0", "diehl_cook")


def add_to(commands) -> None:
    """Add the commands to the parser's."""
    one = add(commands, "stdp-evaluate", _evaluate, "judge an STDP network trained anywhere")
    one.add_argument(
        "--weights",
        required=True,
        type=given,
        metavar="FILE.npz",
        help="w (784, n) and, for diehl_cook, theta (n,)",
    )
    one.add_argument("--encoder", required=True, choices=ENCODERS)
    one.add_argument("--neuron", required=True, choices=NEURONS)
    one.add_argument("--label-images", type=int, default=6400, help="training images; default 6400")
    one.add_argument("--test-images", type=int, default=10000, help="default 10000")
    one.add_argument("--num-steps", type=int, default=100, help="ms of a presentation; default 100")
    one.add_argument("--intensity", type=float, default=128.0, help="Hz of a white pixel; 128")
    one.add_argument("--seed", type=int, default=0, help="of the input spikes; default 0")
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another constant of the network, as tc_decay_ms=10; may be repeated",
    )
    one.add_argument("--data", type=given, default=Path("data/mnist"), help="default data/mnist")
    one = add(commands, "stdp-table", _table, "make the STDP tables in one go, and time them")
    one.add_argument("--seeds", type=int, default=1, help="networks per cell; default 1")
    add_device(one)
    one.add_argument(
        "--engine", choices=("fast", "batched"), help="default: batched on a GPU, else fast"
    )
    one.add_argument(
        "--encoders", nargs="+", choices=ENCODERS, default=ENCODERS, help="default: all three"
    )
    for name in ("n-train", "n-test", "assign-images"):
        one.add_argument(f"--{name}", type=int, help="default: the document's")
    one.add_argument("--out", type=given, metavar="FILE.json", help="default: print")
    one.add_argument("--data", type=given, default=Path("data/mnist"), help="default data/mnist")


def _settings(scale: str | None = None) -> dict:
    from respike.workflow import dag

    return dag.experiment(load_config(scale), "stdp_tables", CELL).settings


def _evaluate(options: argparse.Namespace) -> None:
    import json

    from respike.data import mnist
    from respike.sources.stdp_tables import evaluate

    c = evaluate.constants(_settings(), options.neuron, options.set)
    coding = evaluate.coding(options.encoder, options.num_steps, options.intensity)
    c, state = evaluate.read_state(options.weights, c)
    found = evaluate.evaluate(
        c, state, coding, mnist.load(options.data), options.label_images, options.test_images,
        options.seed,
    )  # fmt: skip
    print(json.dumps(found, indent=2))


def _table(options: argparse.Namespace) -> None:
    from respike.sources.stdp_tables import all_networks

    budget = {
        name: value
        for name in ("n_train", "n_test", "assign_images")
        if (value := getattr(options, name)) is not None
    }
    all_networks.main(
        _settings("paper") | budget, options.data, options.seeds, options.device, options.engine,
        options.encoders, options.out,
    )  # fmt: skip
