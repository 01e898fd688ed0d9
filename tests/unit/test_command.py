"""Every command ends in one message: of the project's errors, the machine's, and our own faults."""

import importlib
import subprocess
import sys

import pytest

from respike.commands import claims, cli
from respike.runs import command
from respike.runs.files import WriteError
from respike.runs.provenance import ROOT


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path / command.LOGS


def raiser(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "error, said",
    [
        (WriteError("cannot write x: full (free some space)"), "cannot write x: full"),
        (FileNotFoundError(2, "No such file or directory", "x.bin"), "x.bin"),
        (MemoryError(), "not enough memory"),
        (subprocess.CalledProcessError(1, ["npm", "pack"], stderr="a\nE404\n"), "npm pack: E404"),
        (subprocess.TimeoutExpired(["npm", "pack"], 3), "npm pack: "),
    ],
)
def test_an_expected_error_is_one_line(logs, capsys, error, said):
    assert command.run("respike x", raiser(error), failed=2) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("respike x: error: ") and said in shown and shown.count("\n") == 1
    assert not logs.exists()


def test_a_fault_of_ours_is_one_line_and_the_traceback_goes_to_a_file(logs, capsys):
    assert command.run("respike x", raiser(KeyError("seed"))) == command.UNEXPECTED
    shown = capsys.readouterr().err
    (log,) = logs.iterdir()
    assert shown.startswith("respike x: unexpected KeyError: 'seed'. This is a fault of Respike")
    assert str(log) in shown and shown.count("\n") == 1
    assert "Traceback" in log.read_text() and __file__ in log.read_text()


def test_where_no_file_takes_the_traceback_it_is_shown(logs, tmp_path, capsys, monkeypatch):
    (tmp_path / "logs").write_text("a file stands in the way")
    monkeypatch.setattr(command.tempfile, "gettempdir", lambda: tmp_path / "logs")
    assert command.run("respike x", raiser(TypeError("no"))) == command.UNEXPECTED
    assert "Traceback" in capsys.readouterr().err


def test_a_value_error_is_judged_by_where_it_was_raised(logs, capsys):
    """The package's own `raise` is a message; the same class out of a library is a fault."""
    from respike.workflow import dag

    assert command.run("x", lambda: dag.grow("2 hours")) == 1
    assert "not a number with m, h or d behind it" in capsys.readouterr().err
    assert command.run("x", lambda: dag.experiments({"sources": 1}, 2)) == command.UNEXPECTED


def test_the_console_command_ends_so_too(logs, capsys, monkeypatch):
    monkeypatch.setattr(claims, "load_config", lambda *_: raiser(ZeroDivisionError("in it"))())
    assert cli.main(["claims"]) == command.UNEXPECTED
    assert "respike claims: unexpected ZeroDivisionError" in capsys.readouterr().err


def test_every_module_that_is_run_ends_so():
    lacking = []
    for file in (ROOT / "src").rglob("*.py"):
        text = file.read_text()
        if "SystemExit(main(" not in text or "return command.run(" in text:
            continue
        name = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
        main = importlib.import_module(name).main
        if main.__code__ is not command.ends("")(main).__code__:
            lacking.append(name)
    assert lacking == []


def test_a_reader_that_leaves_early_is_no_fault():
    code = "from respike.runs import command; import sys\n"
    code += "sys.exit(command.run('x', lambda: [print('y' * 9999) for _ in range(999)] and 0))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(20) == 1
