"""The two tables that nmnist-grid-paper.md prints: (accuracy, cell) in their order.

The ledger holds the same numbers as claims; a test keeps the two equal.
"""

from respike.sources.nmnist_grid.cells import Cell

_TABLE_1 = (  # section 3.7: beta, H, t_window in us, target ratio; batch 128
    (0.9784, 0.9, 800, 2000, "0.8/0.2"),
    (0.9760, 0.9, 800, 500, "0.8/0.2"),
    (0.9742, 0.7, 800, 2000, "0.8/0.2"),
    (0.9741, 0.9, 800, 1000, "0.8/0.2"),
    (0.9734, 0.7, 800, 1000, "0.95/0.05"),
    (0.9725, 0.9, 800, 2000, "0.95/0.05"),
    (0.9725, 0.7, 800, 500, "0.95/0.05"),
    (0.9717, 0.7, 800, 500, "0.8/0.2"),
    (0.9716, 0.7, 800, 1000, "0.8/0.2"),
)
_TABLE_2 = (  # section 3.7: beta, H, batch size; t_window 2000, ratio 0.8/0.2
    (0.9890, 0.9, 800, 64),
    (0.9889, 0.8, 1200, 128),
    (0.9885, 0.8, 800, 128),
    (0.9885, 0.8, 1200, 256),
    (0.9875, 0.8, 800, 64),
    (0.9873, 0.8, 400, 64),
    (0.9863, 0.8, 800, 256),
    (0.9857, 0.8, 400, 128),
    (0.9849, 0.9, 1200, 64),
    (0.9843, 0.9, 400, 64),
)

TABLES: dict[int, dict[Cell, float]] = {
    1: {Cell(t, beta, h, ratio, 128): found for found, beta, h, t, ratio in _TABLE_1},
    2: {Cell(2000, beta, h, "0.8/0.2", batch): found for found, beta, h, batch in _TABLE_2},
}
