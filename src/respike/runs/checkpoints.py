"""Finished parts of a long job, on disk at once: a killed job goes on where it was.

Snakemake removes the outputs of a job before it runs it again, so parts are no outputs: they lie
beside them, each under a digest of everything that it was made from. Plumbing: nothing here changes
a number.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from respike.runs import files, provenance

MADE_FROM = "kept: made from"  # array beside those of a part


def of_job(folder: Path | str, made_from: Mapping, data_sha256: dict, device: str) -> "Kept":
    """Return the parts of jobs made from this code and these pins, data and kind of device."""
    code, pins = provenance.digests({**made_from, "device": device})
    made = {"code": code, "pins": pins, "data_sha256": data_sha256, "device": device}
    return Kept(folder, made)


class Kept:
    """Parts of one job in `folder`; `made_from` is what all of them depend on."""

    def __init__(self, folder: Path | str, made_from: dict):
        self.folder, self.made_from = Path(folder), made_from

    def _made_from(self, name: str) -> str:
        return json.dumps([self.made_from, name], sort_keys=True)

    def _file(self, name: str, ending: str) -> Path:
        digest = hashlib.sha256(self._made_from(name).encode()).hexdigest()[:24]
        return self.folder / f"{digest}{ending}"

    def get(self, name: str) -> Any | None:
        """Return the part kept under this name; None if there is none or its file is damaged."""
        try:
            content = json.loads(self._file(name, ".json").read_text(encoding="utf-8"))
            made = content["made_from"] == self.made_from and content["name"] == name
            if made and content["seal"] == provenance.seal(content):
                return content["value"]
        except Exception:  # damaged in whatever way: it is made anew
            pass
        return None

    def put(self, name: str, value: Any) -> None:
        """Keep a part of plain numbers, texts, lists and dicts."""
        content = {"name": name, "made_from": self.made_from, "value": files.plain(value)}
        content = {**content, "seal": provenance.seal(content)}
        files.write_json(self._file(name, ".json"), content)

    def get_arrays(self, name: str) -> dict | None:
        """Return arrays kept under this name; None if there are none or they are damaged."""
        import numpy as np

        try:
            with np.load(self._file(name, ".npz"), allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            return arrays if str(arrays.pop(MADE_FROM)) == self._made_from(name) else None
        except Exception:  # as in `get`
            return None

    def put_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Keep arrays in place of those of the same name."""
        made_from = {MADE_FROM: self._made_from(name)}
        files.write_npz(self._file(name, ".npz"), {**arrays, **made_from})

    def drop_arrays(self, name: str) -> None:
        """Remove arrays that are no longer needed."""
        self._file(name, ".npz").unlink(missing_ok=True)
