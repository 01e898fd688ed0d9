"""All trained cells of all searches as one table: one line per search, run and cell."""

import argparse
import csv
import io
import json
import re
from pathlib import Path

from respike.runs import command, files, owned
from respike.sources.nmnist_grid.cells import Cell
from respike.sources.nmnist_grid.effects import Row, rows

COLUMNS = (
    "search", "protocol", "run", *Cell._fields, *Row._fields[1:],
    "n_recordings", "n_folds", "epochs", "data", "device", "path",
)  # fmt: skip


def lines(results: dict[str, dict]) -> list[dict]:
    """Return the lines of the table for results (content of metrics.json) by path."""
    found = []
    for path, result in results.items():
        of_run = {
            "search": re.sub(r"_t_window_\d+_part_\d+$", "", result["experiment"]),
            "protocol": result["protocol"],
            "run": result["seed"],
            **{key: result["settings"][key] for key in ("n_recordings", "n_folds", "epochs")},
            "data": result["data_kind"],
            "device": result["device"],
            "path": path,
        }
        for row in rows([result["metrics"]]):
            found.append({**of_run, **row.cell._asdict(), **row._asdict()})
    return found


@command.ends("nmnist_grid cells")
def main(argv: list[str] | None = None) -> int:
    """Write the table of the results that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", type=Path, required=True, help="metrics.json files")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    owned.check_new(args.out)
    results = {str(path): json.loads(path.read_text(encoding="utf-8")) for path in args.runs}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines(results))
    files.write_text(args.out, text.getvalue())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
