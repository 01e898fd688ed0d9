"""An edit of a kernel reaches the compiled kernels of other files that call it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "respike"
PROGRAM = """
import numpy as np
from respike.sources.poisson_mlp.cpu import trace_sample
w = np.full((3, 2), 0.25, np.float32)
v1, *_ = trace_sample(np.ones((3, 1), np.uint64), w, w, 0.5, 9.0, 1)
print(v1[0, 0])
"""


def test_an_edit_of_a_called_kernel_counts_at_once(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "respike", ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def first_potential():
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    assert first_potential() == 0.75
    events = tmp_path / "respike" / "events.py"
    changed = events.read_text().replace("base[:] = bias", "base[:] = bias + np.float32(1.0)")
    assert changed != events.read_text()
    events.write_text(changed)
    assert first_potential() == 1.75
