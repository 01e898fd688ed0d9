"""Nothing is removed or overwritten that is not provably ours."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from respike.commands import cli, reproduce
from respike.runs import owned, records
from respike.workflow import run_lock

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "respike"


@pytest.fixture
def precious(tmp_path):
    """Return a folder with a user's file, and a function that says whether it is untouched."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")

    def untouched():
        return (folder / "thesis.tex").read_text() == "years of work"

    return folder, untouched


def test_a_missing_an_empty_and_an_earlier_folder_are_made_empty(tmp_path):
    folder = tmp_path / "a" / "scratch"
    for _ in range(2):
        assert owned.make_empty(folder) == folder
        assert os.listdir(folder) == [owned.MARK]
        (folder / "results").mkdir()
        (folder / "results" / "metrics.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    owned.make_empty(tmp_path / "empty")


@pytest.mark.parametrize("what", ["unmarked", "git", "looks like ours", "copy", "file", "damaged"])
def test_a_folder_that_is_not_provably_ours_is_not_emptied(precious, tmp_path, what):
    folder, untouched = precious
    if what == "git":
        owned.make_empty(tmp_path / "scratch")
        shutil.copy(tmp_path / "scratch" / owned.MARK, folder)
        (folder / "deep").mkdir()
        (folder / "deep" / ".git").write_text("gitdir: elsewhere")
    elif what == "looks like ours":
        (folder / "Snakefile").touch()
    elif what == "copy":
        owned.make_empty(tmp_path / "scratch")
        shutil.copy(tmp_path / "scratch" / owned.MARK, folder)
    elif what == "damaged":
        (folder / owned.MARK).write_text("{")
    place = folder / "thesis.tex" if what == "file" else folder
    with pytest.raises(owned.NotOwned, match="Name a folder that does not exist yet"):
        owned.make_empty(place)
    assert untouched()


def test_a_git_folder_in_our_own_scratch_is_the_users(tmp_path):
    folder = owned.make_empty(tmp_path / "scratch")
    (folder / "sub" / ".git").mkdir(parents=True)
    with pytest.raises(owned.NotOwned, match=r"holds a \.git"):
        owned.make_empty(folder)
    assert (folder / "sub" / ".git").is_dir()


def test_the_checkout_its_parents_home_and_roots_are_refused(monkeypatch, tmp_path):
    home = tmp_path / "around" / "home"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    checkout = tmp_path / "over" / "checkout"
    checkout.mkdir(parents=True)
    monkeypatch.setattr(owned, "ROOT", checkout)
    link = tmp_path / "link"
    link.symlink_to(home)
    for folder in (checkout, checkout.parent, home, home.parent, "~", link):
        with pytest.raises(owned.NotOwned):
            owned.make_empty(folder)
    monkeypatch.chdir(home)
    with pytest.raises(owned.NotOwned, match="your home folder"):
        owned.make_empty(".")
    # Only asked, not tried: a fault here would be the end of the machine.
    assert owned._why_not_removed(Path("/")) and owned._why_not_removed(Path("/proc"))


def test_links_that_lead_out_are_removed_and_not_followed(precious, tmp_path):
    folder, untouched = precious
    scratch = owned.make_empty(tmp_path / "scratch")
    (scratch / "out").symlink_to(folder)
    (scratch / "deep").mkdir()
    (scratch / "deep" / "out").symlink_to(folder)
    owned.make_empty(scratch)
    assert untouched() and os.listdir(scratch) == [owned.MARK]


def test_a_folder_that_cannot_be_emptied_stays_ours(tmp_path, monkeypatch):
    scratch = owned.make_empty(tmp_path / "scratch")
    (scratch / "results").mkdir()

    def fail(path):
        raise OSError(16, "Device or resource busy", path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="busy"):
            owned.make_empty(scratch)
    owned.make_empty(scratch)


def test_files_that_a_mark_does_not_list_are_not_claimed(precious):
    folder, untouched = precious
    with pytest.raises(owned.NotOwned, match=r"thesis\.tex is there .* Move it away"):
        owned.claim(folder, ["other", "thesis.tex"])
    assert untouched() and os.listdir(folder) == ["thesis.tex"]
    owned.claim(folder, ["ours.csv"])
    (folder / "ours.csv").write_text("")
    owned.claim(folder, ["ours.csv", "more.csv"])
    owned.check_new(folder / "ours.csv", folder / "new")
    owned.remove(folder / "ours.csv")
    owned.remove(folder / "ours.csv")
    for call in (owned.remove, owned.check_new):
        with pytest.raises(owned.NotOwned):
            call(folder / "thesis.tex")
    assert untouched() and not (folder / "ours.csv").exists()


def test_a_dangling_link_counts_as_there(tmp_path):
    (tmp_path / "out.csv").symlink_to(tmp_path / "disk that is not mounted")
    with pytest.raises(owned.NotOwned):
        owned.check_new(tmp_path / "out.csv")


def test_a_file_set_aside_takes_no_other_files_place(tmp_path):
    for text, aside in (("a", "x.replaced-1"), ("b", "x.replaced-2")):
        (tmp_path / "x").write_text(text)
        assert owned.set_aside(tmp_path / "x").name == aside
    assert (tmp_path / "x.replaced-1").read_text() == "a"


@pytest.fixture
def config():
    return {"data": {"folder": "data", "mnist_folder": None, "nmnist_real": None}, "scale": "smoke"}


def test_reproduce_removes_neither_the_checkout_nor_another_project(
    precious, config, monkeypatch, tmp_path
):
    """Case of the field: `--into .`, and another project that has a Snakefile."""
    folder, untouched = precious
    (folder / "Snakefile").touch()
    checkout = tmp_path / "checkout"
    shutil.copytree(SRC, checkout / "src" / "respike")
    monkeypatch.setattr(owned, "ROOT", checkout)
    for place in (folder, checkout, checkout / "src"):
        with pytest.raises(owned.NotOwned):
            reproduce.run([], config, place, 1)
    assert untouched() and (checkout / "src" / "respike" / "runs" / "owned.py").exists()


def test_reproduce_does_not_empty_the_folder_of_a_run_that_is_at_work(
    config, monkeypatch, tmp_path
):
    scratch = owned.make_empty(tmp_path / "scratch")
    monkeypatch.setenv(run_lock.MARK, "")
    try:
        run_lock.hold(scratch)
        with pytest.raises(reproduce.ReproduceError, match=f"a run is at work in {scratch}"):
            monkeypatch.chdir(scratch)
            reproduce.run([], config, scratch, 1)
        assert run_lock.living(scratch) == {os.getpid()}
    finally:
        run_lock.forget(run_lock.runs(scratch), scratch)


def test_reproduce_leaves_the_original_of_a_download_alone(config, monkeypatch, tmp_path):
    checkout, scratch = tmp_path / "checkout", tmp_path / "scratch"
    archives = checkout / "data" / "nmnist_official" / "archives"
    archives.mkdir(parents=True)
    (archives / "train.zip").write_bytes(b"whole")
    (archives / "test.zip.part").write_bytes(b"half")
    monkeypatch.setattr(reproduce, "ROOT", checkout)
    monkeypatch.setattr(reproduce, "copy_project", lambda into: None)
    monkeypatch.setattr(reproduce, "command", lambda *_: ["true"])

    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    for link in (os.link, refuse):
        monkeypatch.setattr(os, "link", link)
        reproduce.run([], config, scratch, 1)
        copied = scratch / archives.relative_to(checkout)
        assert [p.name for p in copied.iterdir()] == ["train.zip"]
        assert (copied / "train.zip").read_bytes() == b"whole"


def test_a_withdrawal_wants_a_record(precious):
    folder, _ = precious
    (folder / "record.json").write_text('{"of": "another program"}')
    with pytest.raises(records.RecordError):
        records.withdraw(folder, "wrong")
    assert sorted(os.listdir(folder)) == ["record.json", "thesis.tex"]


@pytest.mark.parametrize("command", ["bench", "scaling", "stdp-table", "fit_emulator"])
def test_commands_do_not_write_over_a_users_file(precious, command, capsys):
    folder, untouched = precious
    out = str(folder / "thesis.tex")
    if command == "fit_emulator":
        from respike.data import fit_emulator

        assert fit_emulator.main(["--recordings", "none", "--mnist", "none", "--out", out]) == 1
    else:
        assert cli.main([command, "--out", out]) in (1, 2)
    assert "thesis.tex is there" in capsys.readouterr().err and untouched()


def test_emulated_recordings_do_not_take_the_place_of_real_ones(tmp_path, capsys):
    """Case of the field: a real Train/5/00001.bin and no train.zip."""
    rng = np.random.default_rng(0)
    images, labels = tmp_path / "images", tmp_path / "labels"
    pixels = rng.integers(0, 256, (3, 28, 28), np.uint8)
    images.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28]) + pixels.tobytes())
    labels.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    out = tmp_path / "D"
    call = ["emulate-nmnist", "--images", str(images), "--labels", str(labels), "--out", str(out)]
    call += ["--device", "cpu"]
    real = out / "NMNIST" / "Train" / "4" / "00003.bin"  # the last of them: nothing before it
    real.parent.mkdir(parents=True)
    real.write_bytes(b"taken with a camera")
    assert cli.main(call) == 2
    assert str(real) in capsys.readouterr().err
    assert [p for p in out.rglob("*") if p.is_file()] == [real]
    assert real.read_bytes() == b"taken with a camera"
    real.unlink()
    assert cli.main(call) == 0
    made = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert len(made) == 4 and cli.main(call) == 0  # again, as after a kill
    assert cli.main([*call, "--seed", "1"]) == 2  # these are another seed's
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == made


def test_a_fetched_data_set_does_not_take_the_place_of_a_users(tmp_path):
    import hashlib

    from respike.data import fetch

    local, out = tmp_path / "local", tmp_path / "out"
    local.mkdir()
    out.mkdir()
    (local / "images").write_bytes(b"official")
    (out / "images").write_bytes(b"the user's own")
    spec = {"images": {"bytes": 8, "sha256": hashlib.sha256(b"official").hexdigest()}}
    entry = {"files": spec, "sources": [{"kind": "folder", "setting": "data.mnist_folder"}]}
    (out / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(fetch.FetchError, match=r"manifest\.json is there"):
        fetch.fetch("mnist", entry, out, local, lambda line: None)
    (out / "manifest.json").unlink()
    fetch.fetch("mnist", entry, out, local, lambda line: None)
    assert (out / "images").read_bytes() == b"official"
    assert (out / "images.replaced-1").read_bytes() == b"the user's own"
    (out / "images").write_bytes(b"damaged!")
    fetch.fetch("mnist", entry, out, local, lambda line: None)  # its own manifest is no obstacle


def test_a_table_does_not_take_the_place_of_a_users_files(precious, tmp_path):
    from respike.data.nmnist import official

    folder, untouched = precious
    (folder / "train_labels.npy").write_bytes(b"the user's own")
    with pytest.raises(owned.NotOwned, match="train_labels"):
        official.claim_table(folder)
    assert untouched() and (folder / "train_labels.npy").read_bytes() == b"the user's own"


def test_a_run_does_not_begin_where_it_would_remove_a_users_manifest(tmp_path):
    place = tmp_path / "data" / "mnist"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text('{"name": "a web page"}')
    command = [sys.executable, "-m", "snakemake", "-n", "--config", "scale=smoke"]
    command += [f'data={{"folder": "{tmp_path / "data"}"}}']
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode and f"{place / 'manifest.json'} is there" in said
    assert "data.folder" in said and "Traceback" not in said
    (place / "manifest.json").write_text('{"dataset": "mnist"}')
    owned.check_data(tmp_path / "data")


def test_the_report_from_records_takes_no_users_files(precious):
    from respike.report import from_records

    folder, untouched = precious
    (folder / "results.csv").write_text("the user's own")
    with pytest.raises(owned.NotOwned, match=r"results\.csv is there"):
        from_records.build("default", folder, folder, folder)
    (folder / "figures").mkdir()
    with pytest.raises(owned.NotOwned, match="figures is there"):
        from_records.draw({"sources": []}, None, folder)
    assert untouched() and (folder / "results.csv").read_text() == "the user's own"


# ----------------------------------------------------------------------------------- the whole code

# Where files are written, removed or renamed otherwise than by files.py and owned.py.
ALLOWED = {
    ("data/nmnist/event_table.py", "TableWriter.__enter__"): "after official.claim_table in every "
    "caller",
    ("data/nmnist/event_table.py", "_Part.__init__"): "a temporary file with a random name",
    ("data/nmnist/event_table.py", "_Part.finish"): "onto a name that TableWriter has cleared",
    ("data/nmnist/event_table.py", "_Part.discard"): "its own temporary file",
    ("data/download/resume.py", "download"): "NAME.part is listed by name; an archive is set aside",
    ("data/download/resume.py", "_write"): "NAME.part, as above",
    ("data/download/mirrors.py", "_run_npm"): "the log in a temporary folder of its own",
    ("runs/checkpoints.py", "Kept.drop_arrays"): "its name is a digest of what it was made from",
    ("runs/command.py", "_unexpected"): "a log with time and process in its name",
    ("runs/command.py", "run"): "onto the null device",
    ("runs/scan/kept.py", "_kept.keep"): "files.write_bytes under another name",
    ("sources/nmnist_grid/benchmarks.py", "peak_mb"): "a file of the kernel",
    ("commands/reproduce.py", "copy_project"): "into the folder that owned.make_empty has made",
    ("commands/reproduce.py", "run"): "as above",
    ("commands/new_source.py", "write"): "in a temporary folder, onto a name that is not there",
    ("commands/scaling.py", "forget_peak"): "a file of the kernel",
    ("workflow/run_lock.py", "_removed"): "records of dead runs, and Snakemake's locks of theirs",
    ("workflow/startup.py", "keep_locks_of_others.unlock"): "Snakemake's locks of this run alone",
    ("figures/draw.py", "main"): "into memory",
    ("figures/networks.py", "main"): "into memory",
}
WRITES = {
    "rmtree", "unlink", "rmdir", "removedirs", "rename", "renames", "move", "copy", "copy2",
    "copyfile", "copytree", "link", "symlink", "symlink_to", "hardlink_to", "write_text",
    "write_bytes", "savez", "savez_compressed", "tofile", "savefig", "to_csv", "touch", "truncate",
}  # fmt: skip


def writes(source: str) -> set[tuple[str, str]]:
    """Return (function, call) of each call that removes, renames or writes a file."""
    found = set()

    def visit(node, where):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            where = [*where, node.name]
        if isinstance(node, ast.Call):
            name, owner = _name(node.func)
            if _is_write(name, owner, node):
                found.add((".".join(where), name))
        for child in ast.iter_child_nodes(node):
            visit(child, where)

    visit(ast.parse(source), [])
    return found


def _name(function) -> tuple[str, str]:
    if isinstance(function, ast.Attribute):
        return function.attr, getattr(function.value, "id", "")
    return getattr(function, "id", ""), ""


def _is_write(name, owner, call) -> bool:
    if owner in ("files", "owned", "copy", "np", "numpy") and name not in ("savez", "save"):
        return False
    if name in ("remove", "replace"):  # also of lists and texts
        return owner == "os" or (name == "replace" and len(call.args) == 1 and not call.keywords)
    if name == "save":
        return owner in ("np", "numpy", "torch")
    if name == "copy":
        return owner == "shutil"
    if name == "open":
        modes = [*call.args, *(k.value for k in call.keywords if k.arg == "mode")]
        texts = [n.value for m in modes for n in ast.walk(m) if isinstance(n, ast.Constant)]
        return any(isinstance(t, str) and len(t) < 4 and set(t) & set("wax+") for t in texts)
    return name in WRITES


def test_the_search_finds_every_kind_of_write():
    calls = (
        "shutil.rmtree(a)", "a.unlink()", "os.remove(a)", "os.replace(a, b)", "a.replace(b)",
        "shutil.move(a, b)", "open(a, 'w')", "a.open('ab' if b else 'wb')", "open(a, mode='x')",
        "np.save(a, b)", "torch.save(a, b)", "a.write_text(b)", "shutil.copy(a, b)", "a.rename(b)",
    )  # fmt: skip
    for call in calls:
        assert writes(f"def f():\n    {call}"), call
    for call in (
        "open(a)",
        "open(a, 'rb')",
        "a.replace('b', 'c')",
        "a.remove(b)",
        "files.write_text(a, b)",
    ):
        assert not writes(f"def f():\n    {call}"), call


def test_every_removal_and_write_goes_through_files_or_owned():
    used, stray = set(), []
    for file in sorted(SRC.rglob("*.py")):
        name = file.relative_to(SRC).as_posix()
        if name in ("runs/files.py", "runs/owned.py"):
            continue
        for function, call in writes(file.read_text(encoding="utf-8")):
            entry = (name, function) if (name, function) in ALLOWED else (name, "*")
            used.add(entry)
            if entry not in ALLOWED:
                stray.append(f"{name}: {function}: {call}")
    assert not stray, (
        "write with respike.runs.files, remove with respike.runs.owned, or give a reason here"
    )
    assert used == ALLOWED.keys(), "these are no longer needed"


# ------------------------------------------------------------------------------------- make, setup


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout in which workflow/setup.sh makes a small environment, and its call."""
    root = tmp_path / "real"
    (root / "workflow").mkdir(parents=True)
    shutil.copy(ROOT / "workflow" / "setup.sh", root / "workflow")
    for name in ("requirements.lock", "pyproject.toml"):
        (root / name).write_text("a==1\n")
    python = tmp_path / "python"  # stands in for Python: makes what the script looks for
    python.write_text(
        "#!/bin/sh\n"
        f'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp {python} "$3/bin/python"; fi\n'
    )
    python.chmod(0o755)

    def setup(place=root, status=0):
        done = subprocess.run(
            ["bash", "workflow/setup.sh"], cwd=place, capture_output=True, text=True,
            env={**os.environ, "PYTHON": str(python), "PWD": str(place)},
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return root, setup


def test_an_environment_is_kept_when_the_checkout_is_reached_through_a_link(checkout, tmp_path):
    root, setup = checkout
    assert "creating" in setup()
    (root / ".venv" / "here").touch()
    (tmp_path / "link").symlink_to(root)
    assert setup(tmp_path / "link") == "" and (root / ".venv" / "here").exists()


def test_an_environment_of_another_making_is_left_alone(checkout):
    root, setup = checkout
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin")
    said = setup(status=1)
    assert "not of this script's making" in said and "move it away" in said
    assert (root / ".venv" / "pyvenv.cfg").exists()


def test_a_stale_and_an_interrupted_environment_are_made_anew(checkout):
    root, setup = checkout
    setup()
    (root / "requirements.lock").write_text("a==2\n")
    (root / ".venv" / "old").touch()
    assert "creating" in setup() and not (root / ".venv" / "old").exists()
    (root / ".venv" / "lock.stamp").unlink()
    (root / ".venv" / "old").touch()
    assert "creating" in setup() and not (root / ".venv" / "old").exists()


def test_make_clean_touches_no_other_project(precious):
    folder, untouched = precious
    (folder / "logs").mkdir()
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "clean"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode and "call it in the checkout" in done.stderr
    assert untouched() and (folder / "logs").is_dir()


def test_a_slurm_of_tests_takes_no_folder_of_a_user(precious):
    folder, untouched = precious
    (folder / "slurm.conf").write_text("of a real cluster")
    script = ROOT / "workflow" / "slurm" / "start.sh"
    (folder / "apt-get").write_text("#!/bin/sh\nexit 1\n")  # a fault here must install nothing
    (folder / "apt-get").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", str(script), str(folder)], env=env, capture_output=True, text=True
    )
    assert done.returncode and (folder / "slurm.conf").read_text() == "of a real cluster"
    assert untouched() and ("name another folder" in done.stderr or "must be root" in done.stderr)
