"""What may be removed or overwritten: only what is provably ours.

Ours is what lies in the output folders of this checkout, which are listed here by name, and what a
mark says: a small file that is written into a folder when it is made, with the names of the files
that are ours there. Everything else belongs to the user, and is refused by name with the cure.
Whole files are written by respike.runs.files; every other removal goes through this module.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from respike.runs import files
from respike.runs.provenance import ROOT

MARK = ".made-by-respike.json"
OUTPUTS = ("data", "results", "reports", "logs", "build", ".cache")  # of the checkout; `make clean`


class NotOwned(files.WriteError):
    """Something would be lost that is not provably ours; the message names it and the cure."""


def make_empty(folder: Path | str) -> Path:
    """Make `folder` an empty folder with our mark; return its physical path.

    It may be missing, empty, or carry the mark of an earlier call, whose content is then removed.
    The mark names the place, so a copy of such a folder is not ours. Links in it are removed, what
    they lead to is not.

    Raises
    ------
    NotOwned
        It is anything else, the checkout, the home folder, the root of a file system or a folder
        around one of these, or it holds a `.git` or another file system.
    files.WriteError
        It cannot be made or emptied.
    """
    folder = Path(folder).expanduser().resolve()
    if reason := _why_not_removed(folder):
        raise NotOwned(
            f"{folder} is not emptied: {reason}. Name a folder that does not exist yet or is empty"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The mark stays to the last: a killed call leaves a folder that the next one may empty.
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != MARK:
                os.unlink(entry.path)
    except OSError as error:
        raise files.write_error(error.filename or folder, error) from error
    files.write_json(folder / MARK, {"scratch": str(folder)})
    return folder


def claim(folder: Path | str, names: Iterable[str]) -> None:
    """Say that these files and folders in `folder` are ours from now on, to replace or remove.

    Raises
    ------
    NotOwned
        One of them is there and the folder's mark does not list it.
    files.WriteError
        The mark cannot be written.
    """
    folder, names = Path(folder), set(names)
    check_new(*(folder / name for name in names))
    listed = _listed(folder)
    if not _is_output(folder / MARK) and names - listed:
        files.write_json(folder / MARK, {"files": sorted(names | listed)})


def check_new(*paths: Path | str) -> None:
    """Raise NotOwned if one of these files is there and not provably ours."""
    for path in sorted(map(Path, paths)):
        if not _is_owned(path):
            _check_absent(path)


def check_data(folder: Path | str) -> None:
    """Raise NotOwned if a file of the user's stands where a manifest of a data set must go.

    Before a run: Snakemake removes the outputs of a job before the job can look at them.
    """
    for name in ("mnist", "nmnist*"):
        check_new(*Path(folder).glob(f"{name}/manifest.json"))


def remove(path: Path | str) -> None:
    """Remove a file if it is there; raise NotOwned if no mark lists it, WriteError if it stays."""
    path = Path(path)
    check_new(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise files.write_error(path, error) from error


def set_aside(path: Path | str) -> Path:
    """Rename a file that stands where ours must go, so that nothing is lost; return its new name.

    Raises
    ------
    files.WriteError
        It cannot be renamed.
    """
    path = Path(path)
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.replaced-{number}")
        if not os.path.lexists(aside):
            break
    try:
        path.rename(aside)
    except OSError as error:
        raise files.write_error(path, error) from error
    return aside


def _check_absent(path: Path) -> None:
    if os.path.lexists(path):
        raise NotOwned(
            f"{path} is there and not known to be made by Respike: it is neither overwritten nor "
            "removed. Move it away, or name another place"
        )


def _is_output(path: Path) -> bool:
    # By the path as it is written: `data` or `results` may be a link to a larger disk.
    place = Path(os.path.abspath(path))
    return any(place.is_relative_to(ROOT / name) for name in OUTPUTS)


def _is_owned(path: Path) -> bool:
    if _is_output(path):
        return True
    above = [(folder, path.relative_to(folder).parts[0]) for folder in path.parents]
    # The manifest of a data set is a mark too, of itself alone.
    manifest = path.name == "manifest.json" and "dataset" in _json(path)
    return manifest or any(name in _listed(folder) for folder, name in above)


def _listed(folder: Path) -> set[str]:
    return set(_json(folder / MARK).get("files", ()))


def _json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _why_not_removed(folder: Path) -> str:
    """Return why the content of `folder` must not go; empty if it may, or if there is none."""
    for kept, name in ((ROOT, "the checkout"), (_home(), "your home folder")):
        if kept and folder == kept:
            return f"it is {name}"
        if kept and kept.is_relative_to(folder):
            return f"{name} is in it"
    if os.path.ismount(folder):
        return "it is the root of a file system"
    if not os.path.lexists(folder):
        return ""
    if not folder.is_dir():
        return "it is no folder"
    try:
        if not any(folder.iterdir()):
            return ""
        device = folder.stat().st_dev
        for place, folders, names in os.walk(folder, onerror=_raise):
            if ".git" in (*folders, *names):
                return f"{place} holds a .git"
            if os.lstat(place).st_dev != device:
                return f"{place} is another file system"
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    made = _json(folder / MARK).get("scratch")
    if made is None:
        return "it is not empty, and Respike has not made it"
    if made != str(folder):
        return f"it is a copy of {made}, which Respike has made"
    return ""


def _raise(error: OSError) -> None:
    raise error


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):
        return None
