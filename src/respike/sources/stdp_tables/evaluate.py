"""Judge a trained network from a file, wherever it was trained: `respike stdp-evaluate`.

The network is frozen. Labels are assigned from its spikes on training images, then both read-outs
answer the test images. Constants are those of stdp-tables-paper.md, from config.yaml, unless given.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from respike.data.mnist import Mnist
from respike.runs import foreign
from respike.sources.stdp_tables import readout
from respike.sources.stdp_tables import train as stdp_train
from respike.sources.stdp_tables.encode import check_encoding
from respike.sources.stdp_tables.model import (
    N_PIXELS,
    Constants,
    State,
    StdpError,
    check,
    check_images,
    check_state,
)
from respike.spiking.encoding import stream_key


def read_weights(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return `w` (784, n) and `theta` (n,), None if absent, of an npz; raise StdpError.

    Never unpickles: object arrays are refused.
    """
    path = Path(path)
    if not path.is_file():
        raise StdpError(f"{path}: no such file; give an .npz with w ({N_PIXELS}, n)")
    try:
        arrays = foreign.read_npz(path)
    except (OSError, foreign.ReadError) as error:
        raise StdpError(
            f"{path}: not a whole .npz of number arrays (nothing is ever unpickled): {error}; "
            "write it again with numpy.savez(file, w=..., theta=...)"
        ) from None
    if "w" not in arrays:
        held = ", ".join(arrays) or "nothing"
        raise StdpError(f"{path}: no array `w` in it (found {held}); save it as w=...")
    return arrays["w"], arrays.get("theta")


def read_state(path: str | Path, c: Constants) -> tuple[Constants, State]:
    """Return the constants with the number of neurons of the file, and its state."""
    w, theta = read_weights(path)
    if w.ndim != 2 or w.shape[0] != N_PIXELS or w.shape[1] < 1:
        raise StdpError(f"{path}: w has shape {w.shape}, allowed: ({N_PIXELS}, n)")
    if c.neuron == "diehl_cook" and theta is None:
        raise StdpError(
            f"{path}: no array `theta`, which diehl_cook needs (n,); save the thresholds' rise, "
            "zeros if none was learned, or choose another --neuron"
        )
    c = Constants(**{**vars(c), "n_neurons": w.shape[1]})
    try:
        return c, check_state(c, w, theta)
    except StdpError as error:
        raise StdpError(f"{path}: {error}") from None


def evaluate(
    c: Constants, state: State, coding, data: Mnist, n_label: int, n_test: int, seed: int = 0
) -> dict:
    """Return accuracies of both read-outs and what the network does, as plain numbers."""
    for name, n, of in (
        ("--label-images", n_label, len(data.train_images)),
        ("--test-images", n_test, len(data.test_images)),
    ):
        if not 1 <= n <= of:
            raise StdpError(f"{name}: found {n}, allowed: 1 to {of}")
    images, labels = check_images(data.train_images[:n_label]), data.train_labels[:n_label]
    key = stream_key(seed, stdp_train.STREAM_LABEL)
    counts = stdp_train.respond(c, state, coding, images, key)
    none = readout.no_labels(c.n_neurons)
    found = readout.assign_labels(counts, labels, none)
    found_0 = readout.assign_labels(counts, labels, none, silent_is_0=True)
    images, labels = check_images(data.test_images[:n_test]), data.test_labels[:n_test]
    key = stream_key(seed, stdp_train.STREAM_TEST)
    counts = stdp_train.respond(c, state, coding, images, key)
    answers = stdp_train.predictions(counts, found, found_0)
    return {
        "encoder": coding.encoder,
        "neuron": c.neuron,
        "n_neurons": c.n_neurons,
        "label_images": n_label,
        "test_images": n_test,
        "seed": seed,
        **{f"accuracy_{name}": float((a == labels).mean()) for name, a in answers.items()},
        "spikes_per_image": float(counts.sum() / n_test),
        "silent_images": float((counts.sum(axis=1) == 0).mean()),
        "neurons_firing": int((counts.sum(axis=0) > 0).sum()),
        "distinct_labels": len(set(found.assigned.tolist()) - {-1}),
    }


def constants(settings: dict, neuron: str, changes: Sequence[str]) -> Constants:
    """Return the constants of a network: the document's, but for the neuron and some changes.

    Parameters
    ----------
    settings
        Of a cell of the document.
    neuron
        One of `model.NEURONS`.
    changes
        Each as `tc_decay_ms=10`.

    Raises
    ------
    StdpError
        A change names no constant that may be changed, or no number, or one out of bounds.
    """
    own = {name: settings[name] for name in Constants.__dataclass_fields__ if name in settings}
    own |= {"neuron": neuron, "rule": "PostPre"}  # without learning the rule has no part
    free = sorted(set(own) - {"neuron", "rule", "n_neurons"})
    for text in changes:
        key, _, value = text.partition("=")
        if key not in free:
            raise StdpError(f"--set {text}: unknown constant {key!r}, allowed: {', '.join(free)}")
        try:
            own[key] = float(value)
        except ValueError:
            raise StdpError(f"--set {text}: {value!r} is not a number") from None
    c = Constants(**own)
    check(c)
    return c


def coding(encoder: str, num_steps: int, intensity: float) -> stdp_train.Coding:
    """Return how images become spikes; raise StdpError on what cannot be."""
    check_encoding(encoder, num_steps, intensity)
    return stdp_train.Coding(encoder, num_steps, intensity)
