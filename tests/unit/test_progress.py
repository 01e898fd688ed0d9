"""Lines of progress: few, and with what is left."""

import io

import pytest

from respike.runs import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_names_label_place_numbers_and_rest(clock):
    stream = io.StringIO()
    show = progress.Progress("toy train seed 0", stream=stream)
    clock[0] += 30  # start-up and the first epoch
    show("epoch", 1, 10)
    clock[0] += 6
    show("epoch", 3, 10, test_accuracy=0.87123)
    first, second = stream.getvalue().splitlines()
    assert first == "toy train seed 0: epoch 1/10"  # one report tells nothing about speed
    assert second == "toy train seed 0: epoch 3/10, test accuracy 0.8712, 21 s left"


def test_lines_are_rare_but_the_first_and_the_last_are_always_shown(clock):
    stream = io.StringIO()
    show = progress.Progress("toy", every_s=5, stream=stream)
    for done in range(1, 101):
        clock[0] += 0.2
        show("batch", done, 100)
    lines = stream.getvalue().splitlines()
    assert 4 <= len(lines) <= 6  # 20 s
    assert lines[0] == "toy: batch 1/100"
    assert lines[-1] == "toy: batch 100/100, 20 s"


def test_nothing_done_yet_and_everything_done_at_once(clock):
    stream = io.StringIO()
    progress.Progress("toy", stream=stream)("epoch", 0, 3)
    progress.Progress("toy", stream=stream)("epoch", 3, 3)
    assert stream.getvalue() == "toy: epoch 0/3\ntoy: epoch 3/3, 0 s\n"


def test_lines_go_to_stderr(clock, capsys):
    progress.Progress("toy")("epoch", 1, 1)
    assert capsys.readouterr().err == "toy: epoch 1/1, 0 s\n"
