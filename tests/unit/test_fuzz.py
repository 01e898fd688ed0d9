"""Files from outside, damaged in every way: one error of ours, in bounds of time and memory.

What Hypothesis found, and what is known to break such readers, stands below as cases of its own.
"""

import copy
import gzip
import hashlib
import io
import json
import struct
import time
import tracemalloc
import zipfile

import hypothesis
import numpy as np
import pytest
import yaml
from hypothesis import strategies as st

from respike.commands import emulate
from respike.data.download import registry
from respike.data.download.mirrors import SourceError
from respike.data.nmnist import binary_format, event_table, official
from respike.report import collect, ledger
from respike.runs import files, foreign, provenance, records, strict_yaml
from respike.runs.provenance import ROOT
from respike.sources.stdp_tables import evaluate
from respike.sources.stdp_tables.model import Constants, StdpError
from respike.workflow import config, dag

MB = 2**20
CONSTANTS = config.load(ROOT / "config.yaml", everything=True)
CONFIG = """\
scale: default
device: auto
data:
  {folder: data, mnist_folder: null, nmnist: emulated,
   nmnist_recordings: {smoke: [9, 3], default: [60000, 10000], paper: [60000, 10000]}}
seeds: {smoke: [0, 1], default: [0, 1, 2], paper: [0, 1, 2, 3]}
sources:
  poisson_mlp:
    train:
      settings: {n_hidden: 250, num_steps: 50, v_thresh: 0.5, beta: 0.98}
      scales: {smoke: {n_train: 300}}
    no_clip: {extends: train, settings: {grad_clip: null}}
    sweep_v_thresh: {extends: train, vary: {v_thresh: {smoke: [0.5, 2.0], default: []}}}
"""


def constants():
    """Return the constants of a network of STDP that `config.yaml` names."""
    found = dag.experiment(CONSTANTS, "stdp_tables", "poisson_diehl_cook").settings
    own = {name: found[name] for name in Constants.__dataclass_fields__ if name in found}
    return Constants(**own | {"neuron": "diehl_cook", "rule": "PostPre"})


def finished(folder):
    """Write a finished run into a folder; return its metrics.json."""
    files.write_npz(folder / "arrays.npz", {"predictions": np.zeros(9, np.uint8)})
    result = provenance.record("poisson_mlp", "encode", "cpu") | {
        "experiment": "encode", "seed": 0, "settings": {}, "protocol": "as_documented",
        "scale": "default", "data_sha256": {}, "data_kind": "official", "device": "cpu",
        "threads": 2, "started": "2026-01-01T10:00:00+00:00", "wall_s": 30.5,
        "metrics": {"accuracy": 0.9}, "series": {},
        "arrays_sha256": hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest(),
    }  # fmt: skip
    files.write_json(folder / "metrics.json", result | {"seal": provenance.seal(result)})
    return folder / "metrics.json"


def idx(*shape, content=None):
    content = bytes(int(np.prod(shape))) if content is None else content
    return struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape) + content


def zipped(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(head, content=b""):
    head = head.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


EVENTS = binary_format.encode(binary_format.pack([3, 4], [5, 6], [10, 20], [0, 1]))
RECORDINGS = {"Train/3/00001.bin": EVENTS, "Train/4/00002.bin": EVENTS}
GOOD_STATE = npz(w=np.full((784, 2), 0.1, np.float32), theta=np.zeros(2, np.float32))


# The readers: a good file, and what reads it.


def read_idx(folder, content):
    (folder / "images").write_bytes(content)
    emulate.read_idx(folder / "images")


def read_bin(folder, content):
    binary_format.decode(content, "00001.bin")


def read_zip(folder, content):
    (folder / "a.zip").write_bytes(content)
    official.from_local(folder / "out", folder / "a.zip", lambda line: None)


def read_npz(folder, content):
    (folder / "net.npz").write_bytes(content)
    evaluate.read_state(folder / "net.npz", constants())


def read_config(folder, content):
    (folder / "config.yaml").write_bytes(content)
    config.load(folder / "config.yaml")


def read_ledger(folder, content):
    (folder / "ledger.yaml").write_bytes(content)
    ledger.load(folder / "ledger.yaml")


def read_registry(folder, content):
    (folder / "datasets.yaml").write_bytes(content)
    registry.load(folder / "datasets.yaml")


def read_metrics(folder, content):
    finished(folder / "run")
    (folder / "run" / "metrics.json").write_bytes(content)
    expected = {"source": "poisson_mlp", "experiment": "encode", "seed": 0, "settings": {}}
    try:
        collect.read_runs({"run/metrics.json": expected}, "default", folder)
    except collect.RefusedError:
        pass
    records.add(folder / "run" / "metrics.json", folder / "records")


def read_record(folder, content):
    where = finished(folder / "run")
    kept = records.add(where, folder / "records")
    (kept / "record.json").write_bytes(content)
    records.load(folder / "records")


def good_metrics(folder):
    return finished(folder / "good").read_bytes()


def good_record(folder):
    kept = records.add(finished(folder / "good"), folder / "good_records")
    return (kept / "record.json").read_bytes()


READERS = {
    "idx": (read_idx, emulate.InputError, lambda _: idx(2, 28, 28)),
    "idx.gz": (read_idx, emulate.InputError, lambda _: gzip.compress(idx(2, 28, 28), mtime=0)),
    "bin": (read_bin, binary_format.RecordingError, lambda _: EVENTS),
    "zip": (
        read_zip, (SourceError, binary_format.RecordingError, event_table.TableError),
        lambda _: zipped(RECORDINGS),
    ),
    "npz": (read_npz, StdpError, lambda _: GOOD_STATE),
    "config": (read_config, config.ConfigError, lambda _: CONFIG.encode()),
    "ledger": (
        read_ledger, ledger.LedgerError,
        lambda _: (ROOT / "src/respike/sources/nmnist_emulator/claims.yaml").read_bytes(),
    ),
    "registry": (
        read_registry, registry.RegistryError,
        lambda _: (ROOT / "workflow/datasets.yaml").read_bytes(),
    ),
    "metrics": (read_metrics, records.RecordError, good_metrics),
    "record": (read_record, records.RecordError, good_record),
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """Return a function that gives a new empty folder in a folder that must stay as it is."""
    numbers = iter(range(10**6))

    def new():
        folder = tmp_path / str(next(numbers)) / "target"
        folder.mkdir(parents=True)
        return folder

    return new


def fails_in_bounds(reader, folder, content):
    """Read; whatever is raised must be the reader's one error, and nothing may leave `folder`."""
    read, error, _ = READERS[reader]
    started = time.monotonic()
    try:
        read(folder, content)
        failure = None
    except error as caught:
        failure = str(caught)
    assert time.monotonic() - started < 10
    assert [path.name for path in folder.parent.iterdir()] == ["target"]
    return failure


FUZZ = hypothesis.settings(
    derandomize=True, deadline=None, database=None, max_examples=40,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip


@st.composite
def patches(draw):
    """Changes of a file: (place from 0 to 1, bytes there cut out, bytes put there instead)."""
    number = st.floats(0, 1, exclude_max=True)
    few = st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"[", b"{", b"&a ", b"*a", b"../"]
        ),
    )
    return draw(st.lists(st.tuples(number, st.integers(0, 12), few), min_size=1, max_size=5))


def patched(content, changes):
    for where, cut, new in changes:
        at = int(where * (len(content) + 1))
        content = content[:at] + new + content[at + cut :]
    return content


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_one_error(place, reader):
    good = READERS[reader][2](place())
    assert fails_in_bounds(reader, place(), good) is None

    @FUZZ
    @hypothesis.given(patches())
    def damage(changes):
        fails_in_bounds(reader, place(), patched(good, changes))

    @hypothesis.settings(FUZZ, max_examples=15)
    @hypothesis.given(st.binary(max_size=200))
    def anything(content):
        fails_in_bounds(reader, place(), content)

    damage()
    anything()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["../x", "/x", "\0", "respike.", "2001-99-99", "x" * 300, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def replaced(tree, data):
    """Return a tree with one value, drawn by Hypothesis, in place of another."""
    tree = copy.deepcopy(tree)
    holder = tree
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            continue
        holder[key] = data.draw(PLAIN)
        return tree


@pytest.mark.parametrize("reader", ["config", "ledger", "metrics", "record"])
def test_a_value_of_another_kind_is_one_error(place, reader):
    """A seal is no signature: whoever forges a result can seal it."""
    good = READERS[reader][2](place())
    tree = yaml.safe_load(good)

    # YAML is checked by a schema of hundreds of rules.
    @hypothesis.settings(FUZZ, max_examples=15 if reader in ("config", "ledger") else 40)
    @hypothesis.given(st.data())
    def forge(data):
        forged = replaced(tree, data)
        if reader == "record" and isinstance(forged.get("result"), dict):
            forged["result"]["seal"] = provenance.seal(forged["result"])
        if reader in ("metrics", "record"):
            forged["seal"] = provenance.seal(forged)
            content = json.dumps(forged).encode()
        else:
            content = yaml.safe_dump(forged, allow_unicode=False).encode()
        fails_in_bounds(reader, place(), content)

    forge()


def nested(n):
    return b"a: " + b"[" * n + b"]" * n


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))
HEAD = "{{'descr': '{}', 'fortran_order': False, 'shape': (1152921504606846976,)}}\n"
CASES = {
    "a million brackets: the loader's C code overflows": ("config", nested(200_000)),
    "brackets beyond Python's recursion": ("ledger", nested(2000)),
    "aliases of aliases: 9^11 values": ("config", LAUGHS.encode()),
    "merges of merges": ("registry", MERGES.encode()),
    "aliases one in another": ("config", CHAIN.encode()),
    "an alias of itself": ("config", b"a: &a [*a]"),
    "a list too long to be compared": ("config", b"seeds: {smoke: [" + b"1, a, " * 5_000 + b"]}"),
    "a number that Python refuses": ("config", b"a: " + b"1" * 5000),
    "a day that is none": ("ledger", b"a: 2001-99-99"),
    "a tag that does not fit": ("config", b"a: !!int x"),
    "a list as a key": ("config", b"? [a]\n: 1"),
    "a key that is no text": ("config", CONFIG.encode() + b"1: x\nnull: y\n"),
    "not text": ("config", b"\xff\xfe\x00"),
    "255 axes": ("idx", b"\x00\x00\x08\xff" + bytes(4 * 255)),
    "huge axes and nothing in them": ("idx", idx(0, 2**32 - 1, 2**32 - 1, content=b"")),
    "huge axes": ("idx", idx(2**32 - 1, 28, 28, content=b"")),
    "a gzip that unpacks to 200 MB": ("idx", gzip.compress(bytes(200 * MB), 1)),
    "clock events alone": ("bin", b"\x00\xf0\x00\x00\x00" * 9),
    "an array of 2^60 numbers": (
        "npz", zipped({"w.npy": npy(HEAD.format("<f8"))}),
    ),
    "an array of nothing, often": (
        "npz", zipped({"w.npy": npy(HEAD.format("<V0"))}),
    ),
    "a head of brackets": ("npz", zipped({"w.npy": npy("(" * 9000)})),
    "an npz that unpacks to 300 MB": ("npz", zipped({"w.npy": bytes(300 * MB)})),
    "a pickle": ("npz", npz(w=np.array([None, 1], object))),
    "text for numbers": ("npz", npz(w=np.full((784, 2), "x"), theta=np.zeros(2))),
    "packed without a bound": ("npz", zipped({"w.npy": bytes(30 * MB)}, zipfile.ZIP_BZIP2)),
    "a recording of 60 MB": ("zip", zipped({"Train/3/00001.bin": bytes(60 * MB)})),
    "packed with lzma": ("zip", zipped(RECORDINGS, zipfile.ZIP_LZMA)),
    "a name that leads out": ("zip", zipped({"../Train/3/00001.bin": EVENTS})),
    "an absolute name": ("zip", zipped({"/Train/3/00001.bin": EVENTS})),
    "a list of files of 4 GB": ("zip", zipped(RECORDINGS)[:-10] + b"\xfe\xff\xff\xff\0" * 2),
    "JSON beyond recursion": ("record", b"[" * 100_000),
    "JSON nested": ("metrics", b"[" * 500 + b"]" * 500),
    "not a number": ("metrics", b'{"wall_s": NaN}'),
    "infinite": ("metrics", b'{"wall_s": 1e999}'),
    "a long number": ("record", b"1" * 5000),
    "20 MB of lists": ("metrics", b"[" + b"[]," * (7 * MB) + b"0]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_made_to_break_its_reader(place, case):
    reader, content = CASES[case]
    tracemalloc.start()
    try:
        failure = fails_in_bounds(reader, place(), content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert failure and len(failure) < 3000 and peak < 500 * MB


def test_a_zip_that_declares_less_than_it_holds_is_not_unpacked(tmp_path):
    """zipfile unpacks all of a member before it cuts it to the size declared."""
    raw = bytearray(zipped({"Train/3/00001.bin": bytes(100 * MB)}))
    size = struct.pack("<I", 100 * MB)
    raw = raw.replace(size, struct.pack("<I", 5 * 1000))
    (tmp_path / "a.zip").write_bytes(raw)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="damaged in the archive"):
            official.from_local(tmp_path / "out", tmp_path / "a.zip", lambda line: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MB


OLD_FORM = {"schema": 1, "root": None}  # named a module


@pytest.mark.parametrize("change", [
    {"source": "../../out"}, {"source": "../poisson_mlp"}, {"source": "toy\0"},
    {"source": "x" * 300}, {"root": "../../out"}, {"root": "x" * 300}, {"root": "train"},
    {"experiment": "../../out"}, {"seal": "../../../../../out"},
    {"started": "2026-99-01T10:00:00+00:00"}, OLD_FORM | {"module": "respike../etc/x"},
    OLD_FORM | {"module": "respike." + "x" * 300}, OLD_FORM | {"module": "respike.report.wording"},
])  # fmt: skip
def test_a_forged_result_is_not_recorded_elsewhere(place, change):
    folder = place()
    result = json.loads(finished(folder / "good").read_text()) | change
    if "module" in change:
        del result["root"]
    if "seal" not in change:
        result["seal"] = provenance.seal(result)
    assert fails_in_bounds("metrics", place(), json.dumps(result).encode())


def test_the_files_of_the_project_are_far_within_the_bounds():
    for path in [ROOT / "config.yaml", *(ROOT / "workflow").rglob("*.yaml")]:
        assert path.stat().st_size < strict_yaml.BYTES / 5
        strict_yaml.load(path)
    sizes = [path.stat().st_size for path in (ROOT / "reports/records").rglob("record.json")]
    assert max(sizes) < foreign.JSON_BYTES / 100
