"""Conditions of other machines, imitated: kernels without flock, another node on one folder."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

# What a file system without locks (Lustre, NFS) answers, and one with locks for each node alone.
FLOCK = {"absent": "errno = ENOSYS; return -1;", "refused": "errno = ENOLCK; return -1;",
         "per node": "return 0;"}  # fmt: skip


@functools.cache
def flock_that_is(kind: str) -> dict[str, str]:
    """Return the environment of a program whose flock is absent, refused or per node."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: flock cannot be replaced")
    folder = Path(tempfile.mkdtemp())
    source, library = folder / "flock.c", folder / "flock.so"
    source.write_text(
        "#include <errno.h>\nint flock(int file, int operation)"
        f" {{ (void)file; (void)operation; {FLOCK[kind]} }}\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


@functools.cache
def other_node() -> tuple[str, ...]:
    """Return what to put before a command that shall see no process of this machine."""
    command = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*command, "true"], stderr=-3).returncode:
        pytest.skip("this user may not make a namespace of process ids")
    return command


def alive(process: int, patience_s: float = 1.0) -> bool:
    """Return whether a process lives, a moment after it was told to end."""
    import time

    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            if " Z " in Path(f"/proc/{process}/stat").read_text():
                return False
            os.kill(process, 0)
        except (OSError, FileNotFoundError):
            return False
        time.sleep(0.02)
    return True
