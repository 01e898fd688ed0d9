"""Slurm jobs of a Snakemake that was killed do not meet those of the next run.

kill -9 of Snakemake leaves its Slurm jobs in the queue. When such a job starts it removes what
stands at its outputs, which the next run may have made in the meantime. So they are cancelled
before a run makes anything. The names of a run's jobs carry its mark (`run_lock.job_prefix`): only
those of a run that is known to be dead are cancelled, never those of one that may live, which
another login node may have started. Plumbing: no number depends on it.
"""

import getpass
import subprocess
import time
from pathlib import Path

PATIENCE_S = 90.0  # Slurm gives a cancelled job 30 s by default before it kills it


def cancel(prefix: str, folder: Path | str = ".", patience_s: float = PATIENCE_S) -> list[str]:
    """Cancel the Slurm jobs that an earlier run in `folder` left; return their ids.

    They are known by the start of their name, which says whose they are, and by their working
    directory, so that those of a copy of the folder are left alone. Returns when they are gone;
    raises RuntimeError if they are still there after `patience_s`, or if Slurm does not answer.
    """
    found = left_over(prefix, folder) if prefix else []
    if not found:
        return []
    _ask("scancel", *found)
    until = time.monotonic() + patience_s
    while left := left_over(prefix, folder):
        if time.monotonic() > until:
            raise RuntimeError(
                f"jobs of an earlier run in this folder do not end: scancel {' '.join(left)}"
            )
        time.sleep(1)
    return found


def left_over(prefix: str, folder: Path | str = ".") -> list[str]:
    """Return the ids of this user's pending and running jobs with that name and folder."""
    user = getpass.getuser()
    rows = _ask("squeue", "--noheader", f"--user={user}", "--format=%i|%j|%Z").splitlines()
    here = Path(folder).resolve()
    return [
        job
        for job, name, of in (row.split("|", 2) for row in rows)
        if name.startswith(f"{prefix}_") and Path(of).resolve() == here
    ]


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"no answer from Slurm: {error}") from None
    if done.returncode:
        raise RuntimeError(f"no answer from Slurm: {command[0]}: {done.stderr.strip()}")
    return done.stdout
