"""What a killed Snakemake leaves behind does not stop or disturb the next run.

Snakemake marks files as in use under .snakemake/locks, which a kill -9 leaves there; they name no
process, so Snakemake asks the user to remove them. Its jobs live on, too, and would compute beside
their own repetition. Here every run holds a shared lock of the kernel as well, which ends with the
process however it ends: whoever gets it for himself knows that no other run lives, that what lies
under .snakemake/locks is stale, and that processes which carry the mark of an earlier run are
orphans. Plumbing: no number depends on it.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PATIENCE_S = 1.0  # a run that is about to end, or another that is just clearing up
MARK = "RESPIKE_RUN"  # in the environment of a run and of all its jobs on this machine
_held = []  # open for as long as the process lives; children do not inherit it
was_alone = False  # whether no other run lived in the folder when this one took the lock


def hold(folder: Path | str = ".snakemake") -> str:
    """Hold the lock of a folder until this process ends; clear up after runs that were killed.

    Returns what the user should know, in words: what was cleared up, or that another run lives, in
    which case nothing is touched; usually nothing.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
        stream = open(folder / "respike.lock", "a+", encoding="utf-8")
    except OSError:
        return ""  # a read-only folder: Snakemake says so
    global was_alone
    _held.append(stream)
    alone = was_alone = _alone(stream)
    stream.seek(0)
    marks = stream.read().split()
    said = (
        _clear_up(folder, marks)
        if alone
        else (
            "another run is at work in this folder: this one goes on if the two make different "
            "files. Snakemake's advice to unlock is for dead runs; this one lives"
        )
    )
    mark = os.environ[MARK] = secrets.token_hex(8)
    with contextlib.suppress(OSError):  # a full disk
        if alone:
            stream.truncate(0)
        stream.write(f"{mark}\n")
        stream.flush()
    fcntl.flock(stream, fcntl.LOCK_SH)
    return said


def mend_times(folders: Iterable[Path | str], now: float | None = None) -> str:
    """Give files whose time lies in the future the present one; return what was done, in words.

    Snakemake compares content before it believes a time, so this makes nothing stale.
    """
    now = time.time() if now is None else now
    mended = 0
    for folder in map(Path, folders):
        for file in (folder, *folder.rglob("*")):
            with contextlib.suppress(OSError):  # it is gone, or on a disk that cannot be written
                if file.stat().st_mtime > now + 1:
                    os.utime(file, (now, now))
                    mended += 1
    return f"the clock was set back: {mended} files had times to come, now they have today's" * (
        mended > 0
    )


def _alone(stream) -> bool:
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


def _clear_up(folder: Path, marks: list[str]) -> str:
    orphans = _end_jobs_of(marks)
    stale = [file for file in folder.glob("locks/*.lock") if file.is_file()]
    for file in stale:
        file.unlink(missing_ok=True)
    parts = [f"{len(stale)} locks removed"] if stale else []
    parts += [f"{orphans} processes of its jobs ended"] if orphans else []
    return f"an earlier run was killed: {', '.join(parts)}" if parts else ""


def _end_jobs_of(marks: Iterable[str]) -> int:
    """Kill the processes of this machine that carry one of the marks; return their number."""
    wanted, ended = {f"{MARK}={mark}".encode() for mark in marks}, set()
    while wanted and (found := set(_carrying(wanted)) - ended - {os.getpid()}):
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
    return len(ended)


def _carrying(wanted: set[bytes]) -> Iterator[int]:
    # Processes of Slurm jobs are left to respike.workflow.orphans, which cancels those jobs.
    own = f"SLURM_JOB_ID={os.environ.get('SLURM_JOB_ID', '')}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            found = set(file.read_bytes().split(b"\0"))
            slurm = {entry for entry in found if entry.startswith(b"SLURM_JOB_ID=")}
            if not wanted.isdisjoint(found) and slurm <= {own}:
                yield int(file.parent.name)


def held(folder: Path | str = ".snakemake") -> bool:
    """Return whether any run holds the lock of a folder now."""
    try:
        with open(Path(folder) / "respike.lock", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go at once
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
