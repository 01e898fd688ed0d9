"""Geometry of the small plot beside each claim: every seed's value against what is accepted."""

from __future__ import annotations

from respike.report import wording

WIDTH = 240  # user units of the SVG


def strip(claim: dict) -> dict | None:
    """Return positions along the plot and its end labels; None if there is no value to show.

    Keys: dots (x, lift, label), mean, low, high (ends of the 95 % interval), published, band
    (x, width), ends (x and text of the outermost marks), text (the whole plot in words).
    """
    measured = claim["measured"]
    values = {s: v for s, v in (measured or {"values": {}})["values"].items() if v is not None}
    if not values:
        return None
    unit = wording.unit_of(claim)
    mean, half, accepted = measured["mean"], measured["half"], measured["accepted"]
    published = claim.get("published", {}).get("value")
    ends = [mean - half, mean + half] if mean is not None and half is not None else []
    marks = [*values.values(), *ends, published, accepted["low"], accepted["high"]]
    marks = [mark for mark in marks if mark is not None]
    low, high = min(marks), max(marks)
    pad = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    first, last = low - pad, high + pad

    def at(value: float) -> float:
        return round((value - first) / (last - first) * WIDTH, 1)

    left = 0 if accepted["low"] is None else at(accepted["low"])
    right = WIDTH if accepted["high"] is None else at(accepted["high"])
    said = ", ".join(wording.number(value, unit) for value in values.values())
    return {
        "dots": [
            (at(value), 2.5 * (i % 3 - 1), f"seed {seed}: {wording.number(value, unit)}")
            for i, (seed, value) in enumerate(values.items())
        ],
        "mean": None if mean is None else at(mean),
        "low": at(ends[0]) if ends else None,
        "high": at(ends[1]) if ends else None,
        "published": None if published is None else at(published),
        "band": (left, round(max(right - left, 1.0), 1)),
        "ends": [(at(mark), wording.bare(mark, unit)) for mark in sorted({low, high})],
        "text": f"Values by seed: {said}. Accepted: {accepted['text']}.",
    }
