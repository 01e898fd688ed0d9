"""Which runs are at work in a folder, and what those that were killed left behind.

Snakemake marks files as in use under .snakemake/locks, which a kill -9 leaves there; they name no
process, so Snakemake asks the user to remove them. Its jobs live on, too, and would compute beside
their own repetition. Here every run leaves a record of its own: on which machine it is and which
process it is. Whether it lives follows from that, on the same machine only: of a run elsewhere
nothing is known, and what may live is never touched. Locks of the kernel (flock) are not used: they
can be absent, refused, or known to one node only, and a file with one can be copied. A copied
record is harmless, as its run works in another folder. Plumbing: no number depends on it.
"""

import atexit
import contextlib
import dataclasses
import functools
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from respike.runs import files
from respike.workflow import limits

RECORDS = Path(".snakemake", "respike_runs")
LOCKS = Path(".snakemake", "locks")  # Snakemake's own
MARK = "RESPIKE_RUN"  # in the environment of a run and of all its jobs
ON_ONE_MACHINE = ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs", "zfs")

ALIVE, DEAD, COPIED, UNKNOWN = "alive", "dead", "copied", "unknown"


@dataclass(frozen=True)
class Host:
    """What tells one system of processes from another; a text is empty where it is not known."""

    name: str
    machine: str  # of the installed system
    boot: str
    namespace: str  # of process ids: a container has its own


@dataclass(frozen=True)
class Run:
    """A run as it wrote itself down when it began."""

    mark: str
    host: Host
    process: int
    started: int  # of the process, in clock ticks since boot: a number used again is told apart
    user: int
    folder: str  # physical path
    inode: int  # of the folder
    began: str  # local time, for the reader
    slurm: str = ""  # start of the names of its Slurm jobs; empty without Slurm
    ended: bool = False  # by itself, or by the user's word (snakemake --unlock)

    def __str__(self):
        return f"process {self.process} on {self.host.name}, since {self.began}"


@functools.cache
def here() -> Host:
    """Return the host of this process."""
    # Where /proc shows another namespace than ours its numbers are those of other processes.
    try:
        ours = os.readlink("/proc/self") == str(os.getpid())
        namespace = os.readlink("/proc/self/ns/pid") if ours else ""
    except OSError:
        namespace = ""
    return Host(
        socket.gethostname(), _text("/etc/machine-id"), _text("/proc/sys/kernel/random/boot_id"),
        namespace,
    )  # fmt: skip


def state(run: Run, root: Path | str = ".") -> str:
    """Return whether a run that is on record in the folder `root` is at work there.

    Returns
    -------
    str
        `alive`; `dead`: nothing of it runs but, perhaps, jobs that it left; `copied`: it lives, but
        works in the folder that the record was copied from; `unknown`: it is or was elsewhere.
    """
    if run.ended:
        return DEAD
    host = here()
    if not (host.boot and host.namespace):
        return UNKNOWN
    if (run.host.boot, run.host.namespace) != (host.boot, host.namespace):
        # Was this machine started anew since? Names and ids of machines are copied with their
        # disks, so the folder must also be on one of its own, which no other machine uses.
        same_machine = host.machine and dataclasses.replace(run.host, boot=host.boot) == host
        anew = same_machine and run.host.boot and file_system(root) in ON_ONE_MACHINE
        return DEAD if anew else UNKNOWN
    if not _lives(run.process, run.started):
        return DEAD
    same = [os.path.realpath(root) == run.folder, os.stat(root).st_ino == run.inode]
    with contextlib.suppress(PermissionError):  # another user's process
        return ALIVE if all(same) or works_in(run.process, root) else COPIED
    return ALIVE if any(same) else COPIED


def hold(root: Path | str = ".", slurm: str | None = None) -> tuple[str, list[Run]]:
    """Put this process on record as a run in `root`; clear up after runs that were killed.

    Nothing is touched of a run that lives or may live: jobs are ended by the mark of their dead
    run, and Snakemake's locks, which name no run, are removed only when all runs are dead.

    Parameters
    ----------
    root
        The folder in which Snakemake runs.
    slurm
        The start of the names of this run's Slurm jobs, to which the run's mark is added; None
        without Slurm.

    Returns
    -------
    str
        What the user should know, a line for each thing; usually nothing.
    list of Run
        The dead runs that may have left Slurm jobs. Their records stay until `forget`.
    """
    root = Path(root)
    mark = secrets.token_hex(8)
    try:
        _put_on_record(root, mark, slurm)
    except OSError as error:
        return str(error), []  # others would not see this run: it must not clear up
    os.environ[MARK] = mark
    # Listed before the look at the runs: a lock of a run that starts meanwhile is not among them.
    locks = [file for file in root.joinpath(LOCKS).glob("*.lock") if file.is_file()]
    states = {run: state(run, root) for run in runs(root) if run.mark != mark}
    dead = [run for run, found in states.items() if found == DEAD]
    said = [
        f"another run is at work in this folder ({run}): this one goes on if the two make "
        "different files. Snakemake's advice to unlock is for dead runs; this one lives"
        for run, found in states.items()
        if found == ALIVE
    ] + [
        f"a run may be at work in this folder ({run}), which cannot be told from here: nothing of "
        "it is touched. If it is dead: snakemake --unlock"
        for run, found in states.items()
        if found == UNKNOWN
    ]
    orphans = _end_jobs_of((run.mark for run in dead), root)
    parts = []
    if states and not {ALIVE, UNKNOWN}.intersection(states.values()):
        removed = sum(_removed(file) for file in locks)
        parts += [f"{removed} locks removed"] if removed else []
    forget((run for run, found in states.items()
            if found == COPIED or (found == DEAD and not run.slurm)), root)  # fmt: skip
    parts += [f"{orphans} processes of its jobs ended"] if orphans else []
    said += [f"an earlier run was killed: {', '.join(parts)}"] if parts else []
    return "\n".join(said), [run for run in dead if run.slurm]


def runs(root: Path | str = ".") -> list[Run]:
    """Return the runs that are on record in a folder; one that cannot be read is `unknown`."""
    found = []
    for file in sorted(Path(root, RECORDS).glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            run = Run(**{**content, "host": Host(**content["host"])})
            for part in (run, run.host):
                for field in dataclasses.fields(part):
                    if not isinstance(getattr(part, field.name), field.type):
                        raise TypeError(field.name)
            found.append(run)
        except FileNotFoundError:  # removed meanwhile
            continue
        except (OSError, ValueError, TypeError, KeyError):
            nowhere = Host("an unknown machine", "", "", "")
            found.append(Run(file.stem, nowhere, 0, 0, -1, "", 0, "an unknown time"))
    return found


def living(root: Path | str = ".") -> set[int]:
    """Return the processes of runs that live in a folder, or may."""
    return {run.process for run in runs(root) if state(run, root) in (ALIVE, UNKNOWN)}


def forget(ended: Iterable[Run], root: Path | str = ".") -> None:
    """Remove the records of runs of which nothing is left."""
    for run in ended:
        _removed(_file(root, run))


def give_up(root: Path | str = ".") -> None:
    """Note that the user says that no run lives in a folder (snakemake --unlock).

    Raises
    ------
    RuntimeError
        A run is at work here: the message names it, and nothing was noted.
    """
    states = {run: state(run, root) for run in runs(root)}
    for run, found in states.items():
        if found == ALIVE:
            raise RuntimeError(f"a run is at work in this folder and keeps its locks: {run}")
    for run, found in states.items():
        if found == UNKNOWN:
            _write(root, dataclasses.replace(run, ended=True))


def works_in(process: int, root: Path | str = ".") -> bool:
    """Return whether a process has this very folder as its working directory.

    Raises PermissionError for a process of another user.
    """
    try:
        return os.path.samestat(os.stat(f"/proc/{process}/cwd"), os.stat(root))
    except PermissionError:
        raise
    except OSError:  # it ended
        return False


def file_system(path: Path | str) -> str:
    """Return the type of the file system that a path is on, as `ext4` or `nfs4`; empty if unknown.

    Raises OSError where the table of mounts cannot be read.
    """
    path, found = PurePath(os.path.realpath(path)), ("", "")
    for mount in limits.mounts():
        if path.is_relative_to(mount.place) and len(mount.place) >= len(found[0]):
            found = (mount.place, mount.kind)  # of two at one place the later covers the earlier
    return found[1]


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


def _put_on_record(root: Path, mark: str, slurm: str | None) -> None:
    process = os.getpid()
    run = Run(
        mark=mark,
        host=here(),
        process=process,
        started=_stat(process)[1] if here().namespace else 0,
        user=os.getuid(),
        folder=os.path.realpath(root),
        inode=os.stat(root).st_ino,
        began=time.strftime("%Y-%m-%d %H:%M:%S"),
        slurm="" if slurm is None else job_prefix(slurm, mark),
    )
    _write(root, run)

    def note_the_end() -> None:
        with contextlib.suppress(OSError):
            if os.getpid() == process and _file(root, run).exists():  # not in a fork
                _write(root, dataclasses.replace(run, ended=True))

    root = root.absolute()
    atexit.register(note_the_end)


def job_prefix(prefix: str, mark: str) -> str:
    """Return how the names of a run's Slurm jobs begin: 50 characters at most, as it allows."""
    return f"{prefix[:33]}_{mark}" if prefix else mark


def _file(root: Path | str, run: Run) -> Path:
    return Path(root, RECORDS, f"{run.mark}.json")


def _write(root: Path | str, run: Run) -> None:
    files.write_json(_file(root, run), dataclasses.asdict(run))


def _removed(file: Path) -> bool:
    try:
        file.unlink()
    except (FileNotFoundError, PermissionError):  # done by another run, or another user's folder
        return False
    return True


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _stat(process: int) -> tuple[str, int]:
    """Return the state of a process, a letter, and when it was started, in ticks since boot."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _lives(process: int, started: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's; /proc may hide it
        pass
    try:
        letter, since = _stat(process)
    except OSError:
        return True
    return since == started and letter not in "ZX"  # dead, and its parent has not asked yet


def _end_jobs_of(marks: Iterable[str], root: Path) -> int:
    """Kill the processes that work in the folder and carry one of the marks; return their number.

    A process that went elsewhere is left alone, and so is one of a Slurm job: those are cancelled.
    """
    wanted, ended = {f"{MARK}={mark}".encode() for mark in marks}, set()
    while wanted and (found := set(_carrying(wanted, root)) - ended - {os.getpid()}):
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
    return len(ended)


def _carrying(wanted: set[bytes], root: Path) -> Iterator[int]:
    if not here().namespace:  # the numbers in /proc are not ours to send signals to
        return
    own = f"SLURM_JOB_ID={os.environ.get('SLURM_JOB_ID', '')}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            found = set(file.read_bytes().split(b"\0"))
            slurm = {entry for entry in found if entry.startswith(b"SLURM_JOB_ID=")}
            process = int(file.parent.name)
            if not wanted.isdisjoint(found) and slurm <= {own} and works_in(process, root):
                yield process
