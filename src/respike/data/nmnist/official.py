"""Make an event table of N-MNIST: python -m respike.data.nmnist --official --out FOLDER.

The official archives come through tonic, which knows their addresses and checksums; recordings
that are here already are read from a folder or an archive with --local.
"""

import argparse
import io
import os
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

from respike.data.download import resume
from respike.data.download.mirrors import Say, SourceError
from respike.data.nmnist import binary_format, event_table
from respike.data.nmnist.archive import HALVES, Archive, Member, add_to
from respike.data.nmnist.event_table import EventTable, TableError, TableWriter
from respike.runs import command, files, foreign, owned

OFFICIAL = {"train": 60_000, "test": 10_000}  # Orchard et al. 2015: one for each MNIST image


def from_official(out: Path, archives: Path, say: Say = print) -> None:
    """Write the table of the official recordings to `out`.

    The two archives are downloaded to the folder `archives`, or used if they are there.

    Raises
    ------
    SourceError, RecordingError, TableError, files.WriteError
        In one line: what is wrong, with which file, and what to do.
    """
    from tonic.datasets import NMNIST
    from tonic.download_utils import USER_AGENT

    named = {
        NMNIST.train_filename: (NMNIST.train_url, NMNIST.train_md5),
        NMNIST.test_filename: (NMNIST.test_url, NMNIST.test_md5),
    }
    for name, (url, md5) in named.items():
        say(f"{name}: from {url}")
        try:
            resume.download(url, archives / name, md5, say, USER_AGENT)
        except SourceError as error:
            raise type(error)(
                f"{error}. What to do: put {' and '.join(named)} into {archives}, connect to the "
                "network and run again, or give recordings of your own with --local"
            ) from error
    _write(out, [archives / name for name in named], say)


def from_local(out: Path, path: Path, say: Say = print) -> None:
    """Write the table of recordings on this machine to `out`.

    `path` is a zip archive, a folder with Train and Test (or NMNIST/Train and NMNIST/Test) or a
    folder with train.zip and test.zip; one half is enough. Archives with the checksums of the
    official ones make an official table. Raises what `from_official` raises.
    """
    _write(out, _archives(path), say)


def _archives(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for folder in (path, path / "NMNIST"):
        if any((folder / half).is_dir() for half in HALVES):
            return [folder]
    if zips := sorted(p for p in path.iterdir() if p.name.lower() in ("train.zip", "test.zip")):
        return zips
    raise SourceError(
        f"{path}: no folder Train or Test, no NMNIST/Train or NMNIST/Test, no train.zip or test.zip"
    )


def _write(out: Path, paths: list[Path], say: Say) -> None:
    start = time.monotonic()
    with ExitStack() as stack:
        found: dict[str, tuple[Archive, list[Member]]] = {}
        for path in paths:
            archive = stack.enter_context(Archive(path))
            for split, members in archive.halves().items():
                if split in found:
                    raise SourceError(f"{path}: {split} recordings, as in {found[split][0].path}")
                found[split] = archive, members
        if not found:
            raise SourceError(f"{paths[0]}: no file Train/<digit>/<number>.bin or Test/...")
        md5 = {path.name: resume.file_md5(path) for path in paths if path.is_file()}
        kind = "official" if _is_official(md5) else "local"
        if kind == "official":
            _check_counts({split: len(members) for split, (_, members) in found.items()})
        claim_table(out)
        with TableWriter(out, kind, _describe(kind, found), {"files": md5}) as table:
            for split, (archive, members) in found.items():
                add_to(table, archive, split, members, say)
    say(f"nmnist: {kind} recordings complete in {out} ({time.monotonic() - start:.1f} s)")


def claim_table(folder: Path) -> None:
    """Make sure that the files of an event table in `folder` are ours; raise owned.NotOwned."""
    parts = [f"{split}_{part}.npy" for split in event_table.SPLITS for part in event_table.PARTS]
    owned.claim(folder, ["manifest.json", *parts])


def _is_official(md5: dict[str, str]) -> bool:
    if len(md5) != 2:
        return False
    from tonic.datasets import NMNIST

    return sorted(md5.values()) == sorted((NMNIST.train_md5, NMNIST.test_md5))


def _check_counts(counts: dict[str, int]) -> None:
    for split, expected in OFFICIAL.items():
        if counts.get(split, 0) != expected:
            raise SourceError(
                f"official archives: {counts.get(split, 0):,} recordings for {split}, "
                f"not {expected:,}: files are missing"
            )


def _describe(kind: str, found: dict) -> str:
    if kind == "official":
        return "Official N-MNIST recordings, both halves, verified by the checksums in tonic."
    parts = [
        f"{split} {len(m):,} (images {m[0].index} to {m[-1].index})"
        for split, (_, m) in found.items()
    ]
    lacking = [split for split in HALVES.values() if split not in found]
    return f"Local recordings in the layout of N-MNIST: {', '.join(parts)}" + (
        f"; no {lacking[0]} half." if lacking else "."
    )


def export(table: EventTable, split: str, out_dir: Path, say: Say = print) -> None:
    """Write one split as official files, `out_dir`/NMNIST/Train/<digit>/<index + 1>.bin.

    `tonic.datasets.NMNIST(save_to=out_dir)` opens them as they are: it wants the archive it would
    have downloaded beside them, whatever that holds, so a small zip with a read-me stands there.
    It also wants at least 10,000 recordings, or it starts a download. A file that is there already
    stays as it is.

    Raises
    ------
    TableError
        The table lacks the split, or other recordings stand in that place; nothing was written.
    files.WriteError
        A file could not be written.
    """
    if split not in table.splits:
        raise TableError(f"the table holds {', '.join(table.splits)}, no {split} recordings")
    recordings = table.splits[split]
    check_export(table, split, out_dir)
    archive, half = _exported(out_dir, split)
    place = half.parent
    if not archive.exists():
        files.write_bytes(archive, _read_me(table, archive))
    say(f"{half}: writing {len(recordings):,} recordings")
    for i, (index, label) in enumerate(zip(recordings.index, recordings.labels, strict=True)):
        file = exported_file(out_dir, split, label, index)
        if not os.path.lexists(file):
            raw = binary_format.encode(recordings.recording(i))
            files.write_bytes(file, raw, sync=False)  # 70,000 waits for the disk take minutes
    if len(recordings) < 10_000:
        say(f"{place}: tonic.datasets.NMNIST opens 10,000 recordings or more, not fewer")


def check_export(table: EventTable, split: str, out_dir: Path) -> None:
    """Raise TableError if a file that `export` would write is there with another content.

    Emulated recordings are the same whenever they are made: a file that holds anything else is a
    real recording, or one of another seed.
    """
    archive, _ = _exported(out_dir, split)
    if os.path.lexists(archive) and not _holds(archive, _read_me(table, archive)):
        raise TableError(f"{archive}: there are other recordings here: export to another folder")
    recordings = table.splits[split]
    for i, (index, label) in enumerate(zip(recordings.index, recordings.labels, strict=True)):
        file = exported_file(out_dir, split, label, index)
        raw = binary_format.encode(recordings.recording(i)) if os.path.lexists(file) else b""
        if raw and not _holds(file, raw):
            raise TableError(f"{file}: another recording is here: export to another folder")


def exported_file(out_dir: Path, split: str, label: int, index: int) -> Path:
    """Return where `export` writes the recording of a digit; `index` is its image, from 0."""
    return _exported(out_dir, split)[1] / str(label) / f"{index + 1:05}.bin"


def _exported(out_dir: Path, split: str) -> tuple[Path, Path]:
    """Return where tonic looks for the official archive, and for what it unpacks to."""
    from tonic.datasets import NMNIST

    place = Path(out_dir) / NMNIST.__name__
    if split == "train":
        return place / NMNIST.train_filename, place / NMNIST.train_folder
    return place / NMNIST.test_filename, place / NMNIST.test_folder


def _read_me(table: EventTable, archive: Path) -> bytes:
    """Return a zip with nothing but a read-me, to stand in the place of an official archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        text = f"{table.description}\nNot the official {archive.name}.\n"
        packed.writestr(zipfile.ZipInfo("README.txt"), text)
    return buffer.getvalue()


def _holds(file: Path, content: bytes) -> bool:
    try:
        # By size first: a recording is small, what stands in its place need not be.
        return file.stat().st_size == len(content) and file.read_bytes() == content
    except OSError:
        return False


@command.ends("nmnist")
def main(arguments: list[str] | None = None) -> None:
    """Write a table; return 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m respike.data.nmnist",
        description="Write N-MNIST recordings as one event table, every recording checked.",
        epilog="example: python -m respike.data.nmnist --official --out data/nmnist",
    )
    parser.add_argument("--out", required=True, type=foreign.path, help="folder for the table")
    parser.add_argument(
        "--local", metavar="PATH",
        help="folder or .zip in the layout Train/<digit>/<number>.bin, or a folder with train.zip "
        "and test.zip; empty: none",
    )  # fmt: skip
    parser.add_argument(
        "--official", action="store_true",
        help="the official archives, 1.1 GB; an interrupted download goes on at the next run",
    )  # fmt: skip
    parser.add_argument(
        "--archives", type=foreign.path, metavar="FOLDER",
        help="where the official archives are or go to; default: OUT/archives",
    )  # fmt: skip
    parser.add_argument(
        "--if-reachable", action="store_true",
        help="where the official archives cannot be had, write down why in place of a table",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if bool(options.local) == options.official:
        parser.error("give either --local PATH or --official")

    def say(line: str) -> None:
        print(line, flush=True)

    if options.local:
        from_local(options.out, foreign.path(options.local), say)
        return
    try:
        from_official(options.out, options.archives or options.out / "archives", say)
    except resume.Unreachable as error:
        if not options.if_reachable:
            raise
        claim_table(options.out)
        event_table.write_unreachable(options.out, str(error))
        say(f"nmnist: the official recordings cannot be had: {error}")
