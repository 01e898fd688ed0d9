"""Fetch a data set of the registry into a folder: python -m respike.data.fetch mnist --out FOLDER.

Each source of the registry is tried in turn until every file is there. Downloads are held in
memory; a file gets its name in the folder only when its SHA-256 is the one of the registry, and
manifest.json, which vouches for the whole folder, is written last.
"""

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
import zlib
from contextlib import closing
from pathlib import Path

from respike.data.download import registry
from respike.data.download.mirrors import Say, SourceError, is_page, label, read, size
from respike.runs import command, files, foreign, owned


class FetchError(Exception):
    """The data set could not be fetched; the message lists what was tried and what to do."""


def fetch(name: str, entry: dict, out: Path, local: Path | None = None, say: Say = print) -> None:
    """Bring the files of data set `name` into the folder `out` and write its manifest.json.

    Files that are there and right are kept; a wrong one is renamed once the right content is at
    hand, as it may be the user's own. `entry` is the registry entry, `local` the folder for its
    source of kind `folder`, `say` takes the lines of progress.

    Raises
    ------
    FetchError
        `out` cannot be written, or a file could be had from no source.
    """
    start = time.monotonic()
    wanted, sources = entry["files"], entry["sources"]
    manifest = {"dataset": name, "kind": "official", "files": wanted}
    try:
        owned.check_new(out / "manifest.json")
        missing = {}
        for filename, spec in wanted.items():
            problem = _present_problem(out / filename, spec)
            if problem:
                missing[filename] = spec
            if problem != "missing":
                say(f"{out / filename}: {problem or 'present, SHA-256 verified'}")
        if missing and local and not os.path.isdir(local):
            what = "not a folder" if os.path.exists(local) else "no such folder"
            by = next((s["setting"] for s in sources if s["kind"] == "folder"), "--local")
            raise FetchError(
                f"{name}: {by}: {local}: {what}. Correct it, or set it to null in config.yaml"
            )
        if missing:
            # A folder that cannot be written is found before anything is downloaded.
            _check_writable(out)
            owned.remove(out / "manifest.json")  # none while the folder is incomplete
            _fetch_missing(name, entry, missing, out, local, say)
        files.write_json(out / "manifest.json", manifest)
    except OSError as error:  # files.WriteError among them
        raise FetchError(f"{name}: {error}. data.folder in config.yaml sets the place") from error
    total = size(sum(spec["bytes"] for spec in wanted.values()))
    seconds = time.monotonic() - start
    say(f"{name}: complete in {out} ({len(wanted)} files, {total}, {seconds:.1f} s)")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise files.write_error(folder, error) from error


def _fetch_missing(
    name: str, entry: dict, missing: dict, out: Path, local: Path | None, say: Say
) -> None:
    """Try the sources in turn; what one of them gave before it failed is kept."""
    sources, tried = entry["sources"], []
    say(f"{name}: {len(missing)} of {len(entry['files'])} files to fetch into {out}")
    for number, source in enumerate(sources, 1):
        where = label(source, local)
        say(f"source {number} of {len(sources)}: {where}")
        try:
            # A copy: the source goes over the names while they are taken off the list.
            with closing(read(source, dict(missing), local, say)) as items:
                for filename, raw in items:
                    content = _checked(filename, raw, missing[filename])
                    if (out / filename).is_file():
                        say(f"  {filename}: the wrong one is now {owned.set_aside(out / filename)}")
                    files.write_bytes(out / filename, content)
                    del missing[filename]
                    say(f"  {filename}: {size(len(content))}, SHA-256 verified")
        except SourceError as error:
            say(f"  {error}")
            tried.append(f"{where}: {error}")
        if not missing:
            return
    setting = next((s["setting"] for s in sources if s["kind"] == "folder"), None)
    by_hand = f"put the files into a folder and set {setting} in config.yaml to it, or "
    raise FetchError(
        f"{name}: no source gave {', '.join(missing)}. Tried: {'; '.join(tried)}. What to do: "
        f"{by_hand if setting else ''}connect to the network and run again (what came is kept)"
    )


def _checked(name: str, raw: bytes, spec: dict) -> bytes:
    """Return the content of `raw`, unpacked if it is gzip, if it is what the registry says."""
    if is_page(raw):
        raise SourceError(f"{name}: an HTML page instead of data (a login or error page?)")
    content = _gunzip(name, raw, spec["bytes"]) if raw[:2] == b"\x1f\x8b" else raw
    if len(content) < spec["bytes"]:
        raise SourceError(f"{name}: truncated: {len(content)} of {spec['bytes']} bytes")
    if len(content) > spec["bytes"]:
        raise SourceError(f"{name}: wrong content: more than {spec['bytes']} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if digest != spec["sha256"]:
        raise SourceError(
            f"{name}: wrong content: SHA-256 {digest[:12]}..., expected {spec['sha256'][:12]}..."
        )
    return content


def _gunzip(name: str, raw: bytes, length: int) -> bytes:
    """Unpack gzip, never to more than `length` + 1 bytes."""
    unpacker = zlib.decompressobj(wbits=31)  # 31: gzip with its check sum
    try:
        content = unpacker.decompress(raw, length + 1)
    except zlib.error as error:
        raise SourceError(f"{name}: damaged gzip: {error}") from error
    if not unpacker.eof and len(content) <= length:
        raise SourceError(f"{name}: truncated gzip: {size(len(raw))} received")
    return content


def _present_problem(path: Path, spec: dict) -> str:
    """Say what is wrong with a file of the folder; empty if nothing is."""
    if not path.is_file():
        return "missing" if not path.exists() else "not a file"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if digest == spec["sha256"] else "wrong content (SHA-256), will be replaced"


@command.ends("fetch")
def main(arguments: list[str] | None = None) -> None:
    """Fetch one data set; return 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m respike.data.fetch",
        description="Fetch a data set of workflow/datasets.yaml and verify it by SHA-256. "
        "Files that are there and right are not fetched again.",
        epilog="example: python -m respike.data.fetch mnist --out data/mnist",
    )
    parser.add_argument("dataset", help="name in the registry, e.g. mnist")
    parser.add_argument("--out", required=True, type=foreign.path, help="folder for the files")
    parser.add_argument("--local", metavar="FOLDER", help="folder to try first; empty: none")
    parser.add_argument(
        "--registry",
        type=foreign.path,
        default=registry.REGISTRY,
        help="default: workflow/datasets.yaml",
    )
    options = parser.parse_args(arguments)
    local = foreign.path(options.local) if options.local else None
    entry = registry.entry(options.dataset, options.registry)
    fetch(options.dataset, entry, options.out, local, lambda line: print(line, flush=True))


if __name__ == "__main__":
    # Snakemake ends a job with SIGTERM: leave through the clean-up of temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main())
