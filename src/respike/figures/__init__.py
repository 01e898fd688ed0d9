"""Figures. Before matplotlib is imported: its own backend and defaults, whatever the user's are."""

import os

from respike.runs.surroundings import MATPLOTLIB

os.environ.update(MATPLOTLIB)
