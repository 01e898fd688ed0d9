"""README quotes ratios of speed only from reports/benchmarks.csv."""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATIO = r"(\d+(?:\.\d+)?)(?:x\b|\s?×(?!\s?\d)|\stimes\b|-fold\b)"


def quoted(text: str) -> list[str]:
    """Return every number that a text gives as a ratio, as `8.1x`, `8.1 ×`, `263 times`."""
    return re.findall(RATIO, text)


def test_the_pattern_finds_ratios():
    text = "is 8.1x faster, 263 times, 12 × or 3-fold; 784x10, 2 x 3 and 3 × 3 are none"
    assert quoted(text) == ["8.1", "263", "12", "3"]


def test_every_ratio_of_the_readme_stands_in_the_table():
    with (ROOT / "reports" / "benchmarks.csv").open(newline="", encoding="utf-8") as file:
        ratios = {float(row["ratio"]) for row in csv.DictReader(file) if row["ratio"]}
    for text in quoted((ROOT / "README.md").read_text(encoding="utf-8")):
        decimals = len(text.partition(".")[2])
        assert float(text) in {round(ratio, decimals) for ratio in ratios}, (
            f"README.md quotes {text} x, which is no ratio of reports/benchmarks.csv"
        )
