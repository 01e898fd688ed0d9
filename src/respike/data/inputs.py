"""MNIST and N-MNIST side by side, for the experiments that need both."""

import json
from dataclasses import dataclass
from pathlib import Path

from respike.data import mnist
from respike.data.nmnist import event_table


@dataclass(frozen=True)
class Inputs:
    """The data sets of a run; what was not given is None."""

    mnist: mnist.Mnist | None
    recordings: event_table.EventTable | None
    sha256: dict[str, str]  # name -> SHA-256 of its content
    kind: str  # of the recordings if there are any, else of MNIST


def load(*manifests: str) -> Inputs:
    """Read the data sets of some manifests: MNIST, or an event table, or both.

    Raises
    ------
    DataError, TableError
        A data set is missing or is not what its manifest says.
    """
    images = table = None
    sha256: dict[str, str] = {}
    for path in manifests:
        if _dataset(path) == "mnist":
            images = mnist.load(path)
            sha256 |= images.sha256
        else:
            table = event_table.load(path)
            place = Path(path).parent.name  # two tables of N-MNIST may be in use at once
            sha256 |= {f"{place}/{name}": half.sha256 for name, half in table.splits.items()}
    kind = table.kind if table else images.kind if images else ""
    return Inputs(images, table, sha256, kind)


def _dataset(path: str) -> str:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return "mnist"  # its reader says what is wrong
