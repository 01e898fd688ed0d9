"""How every command ends: `respike ...`, `python -m respike...` and the job of an experiment.

An error that the project raises itself, or that the machine does (a file, a program that it calls,
memory), is one message. Anything else is a fault of Respike: one line too, and the traceback goes
to a file that can be sent in.
"""

from __future__ import annotations

import datetime
import functools
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from respike.runs.provenance import PACKAGE, ROOT, SRC

UNEXPECTED = 70  # exit status of a fault of ours (EX_SOFTWARE of sysexits.h)
STOPPED = 130  # by Ctrl-C
LOGS = Path("logs", "errors")


def run(name: str, main: Callable[[], int | None], failed: int = 1) -> int:
    """Call `main` and return the exit status; whatever it raises ends in one message on stderr.

    `name` stands before the message; `failed` is the status after an expected error.
    """
    try:
        return main() or 0
    except KeyboardInterrupt:
        print(f"{name}: stopped; the next call goes on from here", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # as of `respike claims | head`
        sys.stdout = open(os.devnull, "w")  # else Python complains when it flushes at its end
        return failed
    except Exception as error:
        if message := expected(error):
            print(f"{name}: error: {message}", file=sys.stderr)
            return failed
        print(f"{name}: {_unexpected(name, error)}", file=sys.stderr)
        return UNEXPECTED


def ends(name: str, failed: int = 1) -> Callable:
    """Return a decorator for the `main` of a module: it then ends as `run` says."""

    def decorate(main: Callable[..., int | None]) -> Callable[..., int]:
        @functools.wraps(main)
        def ending(*arguments, **options) -> int:
            return run(name, lambda: main(*arguments, **options), failed)

        return ending

    return decorate


def expected(error: Exception) -> str | None:
    """Return what to say of an error of the project or the machine; None of any other."""
    if isinstance(error, MemoryError):
        text = str(error)
        return f"not enough memory{f': {text}' if text else ''}; free some, or use a larger machine"
    if isinstance(error, subprocess.SubprocessError):
        called = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
        said = (getattr(error, "stderr", None) or "").strip().splitlines()[-1:]
        return f"{called[:200]}: {said[0] if said else error}"
    own_class = type(error).__module__.split(".")[0] == PACKAGE
    if isinstance(error, OSError) or own_class or _raised_by_us(error):
        return str(error) or type(error).__name__
    return None


def _raised_by_us(error: Exception) -> bool:
    """Say whether a `raise` of the package made it, not a mistake inside it or another library."""
    *_, last = traceback.extract_tb(error.__traceback__) or (None,)
    ours = last is not None and Path(last.filename).is_relative_to(SRC / PACKAGE)
    return ours and (last.line or "").startswith("raise ")


def _unexpected(name: str, error: Exception) -> str:
    """Keep the traceback in a file; return the message, with the traceback if no file takes it."""
    now = datetime.datetime.now().strftime("%Y%m%dT%H%M%S")
    file = f"{now}-{''.join(c if c.isalnum() else '-' for c in name)[:60]}-{os.getpid()}.log"
    trace = "".join(traceback.format_exception(error))
    first = (str(error).strip().splitlines() or [""])[0][:200]
    said = f"unexpected {type(error).__name__}{f': {first}' if first else ''}. "
    said += "This is a fault of Respike: report it to whoever you have it from, with "
    for folder in (ROOT / LOGS, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(f"{sys.argv}\n{sys.version}\n{trace}", errors="replace")
            return f"{said}{folder / file}"
        except OSError:
            continue
    return f"{said}this:\n{trace}"
