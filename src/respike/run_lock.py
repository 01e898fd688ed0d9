"""Locks that a killed Snakemake left behind do not stop the next run.

Snakemake marks a folder as in use by files under .snakemake/locks, which a kill -9 leaves there;
they name no process, so Snakemake asks the user to remove them. Here every run holds a lock of the
kernel as well, which ends with the process however it ends: whoever gets it knows that no other
run lives, and that what lies under .snakemake/locks is stale. Plumbing: no number depends on it.
"""

import fcntl
import time
from pathlib import Path

PATIENCE_S = 3.0  # a command that only looks may hold the lock for a moment
_held = []  # open for as long as the process lives; children do not inherit it


def hold(folder: Path | str = ".snakemake") -> int:
    """Hold the lock of a folder until this process ends; return how many stale locks were removed.

    Where another run holds it, nothing is removed: Snakemake itself then refuses to start.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
        stream = open(folder / "respike.lock", "w", encoding="utf-8")
    except OSError:
        return 0  # a read-only folder: Snakemake says so
    if not _locked(stream):
        stream.close()
        return 0
    _held.append(stream)
    stale = [file for file in folder.glob("locks/*.lock") if file.is_file()]
    for file in stale:
        file.unlink(missing_ok=True)
    return len(stale)


def _locked(stream) -> bool:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        else:
            return True


def holds() -> bool:
    """Return whether this process holds a lock."""
    return bool(_held)


def held(folder: Path | str = ".snakemake") -> bool:
    """Return whether a run holds the lock of a folder now."""
    try:
        with open(Path(folder) / "respike.lock", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
