"""What this process may use of the machine: cores, memory, GPUs.

Limits are read wherever the kernel or Slurm enforces them, and the smallest counts. A control group
limits all below it, so each from our own up to the root is asked, under cgroup v1 and v2. Tests
give another root than `/`, with made-up /proc and /sys. Plumbing: no number depends on it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path("/")
PATIENCE_S = 60  # a driver that does not answer is none

_ASK_CUDA = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
print(0 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) else count.value)
"""


def cores(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many cores this process may use at a time, at least 1.

    The smallest of: the cores that it may run on (affinity, cpuset), the quotas of its control
    groups, rounded down, and the part of this node that Slurm has given.
    """
    found = [len(os.sched_getaffinity(0))]
    for group in _groups(root, "cpu"):
        with contextlib.suppress(OSError, ValueError):  # cgroup v2; "max" is no number
            quota, period = map(int, (group / "cpu.max").read_text().split())
            found.append(quota // period)
        with contextlib.suppress(OSError, ValueError):  # cgroup v1; -1 is no limit
            quota = int((group / "cpu.cfs_quota_us").read_text())
            if quota > 0:
                found.append(quota // int((group / "cpu.cfs_period_us").read_text()))
    if "SLURM_JOB_ID" in environ:
        found.append(_number(environ, "SLURM_CPUS_ON_NODE") or found[0])
    return max(1, min(found))


def memory_mb(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """Return the memory that jobs may share, in MB: 0.9 of the smallest limit.

    The machine's memory, the limits of the control groups, the part of this node that Slurm has
    given, and the address space of a process (`ulimit -v`).
    """
    found = [int(kib) * 1024 for kib in re.findall(
        r"^MemTotal: +(\d+) kB", (root / "proc/meminfo").read_text(), re.M)]  # fmt: skip
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                found.append(int((group / name).read_text()))
    if "SLURM_JOB_ID" in environ:
        per_cpu = _number(environ, "SLURM_MEM_PER_CPU") * _number(environ, "SLURM_CPUS_ON_NODE")
        given = _number(environ, "SLURM_MEM_PER_NODE") or per_cpu  # 0: all of the node's
        found += [given * 1024**2] if given else []
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    found += [address_space] if address_space != resource.RLIM_INFINITY else []
    return int(min(found) * 0.9 / 1e6)


@functools.cache
def cuda_devices() -> int:
    """Return how many GPUs CUDA gives to a program that is started here; 0 without a driver.

    A device file says nothing of CUDA_VISIBLE_DEVICES or of a driver that does not work. The
    driver is asked in a process of its own, so that it may crash or hang; torch is not imported.
    """
    command = [sys.executable, "-I", "-S", "-c", _ASK_CUDA]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        return int(done.stdout) if done.returncode == 0 else 0
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def _number(environ: Mapping[str, str], name: str) -> int:
    with contextlib.suppress(ValueError):
        return int(environ.get(name, 0))
    return 0


class Mount(NamedTuple):
    """A line of the table of mounts."""

    top: str  # what of the file system is shown
    place: str
    kind: str
    options: list[str]  # of the file system; under cgroup v1 the controllers are among them


def mounts(root: Path = ROOT) -> list[Mount]:
    """Return what is mounted, in the order of mounting; raise OSError where that is not told."""
    found = []
    for line in (root / "proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        top, place = (_unescaped(field) for field in before.split()[3:5])
        kind, *_, options = after.split()
        found.append(Mount(top, place, kind, options.split(",")))
    return found


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, from its own upwards."""
    try:
        own = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
        table = mounts(root)
    except OSError:
        return
    for line in own:
        _, controllers, name = line.split(":", 2)
        for mount in table:
            if controllers:
                shared = {controller} & set(controllers.split(",")) & set(mount.options)
                fits = mount.kind == "cgroup" and shared
            else:
                fits = mount.kind == "cgroup2"
            if not fits:
                continue
            folder = root / mount.place.lstrip("/")
            # In a container the mount may show a part of the tree, and not the one of our name.
            inside = PurePosixPath(name)
            if inside.is_relative_to(mount.top) and ".." not in inside.parts:
                below = inside.relative_to(mount.top)
                yield from (folder / part for part in (below, *below.parents) if part.parts)
            yield folder


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)


if __name__ == "__main__":
    print(f"{cores()} cores, {memory_mb()} MB, {cuda_devices()} GPUs")
