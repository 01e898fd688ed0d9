import copy
import re
import sys

import pytest
import yaml

from respike.runs.provenance import ROOT
from respike.workflow import config
from respike.workflow.config import ConfigError

GOOD = """\
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
    no_clip:
      extends: train
      settings: {grad_clip: null}
    sweep_v_thresh:
      extends: train
      vary: {v_thresh: {smoke: [0.5, 2.0], default: []}}
"""


def write(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def problems(tmp_path, text, overrides=None):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text), overrides)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]


def test_a_good_file_is_taken_as_it_is(tmp_path):
    assert config.load(write(tmp_path, GOOD)) == yaml.safe_load(GOOD)


def test_the_file_of_the_project_is_valid():
    config.load(config.SCHEMA.parents[2] / "config.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("device:", "devise:", "config.yaml:2: devise: unknown key; did you mean device?"),
        ("n_hidden:", "n_hiden:", "train.settings.n_hiden: unknown key; did you mean n_hidden?"),
        ("poisson_mlp:", "poison_mlp:", "config.yaml:8: sources.poison_mlp: unknown key; did you"),
        ("      scales:", "      scale:", "poisson_mlp.train.scale: unknown key; did you mean"),
        ("{smoke: {n_train", "{smok: {n_train", "train.scales.smok: unknown key; did you mean"),
        ("v_thresh: 0.5", "v_thresh: half", "found 'half' (text), allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: 5e-1", "allowed is a finite number (write 0.5 without"),
        ("v_thresh: 0.5", "v_thresh: .nan", "found nan, allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: .inf", "found inf, allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: yes", "found true (yes/no), allowed is a finite number"),
        ("v_thresh: 0.5", "v_thresh: 0", "v_thresh: found 0, allowed is above 0"),
        ("num_steps: 50", "num_steps: -50", "num_steps: found -50, allowed is at least 1"),
        ("num_steps: 50", "num_steps: 50.0", "found 50.0, allowed is a whole number"),
        ("beta: 0.98", "beta: 1.5", "found 1.5, allowed is at least 0 and at most 1"),
        ("beta: 0.98", "beta: {a: 1}", "beta: found a section, allowed is a finite number"),
        ("grad_clip: null", "grad_clip: x", "allowed is a finite number or null"),
        ("scale: default", "scale: papr", "scale: found 'papr' (text); did you mean paper?"),
        ("device: auto", "device: gpu", "found 'gpu' (text) (allowed: auto, cpu, cuda)"),
        ("paper: [0, 1, 2, 3]", "paper: []", "seeds.paper: found an empty list, allowed are 1"),
        ("paper: [0, 1, 2, 3]", "paper: [1, 1]", "seeds.paper: 1 is given twice in [1, 1]"),
        ("paper: [0, 1, 2, 3]", "paper: [-1]", "seeds.paper[0]: found -1, allowed is at least 0"),
        (", paper: [0, 1, 2, 3]", "", "config.yaml:6: seeds: lacks paper"),
        ("device: auto\n", "", "config.yaml: lacks device"),
        ("extends: train", "extends: trian", "no such entry: trian; did you mean train?"),
        ("      scales:", "      extends: no_clip\n      scales:", "leads back to itself: train"),
        ("vary: {v_thresh:", "vary: {v_tresh:", "vary.v_tresh: unknown setting; did you mean"),
        ("vary: {v_thresh:", "vary: {n_train:", "sweep_v_thresh has no such setting"),
        ("[0.5, 2.0]", "[0.5, two]", "vary.v_thresh.smoke[1]: found 'two' (text), allowed is a"),
        ("[0.5, 2.0]", "[0.5, 0.5]", "vary.v_thresh.smoke: 0.5 is given twice"),
        ("vary: {v_thresh:", "vary: {beta: {}, v_thresh:", "found 2 settings, allowed is one"),
        ("    no_clip:", "    No-Clip:", "'No-Clip' (text), allowed are lower-case letters"),
        ("    no_clip:", "    sweep_v_thresh_0.5:", "allowed are lower-case letters"),
        ("device: auto", "device: auto\nscale: smoke", ":3: scale: given twice, first in line 1"),
        ("n_hidden: 250", "n_hidden: 250, n_hidden: 1", "n_hidden: given twice, first in line 10"),
        ("device: auto", "device: [auto", "not valid YAML: "),
        ("data:", "data: here\nx:", "data: found 'here' (text), allowed is a section"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(tmp_path, old, new, line):
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(line in text for text in found), found
    assert all(text.startswith("config.yaml") for text in found)


def test_every_problem_is_in_one_message_in_the_order_of_the_file(tmp_path):
    text = GOOD.replace("auto", "gpu").replace("250", "0").replace("extends: train", "extends: x")
    found = problems(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == [f"config.yaml:{n}" for n in (2, 10, 13, 16)]


def test_a_value_of_the_command_line_is_said_to_be_from_there(tmp_path):
    (line,) = problems(tmp_path, GOOD, {"scale": "papr"})
    assert line.startswith("command line (--config or --configfile): scale: found 'papr'")
    (line,) = problems(tmp_path, GOOD, {"seed": 3})
    assert "seed: unknown key; did you mean seeds?" in line


def test_overrides_change_only_what_they_name(tmp_path):
    found = config.load(write(tmp_path, GOOD), {"scale": "smoke", "data": {"folder": "elsewhere"}})
    wanted = copy.deepcopy(yaml.safe_load(GOOD))
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


def test_experiments_without_data_are_left_out_unless_everything_is_asked_for(tmp_path):
    text = (ROOT / "config.yaml").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(re.sub(r"nmnist_real: \S+", "nmnist_real: nowhere.zip", text))
    assert not config.load(path)["sources"]["nmnist_emulator"]
    assert "fidelity" in config.load(path, everything=True)["sources"]["nmnist_emulator"]
