"""What the report shows of benchmarks.csv and scaling.csv: tables as text, plots as positions.

Every number is read from those files; nothing is measured or fitted here.
"""

from __future__ import annotations

import math

from respike.report import wording

WIDTH = 220  # of the bar of ratios, in user units of the SVG
PANEL = {"width": 466, "height": 250, "left": 44, "right": 282, "top": 14, "bottom": 214}
LABEL_PX = 12  # least distance of two labels at the end of lines
KINDS = {  # unit of the size -> panel
    "images": "images or recordings",
    "recordings": "images or recordings",
    "neurons": "neurons",
    "steps": "time steps",
    "jobs": "jobs of the workflow",
}


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _log_scale(values: list[float], first: float, last: float):
    """Return a function from a value to its place on a logarithmic axis from `first` to `last`."""
    low, high = math.log10(min(values)), math.log10(max(values))
    span = (high - low) or 1.0
    return lambda value: round(first + (math.log10(value) - low) / span * (last - first), 1)


def benchmarks(rows: list[dict]) -> dict | None:
    """Return the benchmarks by source, each with its ratio as text and as places on a log axis.

    Ends of the axis are powers of ten and hold 1, where ours and the peer are equally fast. None
    where nothing was measured.
    """
    ratios = [_number(row.get(key)) for row in rows for key in ("ratio_low", "ratio", "ratio_high")]
    ratios = [ratio for ratio in ratios if ratio]
    if not ratios:
        return None
    low = min(0, math.floor(math.log10(min(ratios))))
    high = max(1, math.ceil(math.log10(max(ratios))))
    ends = [10.0**low, 10.0**high]
    at = _log_scale(ends, 6, WIDTH - 6)
    groups: dict[str, list[dict]] = {}
    for row in rows:
        ratio, quarter, three = (
            _number(row.get(key)) for key in ("ratio", "ratio_low", "ratio_high")
        )
        spread = f" ({_times(quarter)} to {_times(three)})" if quarter and three else ""
        groups.setdefault(row.get("source") or "", []).append(
            {
                **{
                    key: row.get(key) or "" for key in ("case", "device", "threads", "unit", "note")
                },
                "ours": row.get("ours") or wording.DASH,
                "peer": row.get("peer") or wording.DASH,
                "ratio": f"{_times(ratio)}\u00a0\N{MULTIPLICATION SIGN}{spread}" if ratio else "",
                "floor": _number(row.get("distance_to_floor")),
                "bar": ratio and (at(quarter or ratio), at(ratio), at(three or ratio)),
                "commit": (row.get("commit") or "")[:10],
            }
        )
    return {
        "groups": [
            {"source": source, "rows": own, "gpu": any(r["device"] != "cpu" for r in own)}
            for source, own in groups.items()
        ],
        "ticks": [(at(10.0**k), f"{10.0**k:g}") for k in range(low, high + 1)],
        "one": at(1.0),
        "floors": any(row.get("distance_to_floor") for row in rows),
        **{key: _different(rows, key) for key in ("machine", "versions", "commit", "date")},
    }


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 100 else f"{ratio:.0f}"


def _different(rows: list[dict], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows if row.get(key)))


def scaling(rows: list[dict]) -> dict | None:
    """Return the table of costs against size, and one log-log panel for each kind of size."""
    if not rows:
        return None
    read = [
        {
            **row,
            "sizes": [float(text) for text in row["sizes"].split()],
            "seconds": [float(text) for text in row["cpu_s"].split()],
            "peaks": [float(text) for text in row["peak_mb"].split()],
        }
        for row in rows
    ]
    lines = [
        {
            "case": row["case"],
            "axis": row["axis"],
            "unit": row["unit"],
            "points": [
                (f"{size:,.0f}", wording.duration(seconds))
                for size, seconds in zip(row["sizes"], row["seconds"], strict=True)
            ],
            "exponent": wording.interval(float(row["exponent"]), float(row["exponent_half"]), "1"),
            "sort_exponent": row["exponent"],
            "ten_size": f"{10 * row['sizes'][-1]:,.0f} {row['unit']}",
            "ten": wording.duration(float(row["cpu_s_ten_times"])),
            "ten_range": " to ".join(
                wording.duration(float(row[key])) for key in ("ten_times_low", "ten_times_high")
            ),
            "straight": wording.duration(float(row["ten_times_straight"])),
            "sort_ten": row["cpu_s_ten_times"],
            "peak": f"{row['peaks'][0]:.0f} to {row['peaks'][-1]:.0f} MB",
            "sort_peak": row["peaks"][-1],
            "settings": row["settings"].strip("{}").replace('"', "") or wording.DASH,
        }
        for row in read
    ]
    names = list(dict.fromkeys(row["case"] for row in rows))  # each keeps its colour
    kinds = dict.fromkeys(KINDS.get(row["unit"], row["unit"]) for row in read)
    return {
        "rows": lines,
        "panels": [
            panel(kind, [row for row in read if KINDS.get(row["unit"], row["unit"]) == kind], names)
            for kind in kinds
        ],
        "rounds": max(int(row["rounds"]) for row in rows),
        **{key: _different(rows, key) for key in ("machine", "commit", "date")},
    }


def panel(title: str, rows: list[dict], names: list[str]) -> dict:
    """Return a log-log plot: lines as points of the SVG, labels at their ends, ticks.

    The place of a case in `names` is the number of its colour.
    """
    p = PANEL
    every_x = [size for row in rows for size in row["sizes"]]
    every_y = [second for row in rows for second in row["seconds"]]
    x = _log_scale(every_x, p["left"] + 8, p["right"] - 8)
    y = _log_scale(every_y, p["bottom"] - 8, p["top"] + 8)
    lines = [
        {
            "name": row["case"],
            "number": names.index(row["case"]),
            "points": [
                (x(size), y(second))
                for size, second in zip(row["sizes"], row["seconds"], strict=True)
            ],
        }
        for row in rows
    ]
    least = p["top"] + 4.0
    for line in sorted(lines, key=lambda line: line["points"][-1][1]):  # from the top down
        line["label_y"] = least = max(line["points"][-1][1] + 3, least)
        least += LABEL_PX
    return {
        **p,
        "title": title,
        "lines": lines,
        "x_ticks": [(x(v), f"{v:,.0f}") for v in ticks(min(every_x), max(every_x))],
        "y_ticks": [(y(v), f"{v:g}") for v in ticks(min(every_y), max(every_y))],
        "text": f"CPU seconds against {title}, both axes logarithmic: "
        + "; ".join(f"{r['case']}, exponent {float(r['exponent']):.2f}" for r in rows),
    }


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high for a logarithmic axis, at most about five."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
        found = [round(s * 10.0**k, 9) for k in decades for s in steps]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) <= 5:
            return found
    return found
