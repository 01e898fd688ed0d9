"""Another document is one folder: made, run to the report, and gone when it is deleted."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, Tree

from respike.commands import cli, new_source
from respike.report import ledger
from respike.runs import files, sources

PAGE = ROOT / "CONTRIBUTING.md"
NAME, OTHER = "my_paper", "their_paper"
CLAIM = f"{NAME}.most_digits"


@pytest.fixture(scope="module")
def tree(tmp_path_factory, mnist_folder):
    """Return a copy of the project, its records left out, in which all sources are switched off."""
    tree = Tree(tmp_path_factory.mktemp("added") / "respike")
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("reports/records/"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    shutil.copytree(mnist_folder, tree / "data" / "mnist")
    config = (tree / "config.yaml").read_text()
    off = ", ".join(f"{source}: false" for source in sources.found())
    assert config.count("sources: {}") == 1
    (tree / "config.yaml").write_text(config.replace("sources: {}", f"sources: {{{off}}}"))
    tree.git("init", "--quiet", "--initial-branch=main")
    tree.git("add", "--all")
    tree.git("commit", "--quiet", "--message", "copy")
    return tree


def changed(tree):
    """Return the folders and files that git sees as new or changed."""
    return set(tree.git("status", "--porcelain").split("\n")) - {""}


def commands(page):
    """Return the commands of a Markdown page, in order."""
    blocks = re.findall(r"^```\n(.*?)^```$", page.read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def said(tree):
    """Return command of the page -> what it said: all are run as they stand there, in order.

    A second document is made beside the one of the page.
    """
    tree.run("respike", "new-source", OTHER)
    return {line: tree.run("bash", "-c", line).stdout for line in commands(PAGE)}


def claims(tree, folder="results/smoke"):
    """Return the claims of verdicts.json by id."""
    verdicts = json.loads((tree / folder / "verdicts.json").read_text())
    return {claim["id"]: claim for source in verdicts["sources"] for claim in source["claims"]}


def test_the_page_is_short_and_names_every_file_of_the_folder():
    text = PAGE.read_text()
    assert len(text.splitlines()) <= 120
    for file in new_source.TEMPLATE.iterdir():
        if file.is_file() and file.name != "__init__.py":
            named = text + new_source.next_steps(NAME)
            assert file.name in named, file.name


def test_the_commands_say_what_the_page_promises(tree, said):
    assert f"src/respike/sources/{NAME}/claims.yaml: valid, 1 claims" in said["respike check"]
    assert CLAIM in said[f"respike claims --source {NAME}"]
    shown = said[f"respike config {NAME} train --scale smoke"]
    assert re.search(rf"n_train +500 +src/respike/sources/{NAME}/config.yaml:\d+", shown)
    assert f"respike.sources.{NAME}.train.show" in said[f"respike digest {NAME} train"]
    assert f"{NAME} test" in said[f"respike bench --quick --source {NAME}"]
    assert "3 new records" in said[f"respike record --source {NAME} --scale default"]
    assert CLAIM in said[f"respike verdict {CLAIM} --scale smoke"]


def test_the_command_that_new_source_prints_runs_this_source_alone(tree, said):
    printed = said[f"respike new-source {NAME}"]
    (line,) = (line for line in printed.splitlines() if "snakemake" in line)
    listed = tree.run(*shlex.split(line), "--summary").stdout
    assert set(re.findall(r"^results/smoke/(\w+)/\w+/seed=", listed, re.M)) == {NAME}
    assert re.search(r"^reports/smoke/comparison.html\t", listed, re.M)


def test_the_claim_stands_in_the_report(tree, said):
    for name in (NAME, OTHER):
        claim = claims(tree)[f"{name}.most_digits"]
        assert claim["verdict"]["status"] == "reduced" and claim["measured"]["n"] == 2
        assert 0.4 < claim["measured"]["mean"] < 0.9
        for page in ("comparison.html", "comparison.md"):
            text = (tree / "reports/smoke" / page).read_text()
            assert f"{name}.most" in text.replace("\\", "") and f"{name}_accuracy" in text
        assert (tree / f"results/smoke/figures/{name}_accuracy.png").stat().st_size > 10_000
    networks = json.loads((tree / "results/smoke/networks.json").read_text())
    assert {row["source"] for group in networks for row in group["networks"]} == {NAME, OTHER}


def test_nothing_outside_the_folder_changed(tree, said):
    folders = {f"?? src/respike/sources/{name}/" for name in (NAME, OTHER)}
    assert changed(tree) == folders | {"?? reports/records/"}  # and the runs that were recorded
    assert os.listdir(tree / "reports/records") == [NAME]


def test_a_deleted_folder_is_gone_and_its_records_are_those_of_an_unknown_source(tree, said):
    shutil.rmtree(tree / "src/respike/sources" / NAME)
    tree.snakemake()
    assert set(claims(tree)) == {f"{OTHER}.most_digits"}
    assert NAME not in (tree / "reports/smoke/comparison.html").read_text()
    shown = tree.run("respike", "check").stdout
    assert f"3 of {NAME}, a source that is not here" in shown
    assert NAME not in tree.run("respike", "claims").stdout
    shutil.rmtree(tree / "src/respike/sources" / OTHER)  # none is left
    tree.snakemake("report_from_records", scale="default")
    (folder,) = {p.parent for p in tree.root.glob("reports/**/verdicts.json")}
    verdicts = json.loads((folder / "verdicts.json").read_text())
    (row,) = verdicts["unknown_sources"]
    assert verdicts["sources"] == []
    assert (row["source"], row["records"], row["scales"]) == (NAME, 3, ["default"])
    for page in ("comparison.html", "comparison.md"):
        text = (folder / page).read_text()
        assert "Records of sources that are not here" in text and NAME in text.replace("\\", "")
    assert changed(tree) == {"?? reports/records/"}


# What is refused.

BAD = {
    "": "lower-case letters",
    "My_paper": "lower-case letters",
    "my-paper": "lower-case letters",
    "9lives": "lower-case letters",
    "../elsewhere": "lower-case letters",
    "papier_mâché": "lower-case letters",
    "my_paper\n": "lower-case letters",
    "class": "a word of Python",
    "null": "YAML reads it as None",
    "off": "YAML reads it as False",
    "figures": "the workflow uses it",
    "shared": "exists",
    "x" * 41: "41 letters, at most 40",
    "poisson": "told from those of poisson_mlp",
    "poisson_mlp_again": "told from those of poisson_mlp",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_one_line_and_nothing_is_written(name, capsys):
    before = sorted(os.listdir(sources.FOLDER))
    assert cli.main(["new-source", name]) == 2
    shown = capsys.readouterr()
    assert BAD[name] in shown.err and shown.err.count("\n") == 1 and shown.out == ""
    assert sorted(os.listdir(sources.FOLDER)) == before


def test_no_rule_of_the_workflow_can_be_taken_for_one_of_a_source():
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in re.findall(r"^rule (\w+):", file.read_text(), re.M):
            parts = rule.split("_")
            for n in range(1, len(parts)):
                with pytest.raises(new_source.BadName):
                    new_source.check("_".join(parts[:n]))


def test_a_folder_that_exists_stays_as_it_is(tmp_path):
    for make in (Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")):
        make(tmp_path / NAME)
        with pytest.raises(new_source.BadName, match="exists"):
            new_source.write(NAME, tmp_path)
        assert os.listdir(tmp_path) == [NAME]
        (tmp_path / NAME).rmdir() if (tmp_path / NAME).is_dir() else (tmp_path / NAME).unlink()


def test_a_folder_that_takes_no_file_is_one_line(tmp_path):
    with pytest.raises(files.WriteError, match=f"cannot write {tmp_path}/missing/{NAME}: No such"):
        new_source.write(NAME, tmp_path / "missing")
    with pytest.raises(files.WriteError, match=f"cannot write /proc/{NAME}: "):
        new_source.write(NAME, Path("/proc"))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    write, written = Path.write_text, []

    def full(path, text, **options):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(files.WriteError, match="free some space"):
        new_source.write(NAME, tmp_path)
    assert len(written) == 3 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a", "x" * new_source.LONGEST])
def test_short_and_long_names_are_formatted_and_sound(tmp_path, name):
    place = tmp_path / "src/respike/sources"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = new_source.write(name, place)
    assert {file.name for file in folder.iterdir()} == {
        file.name for file in new_source.TEMPLATE.iterdir() if file.is_file()
    }
    ledger.load(folder / "claims.yaml")
    ours = 'lint.isort.known-first-party = ["respike"]'  # the rest of it is not here
    for check in (["check", "--config", ours], ["format", "--check"]):
        done = subprocess.run(["ruff", *check], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    assert not [file for file in folder.iterdir() if new_source.PLACEHOLDER in file.read_text()]


def test_the_template_is_no_source_and_is_packed():
    assert new_source.TEMPLATE.name not in sources.found()
    text = (ROOT / "pyproject.toml").read_text()
    assert "commands/source_template/*" in text
