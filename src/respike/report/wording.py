"""Numbers as text: the same number looks the same in a verdict, a table and a figure's label."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def unit_of(claim: dict) -> str:
    """Return the unit of a claim's values: a difference of fractions is in percentage points."""
    unit = claim.get("unit", "1")
    differs = claim.get("measure", {}).get("kind") in ("difference", "margin")
    return "points" if unit == "fraction" and differs else unit


def bare(value: float | None, unit: str, sign: bool = False) -> str:
    """Return the number without its unit; fractions and points are shown times 100."""
    if value is None:
        return DASH
    value = 100 * value if unit in ("fraction", "points") else value
    size = abs(value)
    if size >= 1e12:  # a form that diverges: its digits say nothing
        text = f"{value:.2e}"
    elif unit in ("fraction", "points") and (size >= 0.01 or value == 0):
        text = f"{value:.2f}"
    elif unit == "count" and value == round(value) or size >= 10_000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.4g}"
    plus = "+" if sign and value > 0 else ""
    return plus + text.replace("-", MINUS)


def tail(unit: str) -> str:
    """Return what follows the number."""
    known = {"fraction": " %", "points": " points", "ratio": " \N{MULTIPLICATION SIGN}"}
    return known.get(unit, "" if unit in ("1", "count", "") else f" {unit}")


def number(value: float | None, unit: str, sign: bool = False) -> str:
    """Return the number with its unit."""
    return DASH if value is None else bare(value, unit, sign) + tail(unit)


def interval(mean: float | None, half: float | None, unit: str) -> str:
    """Return "mean ± half unit", half to two digits and the mean to as many decimals.

    The half width is left out where it is nothing, or rounding error.
    """
    if mean is None or not half or half < 1e-9 * max(1.0, abs(mean)):
        return number(mean, unit)
    if unit in ("fraction", "points"):
        if abs(mean) < 0.0001 <= half:  # no digits below those of the half width
            mean = round(mean, 4) + 0.0
        return f"{bare(mean, unit)} ± {bare(half, unit)}{tail(unit)}"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    text = f"{mean:,.{decimals}f} ± {half:,.{decimals}f}{tail(unit)}"
    return text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """Return a wall time with a fitting unit."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def cost(seconds: float, unknown: int, parts: int) -> str:
    """Return an estimated time of `parts` runs or cells, of `unknown` of which none is known."""
    if unknown == parts:
        return "not known"
    return duration(seconds) + (f", {unknown} of unknown cost" if unknown else "")


def large(value: float | None, unit: str) -> str:
    """Return a number with three digits and an SI prefix, as "1.33 M" or "624 nJ"."""
    if value is None:
        return DASH
    if value == 0 or not unit and value < 1000:
        return f"{value:.4g}{' ' + unit if unit else ''}"
    power = min(max(math.floor(math.log10(value) / 3), -4), 4)
    if round(value / 1000**power, 0) >= 1000:
        power += 1
    prefix = "pn\N{MICRO SIGN}m kMGT"[power + 4].strip()
    scaled = value / 1000**power
    text = f"{scaled:.3g}" if scaled < 999.5 else f"{scaled:.0f}"
    return f"{text} {prefix}{unit}".strip()


def small(p: float) -> str:
    """Return a p value; below 1e-6 its digits say nothing."""
    return "below 1e-6" if p < 1e-6 else f"{p:.2g}"
