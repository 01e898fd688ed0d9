"""Scans of files, kept on disk for later processes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
from pathlib import Path

from respike.runs.files import write_bytes
from respike.runs.scan.module import scan

CACHE = Path(__file__).resolve().parents[4] / ".cache" / "scans"


def kept_scan(source: bytes, file: str, annotations: bool = False) -> dict:
    """Return the scan of a file; equal content is scanned once, also by later processes.

    With `annotations` all of them count, also those that nothing is known to read.

    Raises
    ------
    ProvenanceError
        The file is no valid Python, or hides what it imports.
    """
    known = _kept()
    key = hashlib.sha256(source).hexdigest() + ("+" if annotations else "")
    if key not in known:
        known[key] = scan(source, file, annotations)
    return known[key]


@functools.cache
def _kept() -> dict[str, dict]:
    """Return content of a file -> its scan, from earlier processes; what is added is kept at exit.

    The name of the file carries the content of the scanner, every module of this folder: another
    one begins anew. What cannot be read or written is done without.
    """
    scanner = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
    file = CACHE / f"{hashlib.sha256(b''.join(scanner)).hexdigest()[:16]}.json"
    try:
        content = json.loads(file.read_bytes())
        known = content["scans"] if content["seal"] == _seal(content["scans"]) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = {}
    if len(known) > 5000:  # versions of years: begin anew
        known = {}
    before = len(known)

    def keep() -> None:
        if len(known) > before:
            content = {"scans": known, "seal": _seal(known)}
            with contextlib.suppress(OSError):
                write_bytes(file, json.dumps(content).encode(), sync=False)

    atexit.register(keep)
    return known


def _seal(scans: dict) -> str:
    return hashlib.sha256(json.dumps(scans).encode()).hexdigest()
