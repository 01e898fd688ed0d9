"""Run one experiment of a source for one seed: what the rule of every experiment calls.

A module of an experiment defines `run(settings, data, seed, progress)`, which returns a Result, and
its `Settings`. What else it needs shows in its signature: `device` (cpu or cuda) and `kept`
(`respike.runs.checkpoints.Kept`, finished parts of a long job). Its `load` reads the data sets; one
without it is given MNIST.
"""

import argparse
import importlib
import inspect
import sys

from respike.runs import job, sources


def main() -> int:
    """Run the experiment that --source and --root name; return the exit status."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--source", required=True)
    parser.add_argument("--root", required=True)
    named, _ = parser.parse_known_args()
    try:
        name = sources.module_of(named.source, named.root)
    except (sources.UnknownName, ValueError) as error:
        print(f"{named.source} {named.root}: error: {error}", file=sys.stderr)
        return 1
    module = importlib.import_module(name)
    takes = inspect.signature(module.run).parameters
    return job.main(
        module.run,
        module.Settings,
        uses_device="device" in takes,
        load=getattr(module, "load", None),
        keeps_parts="kept" in takes,
    )


if __name__ == "__main__":
    raise SystemExit(main())
