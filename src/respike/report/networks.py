"""Every trained network side by side on the same test images: table, pairs, for all documents.

Networks are found by what their runs declare (`respike.runs.result.Network`), not by name. Those
with the same labels in the same order are compared; of a data set only the largest test set is
shown. Accuracy follows from the predictions that each run keeps.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from respike.report import evidence
from respike.runs import provenance
from respike.spiking.energy import ADD_PJ, MAC_PJ

BYTES = 4  # of a parameter and of a number of the state: 32-bit floating point
LEVEL = 0.05
MEANS = ("spikes", "synaptic_operations", "train_s")  # differ between seeds; the rest does not
COLUMNS = (
    "id name rule data_set data protocol n_test seeds accuracy low high interval n_neurons "
    "n_parameters memory_bytes num_steps spikes synaptic_operations state_updates macs energy_nj "
    "energy_ann_nj n_train presentations train_s device remarks"
).split()
PAIR_COLUMNS = (
    "a b seed n_test only_a_right only_b_right difference p p_holm seeds_difference seeds_half"
).split()

Arrays = Callable[[str], Mapping[str, np.ndarray]]  # path of a result -> its arrays


def compare(runs: dict[str, dict], arrays: Arrays) -> list[dict]:
    """Return one group per data set: the networks that were tested on the same images.

    Parameters
    ----------
    runs
        Results by path; those without a declared network are passed over.
    arrays
        Gives the arrays `predictions` and `labels` of a result, uint8 (n_test,).

    Returns
    -------
    Groups with `data_set`, its `title`, `n_test`, `networks` (best first), `pairs` (every pair
    once) and `left_out`, the number of networks with another test set.
    """
    found: dict[str, dict[str, dict]] = {}  # data set -> id -> what is known of a network
    for path, run in sorted(runs.items(), key=lambda item: item[1]["seed"]):
        if "network" not in run:
            continue
        kept = arrays(path)
        labels, right = kept["labels"], kept["predictions"] == kept["labels"]
        # Equal labels of other recordings are other images.
        test_set = hashlib.sha256(labels.tobytes() + run["data_kind"].encode()).hexdigest()
        name = f"{run['source']}.{run['experiment']}"
        group = found.setdefault(run["network"]["data_set"], {})
        one = group.setdefault(name, {"n_test": len(labels), "test_set": test_set, "runs": {}})
        if one["test_set"] == test_set:
            one["runs"][run["seed"]] = (path, run, right)
    groups = []
    for data_set, networks in sorted(found.items()):
        usual = Counter((one["n_test"], one["test_set"]) for one in networks.values())
        # Of several test sets the largest; of equally large ones the usual.
        chosen = max(usual, key=lambda size: (size[0], usual[size], size[1]))[1]
        kept = {n: one for n, one in networks.items() if one["test_set"] == chosen}
        rows = sorted(
            (_row(name, one) for name, one in kept.items()),
            key=lambda row: (-row["accuracy"], row["id"]),
        )
        groups.append(
            {
                "data_set": data_set,
                "title": data_set.upper(),  # as MNIST: names of data sets are abbreviations
                "n_test": rows[0]["n_test"],
                "networks": rows,
                "pairs": _pairs([kept[row["id"]]["runs"] for row in rows]),
                "left_out": len(networks) - len(kept),
            }
        )
    return groups


def _row(name: str, one: dict) -> dict:
    """Return one line of the table, means over the seeds."""
    runs = [run for _, run, _ in one["runs"].values()]
    right = [right for _, _, right in one["runs"].values()]
    accuracies = [float(r.mean()) for r in right]
    accuracy = float(np.mean(accuracies))
    if len(accuracies) > 1:
        _, half = evidence.t_interval(accuracies)
        low, high, interval = accuracy - half, accuracy + half, "t, seeds"
    else:
        low, high = evidence.wilson(int(right[0].sum()), len(right[0]))
        interval = "Wilson, one run"
    network = dict(runs[0]["network"])
    for key in MEANS:
        values = [run["network"][key] for run in runs]
        network[key] = None if None in values else float(np.mean(values))
    updates = network["num_steps"] * network["n_state"]
    spiking = network["synaptic_operations"] is not None
    energy_ann = network["macs"] * MAC_PJ / 1000
    return {
        **network,
        "id": name,
        "source": runs[0]["source"],
        "experiment": runs[0]["experiment"],
        "protocol": runs[0]["protocol"],
        "n_test": one["n_test"],
        "seeds": list(one["runs"]),
        "accuracies": accuracies,
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "interval": interval,
        "memory_bytes": BYTES * (network["n_parameters"] + network["n_state"]),
        "state_updates": updates if spiking else None,
        "energy_nj": (network["synaptic_operations"] * ADD_PJ + updates * MAC_PJ) / 1000
        if spiking
        else energy_ann,
        "energy_ann_nj": energy_ann,
        "device": ", ".join(sorted({run["device"] for run in runs})),
        "remarks": provenance.remarks_of(runs),
        "data": ", ".join(sorted({run["data_kind"] for run in runs})),
        "files": [path for path, _, _ in one["runs"].values()],
    }


def _pairs(networks: list[dict[int, tuple]]) -> list[dict]:
    """Return every pair (a before b in the table): two runs, and the means over seeds.

    The runs are those of the lowest seed that both have, or of each one's lowest: never the best.
    """
    pairs = []
    for b in range(len(networks)):
        for a in range(b):
            common = sorted(networks[a].keys() & networks[b].keys())
            seeds = (common[0],) * 2 if common else (min(networks[a]), min(networks[b]))
            right_a, right_b = networks[a][seeds[0]][2], networks[b][seeds[1]][2]
            means = [[r.mean() for _, _, r in networks[k].values()] for k in (a, b)]
            over_seeds = evidence.welch(*means) if min(map(len, means)) > 1 else (None, None)
            pairs.append(
                {
                    "a": a,
                    "b": b,
                    "seed": seeds[0],
                    "only_a": int((right_a & ~right_b).sum()),
                    "only_b": int((right_b & ~right_a).sum()),
                    "seeds_difference": over_seeds[0],
                    "seeds_half": over_seeds[1],
                }
            )
    p = evidence.mcnemar([x["only_a"] for x in pairs], [x["only_b"] for x in pairs])
    for pair, raw, corrected in zip(pairs, p, evidence.holm(p), strict=True):
        pair["p"], pair["p_holm"] = float(raw), float(corrected)
    return pairs


def table(groups: list[dict]) -> str:
    """Return one line per network as CSV, numbers in base units."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for group in groups:
        for row in group["networks"]:
            texts = {
                "seeds": " ".join(map(str, row["seeds"])),
                "remarks": "; ".join(row["remarks"]),
            }
            writer.writerow(row | texts)
    return stream.getvalue()


def pair_table(groups: list[dict]) -> str:
    """Return one line per pair of networks as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, PAIR_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for group in groups:
        names = [row["id"] for row in group["networks"]]
        for pair in group["pairs"]:
            writer.writerow(
                pair
                | {
                    "a": names[pair["a"]],
                    "b": names[pair["b"]],
                    "n_test": group["n_test"],
                    "only_a_right": pair["only_a"],
                    "only_b_right": pair["only_b"],
                    "difference": (pair["only_a"] - pair["only_b"]) / group["n_test"],
                }
            )
    return stream.getvalue()
