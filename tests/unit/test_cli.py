import re
import subprocess
import sys

import pytest

from respike.commands import cli
from respike.runs import sources

CONFIG = """\
scale: default
device: cpu
data:
  folder: data
  nmnist: emulated
  nmnist_recordings: {smoke: [9, 3], default: [9, 3], paper: [9, 3]}
seeds: {smoke: [0], default: [0, 1], paper: [0]}
sources:
  poisson_mlp:
    train: {settings: {beta: 0.98}}
"""
ONLY = "".join(f"  {source}: false\n" for source in sources.found() if source != "poisson_mlp")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(CONFIG + ONLY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_fits_one_screen_and_names_every_command(capsys):
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    names = "config check claims verdict why remake report record digest fetch bench scaling status"
    for name in names.split():
        assert f"\n    {name} " in shown
    assert "\n    emulate-nmnist" in shown
    assert len(shown.splitlines()) <= 36


def test_config_lists_and_shows(folder, capsys):
    assert cli.main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"poisson_mlp"}
    assert ["poisson_mlp", "train", "2", "seeds"] in map(str.split, lines)
    assert cli.main(["config", "poisson_mlp", "train", "--scale", "smoke"]) == 0
    shown = capsys.readouterr().out
    assert "scale smoke, seeds [0]" in shown and "beta                 0.98" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["config", "poisson_mlp", "trian"], "no experiment 'trian' of poisson_mlp"),
        (["config", "nobody"], "no source 'nobody'"),
        (["digest", "respike.nothing"], "no module respike.nothing"),
        (["claims", "--source", "nobody"], "no source 'nobody'"),
    ],
)
def test_an_error_is_one_line_and_status_2(folder, capsys, arguments, says):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_outside_a_checkout_the_missing_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check"]) == 2
    assert "config.yaml: no such file" in capsys.readouterr().err


def test_check_finds_a_result_that_is_not_current(folder, capsys):
    assert cli.main(["check"]) == 0
    shown = capsys.readouterr().out
    (n,) = re.findall(r": 0 of (\d+) present", shown)
    for source in sources.found():  # also of those that are not run
        assert f"{sources.file_of(source, 'claims.yaml')}: valid" in shown
    assert "0 run records, none edited; 0 stale, 0 withdrawn" in shown
    broken = folder / "reports/records/poisson_mlp/train/seed=0/x/record.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{}")
    assert cli.main(["check"]) == 1
    assert f"{broken.relative_to(folder)}: the record is not whole" in capsys.readouterr().out
    broken.unlink()
    result = folder / "results/default/poisson_mlp/train/seed=0/metrics.json"
    result.parent.mkdir(parents=True)
    result.write_text('{"schema": 1}')
    assert cli.main(["check"]) == 1
    shown = capsys.readouterr().out
    assert f"1 of {n} present" in shown and "seed=0/metrics.json: source is None" in shown


def test_report_says_what_to_do_when_there_is_none(folder, capsys):
    assert cli.main(["report"]) == 1
    assert "make report" in capsys.readouterr().err


def test_digest_shows_what_it_covers(capsys):
    assert cli.main(["digest", "respike.spiking.encoding"]) == 0
    shown = capsys.readouterr().out
    assert "  respike.spiking.encoding\n" in shown and "  numpy==" in shown


def test_a_source_brings_its_commands(toy_source, capsys):
    (toy_source / "commands.py").write_text(
        "from respike.commands import parsing\n"
        "def add_to(commands):\n"
        "    one = parsing.add(commands, 'toy-add', add, 'add numbers')\n"
        "    one.add_argument('numbers', nargs='+', type=int)\n"
        "def add(options):\n"
        "    print(sum(options.numbers))\n"
        "    return 1 if 3 in options.numbers else None\n"
    )
    assert cli.main(["toy-add", "1", "5"]) == 0 and cli.main(["toy-add", "3"]) == 1
    assert capsys.readouterr().out == "6\n3\n"
    assert cli.main([]) == 0
    assert "\n    toy-add       add numbers\n" in capsys.readouterr().out


def test_broken_commands_of_a_source_break_no_other(toy_source, capsys):
    (toy_source / "commands.py").write_text("import respike.nothing_of_that_name\n")
    assert cli.main([]) == 0
    shown = capsys.readouterr()
    assert "\n    report" in shown.out and shown.err.count("\n") == 1
    assert "the commands of toy are left out (ModuleNotFoundError" in shown.err


def test_a_source_takes_its_recorded_parts_back(toy_source, folder, monkeypatch, capsys):
    from respike.runs import records
    from respike.workflow import config

    monkeypatch.setattr(config, "load", lambda *_: {"scale": "paper", "sources": {"toy": {}}})
    monkeypatch.setattr(records, "load", lambda: ["a record", "another"])
    call = ["record", "--restore", "--scale", "paper"]
    assert cli.main(call) == 0 and capsys.readouterr().out == ""  # no source can
    (toy_source / "restore.py").write_text(
        "def restore(records, scale, parts):\n"
        "    assert records == ['a record', 'another']\n"
        "    return len(records), len(scale)\n"
    )
    assert cli.main(call) == 0
    said = "2 recorded parts put into results/paper/toy/parts, 5 were there already\n"
    assert capsys.readouterr().out == said
    assert cli.main([*call, "--source", "other"]) == 2
    assert "no source 'other': toy" in capsys.readouterr().err


def test_help_is_quick():
    """Nothing heavy is imported for the parser, also of the commands of sources."""
    code = (
        "import sys; from respike.commands import cli; cli.main([]);"
        "print(sorted({'numpy', 'torch', 'numba', 'pandas', 'jsonschema'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "stdp-table" in done.stdout and done.stdout.endswith("[]\n")
