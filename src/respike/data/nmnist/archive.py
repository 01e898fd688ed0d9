"""Recordings of N-MNIST out of folders and zip archives laid out as the official ones are.

`Train/<digit>/<number>.bin` and `Test/<digit>/<number>.bin`, below any folders; number n shows
image n - 1 of that half of MNIST. Archives are read in place and never extracted.
"""

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from respike.data.download import mirrors
from respike.data.download.mirrors import Say, SourceError
from respike.data.nmnist import binary_format
from respike.data.nmnist.event_table import TableWriter
from respike.runs import files, foreign

HALVES = {"Train": "train", "Test": "test"}  # folder of the layout -> split of a table
PACKED = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz")
OTHERS = {  # first bytes -> what a file is, in place of a zip archive
    b"\x1f\x8b": "a gzip file (.gz, .tgz)",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\0": "an xz file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
}
LARGEST = 5 * 2**20  # bytes of a .bin: two events per us for as long as times can tell


class Member(NamedTuple):
    """One recording of an archive."""

    index: int  # of the MNIST image, from 0
    label: int
    place: str  # for messages: archive and member, or file
    name: str  # for `Archive.read`


class Archive:
    """The files of a zip archive, or of the Train and Test folders in a folder; close it after use.

    Raises
    ------
    SourceError
        It is missing, is no archive, or holds unsafe names.
    """

    def __init__(self, path: Path):
        self.path = path
        self.zip = None
        if path.is_dir():
            return
        try:
            with path.open("rb") as stream:
                head = stream.read(512)
            if mirrors.is_page(head):
                raise SourceError(f"{path}: an HTML page instead of an archive")
            self.zip = foreign.open_zip(path)
        except FileNotFoundError:
            raise SourceError(f"{path}: no such file or folder") from None
        except foreign.ReadError as error:
            other = next((kind for start, kind in OTHERS.items() if head.startswith(start)), "")
            said = f"{path}: {other}, not a zip archive: unpack it and name the folder"
            raise SourceError(said if other else str(error)) from error
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the zip file."""
        if self.zip:
            foreign.close_zip(self.zip)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def place(self, name: str) -> str:
        """Return how a message names a file."""
        return f"{self.path}: {name}" if self.zip else str(self.path / name)

    def names(self) -> list[str]:
        """Return the names of all files, parts separated by /."""
        if not self.zip:
            halves = [half for half in HALVES if (self.path / half).is_dir()]
            try:
                return [f"{h}/{name}" for h in halves for name, _ in files.tree(self.path / h)]
            except OSError as error:
                where = error.filename or self.path
                raise SourceError(f"{where}: cannot be read: {error.strerror}") from error
        names = []
        for info in self.zip.infolist():
            # Nothing is extracted here; an archive with such names is refused all the same,
            # because others will extract it.
            name = info.orig_filename
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
                raise SourceError(f"{self.path}: archive refused: unsafe member {name!r}")
            if info.external_attr >> 28 == 0o12:
                raise SourceError(f"{self.path}: archive refused: {name!r} is a link")
            if not info.is_dir():
                names.append(info.filename)
        return names

    def read(self, name: str) -> bytes:
        """Return the content of a file; a zip member is checked by its CRC."""
        try:
            if not self.zip:
                return foreign.read_bytes(self.path / name, LARGEST)
            return foreign.read_member(self.zip, self.zip.getinfo(name), LARGEST)
        except foreign.ReadError as error:
            raise SourceError(f"{self.place(name)}: {error}") from error
        except OSError as error:
            raise SourceError(f"{self.place(name)}: cannot be read: {error}") from error

    def halves(self) -> dict[str, list[Member]]:
        """Return the recordings of each split, sorted by image, none missing between two others.

        Only .bin files count; read-me files and what a file manager leaves behind are passed over.
        """
        found: dict[str, dict[int, Member]] = {}
        names = self.names()
        for name in names:
            # Some programs of Windows write backslashes, which the format forbids.
            parts = PurePosixPath(name.replace("\\", "/") if self.zip else name).parts
            if not name.endswith(".bin") or "__MACOSX" in parts or parts[-1].startswith("._"):
                continue
            member, half = self._member(name, parts)
            other = found.setdefault(half, {}).setdefault(member.index, member)
            if other is not member:
                raise SourceError(f"{member.place}: there is also {other.name}")
        inner = [name for name in names if name.lower().endswith(PACKED)]
        if not found and inner:
            raise SourceError(
                f"{self.path}: holds other archives ({', '.join(sorted(inner)[:3])}): "
                "unpack it and name the folder with them"
            )
        return {
            split: self._in_order(half, found[half])
            for half, split in HALVES.items()
            if half in found
        }

    def _member(self, name: str, parts: tuple[str, ...]) -> tuple[Member, str]:
        half, digit, file = ("", "", *parts)[-3:]
        if half not in HALVES:
            raise SourceError(f"{self.place(name)}: not at Train/<digit>/ or Test/<digit>/")
        if not re.fullmatch("[0-9]", digit):
            raise SourceError(f"{self.place(name)}: the label folder {digit!r} is no digit")
        if not re.fullmatch(r"[0-9]{5}\.bin", file) or file == "00000.bin":
            raise SourceError(f"{self.place(name)}: not named 00001.bin, 00002.bin, ...")
        return Member(int(file[:5]) - 1, int(digit), self.place(name), name), half

    def _in_order(self, half: str, members: dict[int, Member]) -> list[Member]:
        first, last = min(members), max(members)
        if lacking := [i for i in range(first, last + 1) if i not in members]:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise SourceError(
                f"{self.path}: {half}: {lacking[0] + 1:05}.bin is missing{more} "
                f"(numbers go from {first + 1:05} to {last + 1:05})"
            )
        return [members[i] for i in sorted(members)]


def add_to(table: TableWriter, archive: Archive, split: str, members: list[Member], say: Say):
    """Write the recordings of one half of an archive to a table, with lines of progress.

    Raises
    ------
    SourceError, RecordingError
        A recording cannot be read or breaks the format; the message names it.
    """
    for block in _blocks(_reported(members, split, say), 100):
        events = [binary_format.decode(archive.read(m.name), m.place) for m in block]
        table.add(
            split, np.concatenate(events), [len(e) for e in events],
            [m.label for m in block], [m.index for m in block],
        )  # fmt: skip


def _reported(members: list[Member], split: str, say: Say) -> Iterator[Member]:
    next_report = time.monotonic() + mirrors.REPORT_S
    for done, member in enumerate(members):
        if time.monotonic() >= next_report:
            next_report += mirrors.REPORT_S
            say(f"  {split}: {done:,} of {len(members):,} recordings")
        yield member
    say(f"  {split}: {len(members):,} recordings")


def _blocks(items: Iterable[Member], length: int) -> Iterator[list[Member]]:
    block = []
    for item in items:
        block.append(item)
        if len(block) == length:
            yield block
            block = []
    if block:
        yield block
