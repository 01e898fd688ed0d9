import pytest

from respike.commands import cli

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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(CONFIG)
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
    assert capsys.readouterr().out.split() == ["poisson_mlp", "train", "2", "seeds"]
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
    assert "0 of 2 present" in shown
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
    assert "1 of 2 present" in shown and "seed=0/metrics.json: source is None" in shown


def test_report_says_what_to_do_when_there_is_none(folder, capsys):
    assert cli.main(["report"]) == 1
    assert "make report" in capsys.readouterr().err


def test_digest_shows_what_it_covers(capsys):
    assert cli.main(["digest", "respike.spiking.encoding"]) == 0
    shown = capsys.readouterr().out
    assert "  respike.spiking.encoding\n" in shown and "  numpy==" in shown
