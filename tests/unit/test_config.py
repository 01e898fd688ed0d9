import re
import sys

import pytest
import yaml

from respike.runs import sources
from respike.runs.provenance import ROOT
from respike.workflow import config, dag
from respike.workflow.config import ConfigError

GOOD = """\
scale: default
device: auto
data:
  {folder: data, mnist_folder: null, nmnist: emulated,
   nmnist_recordings: {smoke: [9, 3], default: [60000, 10000], paper: [60000, 10000]}}
seeds: {smoke: [0, 1], default: [0, 1, 2], paper: [0, 1, 2, 3]}
sources: {}
"""
# Held against the settings class of poisson_mlp/train, which is taken as it is.
SOURCE = """\
train:
  job: {title: training}
  settings: {n_hidden: 250, num_steps: 50, v_thresh: 0.5, beta: 0.98, n_train: 9, n_val: 5,
    n_test: 5, lr: 0.1, surrogate_alpha: 1, epochs: 1, batch_size: 1, error: count,
    target_rate: 1, w_std: 0.1, grad_clip: 1, surrogate_clip: null}
  scales: {smoke: {n_train: 300}}
  seeds: {smoke: [7]}
no_clip:
  extends: train
  settings: {grad_clip: null}
sweep_v_thresh:
  extends: train
  vary: {v_thresh: {smoke: [0.5, 2.0], default: []}}
"""


@pytest.fixture(autouse=True)
def one_source(tmp_path, monkeypatch):
    """Let the only source be poisson_mlp, in a folder of its own with the text SOURCE."""
    monkeypatch.setattr(sources, "FOLDER", tmp_path / "src" / "respike" / "sources")
    monkeypatch.setattr(sources, "SRC", tmp_path / "src")
    folder = sources.FOLDER / "poisson_mlp"
    folder.mkdir(parents=True)
    (folder / "claims.yaml").touch()
    (folder / "config.yaml").write_text(SOURCE)


def write(tmp_path, text, source=SOURCE):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    (sources.FOLDER / "poisson_mlp" / "config.yaml").write_text(source)
    return file


def problems(tmp_path, text, overrides=None, source=SOURCE):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text, source), overrides)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]


def whole():
    return {**yaml.safe_load(GOOD), "sources": {"poisson_mlp": yaml.safe_load(SOURCE)}}


def test_a_good_file_is_taken_as_it_is(tmp_path):
    assert config.load(write(tmp_path, GOOD)) == whole()


def test_the_file_of_the_project_is_valid(monkeypatch):
    monkeypatch.undo()
    assert len(config.load(ROOT / "config.yaml")["sources"]) == len(sources.found()) > 5


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("device:", "devise:", "config.yaml:2: devise: unknown key; did you mean device?"),
        ("scale: default", "scale: papr", "scale: found 'papr' (text); did you mean paper?"),
        ("device: auto", "device: gpu", "found 'gpu' (text) (allowed: auto, cpu, cuda)"),
        ("paper: [0, 1, 2, 3]", "paper: []", "seeds.paper: found an empty list, allowed are 1"),
        ("paper: [0, 1, 2, 3]", "paper: [1, 1]", "seeds.paper: 1 is given twice in [1, 1]"),
        ("paper: [0, 1, 2, 3]", "paper: [-1]", "seeds.paper[0]: found -1, allowed is at least 0"),
        (", paper: [0, 1, 2, 3]", "", "config.yaml:6: seeds: lacks paper"),
        ("device: auto\n", "", "config.yaml: lacks device"),
        ("device: auto", "device: auto\nscale: smoke", ":3: scale: given twice, first in line 1"),
        ("device: auto", "device: [auto", "not valid YAML: "),
        ("data:", "data: here\nx:", "data: found 'here' (text), allowed is a section"),
        ("{}", "{poison_mlp: {}}", ":7: sources.poison_mlp: no such source; did you mean"),
        ("{}", "{poisson_mlp: true}", "sources.poisson_mlp: found true, allowed is false or"),
        (
            "{}",
            "\n  poisson_mlp: {train: {settings: {n_hiden: 1}}}",
            "config.yaml:8: sources.poisson_mlp.train.settings.n_hiden: unknown key; did you mean",
        ),
    ],
)  # fmt: skip
def test_each_mistake_of_the_user_has_its_line(tmp_path, old, new, line):
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(line in text for text in found), found
    assert all(text.startswith("config.yaml") for text in found)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("n_hidden:", "n_hiden:", "train.settings.n_hiden: unknown key; did you mean n_hidden?"),
        ("n_hidden: 250, ", "", ":1: sources.poisson_mlp.train: lacks the settings n_hidden"),
        ("  scales:", "  scale:", "poisson_mlp.train.scale: unknown key; did you mean"),
        ("{smoke: {n_train", "{smok: {n_train", "train.scales.smok: unknown key; did you mean"),
        ("v_thresh: 0.5", "v_thresh: half", "found 'half' (text), allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: 5e-1", "allowed is a finite number (write 0.5 without"),
        ("v_thresh: 0.5", "v_thresh: .nan", "found nan, allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: .inf", "found inf, allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: yes", "found true (yes/no), allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: 0", "v_thresh: found 0, allowed is above 0"),
        ("num_steps: 50", "num_steps: -50", ":3: sources.poisson_mlp.train.settings.num_steps: f"),
        ("num_steps: 50", "num_steps: -50", "num_steps: found -50, allowed is at least 1"),
        ("num_steps: 50", "num_steps: 50.0", "found 50.0, allowed is a whole number"),
        ("beta: 0.98", "beta: 1.5", "found 1.5, allowed is at least 0 and at most 1"),
        ("beta: 0.98", "beta: {a: 1}", "beta: found a section, allowed is a finite number"),
        ("grad_clip: null", "grad_clip: x", "allowed is a finite number or null"),
        ("error: count", "error: cont", "found 'cont' (text); did you mean count?"),
        ("extends: train", "extends: trian", "no such entry: trian; did you mean train?"),
        ("  scales:", "  extends: no_clip\n  scales:", "leads back to itself: train"),
        ("vary: {v_thresh:", "vary: {v_tresh:", "vary.v_tresh: unknown setting; did you mean"),
        ("[0.5, 2.0]", "[0.5, two]", "vary.v_thresh.smoke[1]: found 'two' (text), allowed is a"),
        ("[0.5, 2.0]", "[0.5, 0.5]", "vary.v_thresh.smoke: 0.5 is given twice"),
        ("vary: {v_thresh:", "vary: {beta: {}, v_thresh:", "found 2 settings, allowed is one"),
        ("no_clip:", "No-Clip:", "'No-Clip' (text), allowed are lower-case letters"),
        ("no_clip:", "sweep_v_thresh_0.5:", "allowed are lower-case letters"),
        ("n_hidden: 250", "n_hidden: 250, n_hidden: 1", "n_hidden: given twice, first in line 3"),
        ("  job: {title: training}\n", "", "poisson_mlp.train: lacks job: what runs it, or"),
        ("{title: training}", "{module: gone}", "train.job: gone: no settings for it"),
        ("{title: training}", "{data: [cifar]}", "train.job.data[0]: found 'cifar' (text) (allow"),
        ("extends: train", "extends: train\n  job: {}", "job: is for an entry that extends no"),
    ],
)  # fmt: skip
def test_each_mistake_in_a_source_has_its_line(tmp_path, old, new, line):
    assert old in SOURCE
    found = problems(tmp_path, GOOD, source=SOURCE.replace(old, new, 1))
    assert any(line in text for text in found), found
    assert all(text.startswith("src/respike/sources/poisson_mlp/config.yaml") for text in found)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("n_train: 9", "n_trian: 9", "n_trian: unknown key; did you mean n_train? "),
        ("n_hidden: 250, ", "", "train: lacks the settings n_hidden at scale smoke"),
    ],
)
def test_a_mistake_is_said_once_and_not_of_what_starts_from_it(tmp_path, old, new, line):
    (found,) = problems(tmp_path, GOOD, source=SOURCE.replace(old, new, 1))
    assert line in found


def test_every_problem_is_in_one_message_in_the_order_of_the_file(tmp_path):
    source = SOURCE.replace("250", "0").replace("[0.5, 2.0]", "[0]").replace("null", "0", 1)
    found = problems(tmp_path, GOOD, source=source)
    assert [line.split(": ")[0].rpartition(":")[2] for line in found] == ["3", "5", "13"]


def test_a_source_can_be_left_out(tmp_path):
    text = GOOD.replace("sources: {}", "sources: {poisson_mlp: false}")
    assert config.load(write(tmp_path, text))["sources"] == {}


def test_a_setting_of_the_user_holds_at_every_scale_and_for_what_starts_from_it(tmp_path):
    change = {"poisson_mlp": {"train": {"settings": {"n_train": 77}}}}
    for scale in dag.SCALES:
        found = config.load(write(tmp_path, GOOD), {"scale": scale, "sources": change})
        assert dag.experiment(found, "poisson_mlp", "no_clip").settings["n_train"] == 77
    change["poisson_mlp"]["train"]["scales"] = {"smoke": {"n_train": 3}}
    found = config.load(write(tmp_path, GOOD), {"scale": "smoke", "sources": change})
    assert dag.experiment(found, "poisson_mlp", "train").settings["n_train"] == 3


def test_seeds_are_inherited(tmp_path):
    found = config.load(write(tmp_path, GOOD), {"scale": "smoke"})
    assert dag.experiment(found, "poisson_mlp", "no_clip").seeds == [7]
    found = config.load(write(tmp_path, GOOD))
    assert dag.experiment(found, "poisson_mlp", "no_clip").seeds == [0, 1, 2]


def test_each_value_of_an_experiment_has_its_place(tmp_path):
    change = {"poisson_mlp": {"train": {"settings": {"lr": 0.5}}}}
    file = write(tmp_path, GOOD)
    found, places = config.load_with_places(file, {"scale": "smoke", "sources": change})
    one = dag.experiment(found, "poisson_mlp", "sweep_v_thresh_2.0")
    of = config.origins(one, found, places)
    assert of.keys() == one.settings.keys()
    assert of["lr"] == config.COMMAND_LINE
    source = "src/respike/sources/poisson_mlp/config.yaml"
    assert [of[key] for key in ("beta", "n_train", "v_thresh")] == [
        f"{source}:{line}" for line in (3, 6, 13)
    ]


def test_a_value_of_the_command_line_is_said_to_be_from_there(tmp_path):
    (line,) = problems(tmp_path, GOOD, {"scale": "papr"})
    assert line.startswith("command line (--config or --configfile): scale: found 'papr'")
    (line,) = problems(tmp_path, GOOD, {"seed": 3})
    assert "seed: unknown key; did you mean seeds?" in line


def test_overrides_change_only_what_they_name(tmp_path):
    found = config.load(write(tmp_path, GOOD), {"scale": "smoke", "data": {"folder": "elsewhere"}})
    wanted = whole()
    wanted["scale"], wanted["data"]["folder"] = "smoke", "elsewhere"
    assert found == wanted


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    assert problems(tmp_path, text) == ["config.yaml: holds no `key: value` lines"]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file \(looked in"):
        config.load("nowhere.yaml")
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "config.yaml")


def test_snakemake_gets_an_error_that_it_shows_without_a_traceback(tmp_path, monkeypatch):
    from snakemake.exceptions import WorkflowError

    assert "snakemake" in sys.modules
    with pytest.raises(
        WorkflowError, match="2 problems in the configuration:\n.*devise.*\n.*scale"
    ):
        config.read({"scale": "x", "devise": "cpu"}, write(tmp_path, GOOD))
    monkeypatch.delitem(sys.modules, "snakemake")
    with pytest.raises(ConfigError, match="scale"):
        config.read({"scale": "x"}, write(tmp_path, GOOD))


def test_experiments_without_data_are_left_out_unless_everything_is_asked_for(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    text = (ROOT / "config.yaml").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(re.sub(r"nmnist_real: \S+", "nmnist_real: null", text))
    assert not config.load(path)["sources"]["nmnist_emulator"]
    assert "fidelity" in config.load(path, everything=True)["sources"]["nmnist_emulator"]


def test_words_of_the_command_line_are_read_as_yaml_reads_them(tmp_path):
    # As Snakemake hands them over.
    given = {"seeds": {"smoke": ["0", "3"]}, "cells_per_job": "null"}
    given["data"] = {"mnist_folder": "null", "nmnist": "emulated"}
    found = config.load(write(tmp_path, GOOD), given)
    assert found["seeds"]["smoke"] == [0, 3] and found["cells_per_job"] is None
    assert found["data"]["mnist_folder"] is None
    assert found["seeds"]["paper"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "given, line",
    [
        ({"seeds": {"smoke": ["x"]}}, "seeds.smoke[0]: found 'x' (text)"),
        ({"data": {"mnist_folder": "7"}}, "data.mnist_folder: found 7, allowed is text or null"),
        ({"seeds": {"smoke": "null"}}, "seeds.smoke: found nothing (null), allowed is a list"),
    ],
)
def test_a_value_inside_one_of_the_command_line_is_said_to_be_from_there(tmp_path, given, line):
    (found,) = problems(tmp_path, GOOD, given)
    assert found.startswith(f"{config.COMMAND_LINE}: {line}")


def test_a_number_in_quotes_is_shown_as_the_number_it_is(tmp_path):
    (line,) = problems(tmp_path, GOOD.replace("[0, 1]", "['0']"))
    assert line.endswith("(write 0 without quotes)") and "config.yaml:6: seeds.smoke[0]" in line


def test_paths_are_what_the_user_means(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rec.zip").touch()
    given = {"folder": "~/data/", "mnist_folder": ".//mnist", "nmnist_real": "~/rec.zip"}
    data = config.load(write(tmp_path, GOOD), {"data": given})["data"]
    assert data["folder"] == f"{tmp_path}/data" and data["mnist_folder"] == "mnist"
    assert data["nmnist_real"] == f"{tmp_path}/rec.zip"
    (line,) = problems(tmp_path, GOOD, {"data": {"folder": "~nobody-here/data"}})
    assert "data.folder: ~nobody-here/data: no home folder" in line


def test_recordings_that_are_given_and_not_there_are_an_error(tmp_path, monkeypatch):
    text = GOOD.replace("mnist_folder: null", "nmnist_real: ~/rec.zip")
    monkeypatch.setenv("HOME", str(tmp_path))
    (line,) = problems(tmp_path, text)
    assert line.startswith("config.yaml:4: data.nmnist_real: no such file or folder: ")
    assert f"{tmp_path}/rec.zip" in line
    # Records are shown, and nothing is run.
    assert config.load(tmp_path / "config.yaml", everything=True)


def test_the_sample_is_taken_where_it_is(tmp_path, monkeypatch):
    text = GOOD.replace("mnist_folder: null", "nmnist_real: auto")
    (tmp_path / "elsewhere" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere" / "here")
    assert config.load(write(tmp_path, text))["data"]["nmnist_real"] is None
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    sample = checkout / dag.SAMPLE
    sample.parent.mkdir(parents=True)
    sample.touch()
    assert config.load(write(tmp_path, text))["data"]["nmnist_real"] == str(dag.SAMPLE)
