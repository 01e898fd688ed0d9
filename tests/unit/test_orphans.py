"""Only the Slurm jobs of an earlier run in this folder are cancelled; Slurm is a stub."""

import os

import pytest

from respike.workflow import orphans


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Return a function that fills the queue of a squeue which scancel empties, or not."""
    for name, text in {
        "squeue": "cat queue",
        "scancel": 'for id; do test -e deaf || sed -i "/^$id|/d" queue; done; echo $@ > cancelled',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()

    def fill(*jobs):
        rows = [f"{job}|{name}|{here if mine else other}\n" for job, name, mine in jobs]
        (tmp_path / "queue").write_text("".join(rows))
        return here

    return fill


def test_jobs_of_this_folder_go_and_all_others_stay(queue, tmp_path):
    here = queue(
        ("11", "respike_a-b", True), ("12", "respike_c-d", False), ("13", "respikes_a", True),
        ("14", "respike", True), ("15_[1-9]", "respike_e", True),
    )  # fmt: skip
    assert orphans.left_over("respike", here) == ["11", "15_[1-9]"]
    queue(("11", "respike_a-b", True), ("12", "respike_c-d", False))
    assert orphans.cancel("respike", here) == ["11"]
    assert (tmp_path / "cancelled").read_text() == "11\n"
    assert orphans.cancel("respike", here) == []


def test_a_link_to_the_folder_is_the_folder(queue, tmp_path):
    here = queue(("11", "respike_a", True))
    (tmp_path / "link").symlink_to(here)
    assert orphans.left_over("respike", tmp_path / "link") == ["11"]


def test_jobs_that_do_not_end_are_named(queue, tmp_path):
    here = queue(("11", "respike_a", True))
    (tmp_path / "deaf").touch()
    with pytest.raises(RuntimeError, match="scancel 11$"):
        orphans.cancel("respike", here, patience_s=0)


def test_nothing_is_cancelled_where_the_profile_gives_no_name(queue):
    assert orphans.cancel("", queue(("11", "_a", True))) == []


def test_a_slurm_that_does_not_answer_is_one_clear_error(queue, tmp_path):
    here = queue()
    (tmp_path / "squeue").write_text("#!/bin/sh\necho 'Unable to contact controller' >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match="Slurm: squeue: Unable to contact controller$"):
        orphans.cancel("respike", here)
