import json
import re
import subprocess
import sys

import pytest

from respike import dag

CONFIG = {
    "scale": "default",
    "seeds": {"smoke": [0, 1], "default": [0, 1, 2], "paper": [0, 1, 2, 3]},
    "sources": {
        "net": {
            "train": {
                "settings": {"beta": 0.9, "epochs": 10, "n": 100},
                "scales": {"smoke": {"n": 5}, "paper": {"epochs": 20}},
                "seeds": {"default": [7]},
            },
            "no_clip": {"extends": "train", "settings": {"clip": None}},
            "deep": {"extends": "no_clip", "settings": {"epochs": 1}, "only": ["paper"]},
            "sweep_beta": {
                "extends": "train",
                "settings": {"epochs": 2},
                "vary": {"beta": {"smoke": [], "default": [0.5, 1]}},
            },
        }
    },
}


def at(scale):
    return {**CONFIG, "scale": scale}


def test_each_scale_has_its_experiments():
    assert list(dag.experiments(at("smoke"), "net")) == ["train", "no_clip"]
    assert list(dag.experiments(at("default"), "net")) == [
        "train",
        "no_clip",
        "sweep_beta_0.5",
        "sweep_beta_1",
    ]
    assert list(dag.experiments(at("paper"), "net")) == ["train", "no_clip", "deep"]


def test_settings_are_the_base_then_the_own_then_those_of_the_scale():
    found = dag.experiments(at("paper"), "net")
    assert found["train"].settings == {"beta": 0.9, "epochs": 20, "n": 100}
    assert found["deep"].settings == {"beta": 0.9, "epochs": 1, "n": 100, "clip": None}
    assert (found["deep"].entry, found["deep"].root) == ("deep", "train")
    sweep = dag.experiment(CONFIG, "net", "sweep_beta_0.5")
    assert sweep.settings == {"beta": 0.5, "epochs": 2, "n": 100}
    assert (sweep.entry, sweep.root) == ("sweep_beta", "train")


def test_seeds_of_an_entry_replace_the_common_ones_at_their_scale_only():
    assert dag.experiment(CONFIG, "net", "train").seeds == [7]
    assert dag.experiment(CONFIG, "net", "no_clip").seeds == [0, 1, 2]
    assert dag.experiment(at("smoke"), "net", "train").seeds == [0, 1]


def test_settings_json_names_each_value_and_does_not_depend_on_their_order():
    text = dag.settings_json(CONFIG, "net", "no_clip")
    assert text == '{"beta":0.9,"clip":null,"epochs":10,"n":100}'
    with pytest.raises(ValueError):
        dag.canonical_json({"a": float("nan")})


def test_paths_and_wanted_results_agree():
    path = dag.result_path(CONFIG, "net", "sweep_beta_1", 2)
    assert path == "results/default/net/sweep_beta_1/seed=2/metrics.json"
    wanted = dag.wanted(CONFIG)
    assert list(wanted) == dag.result_paths(CONFIG, "net")
    assert wanted[path]["settings"]["beta"] == 1
    assert len(wanted) == 1 + 3 + 2 * 3
    assert dag.result_paths(CONFIG, "net", ["sweep_beta"])[-1] == path
    json.dumps(wanted)


def test_wrong_names_say_where_they_were_looked_for():
    with pytest.raises(dag.UnknownName, match="no experiment 'deep' of net at scale default"):
        dag.experiment(CONFIG, "net", "deep")
    with pytest.raises(dag.UnknownName, match="no source 'nets'"):
        dag.experiments(CONFIG, "nets")


def test_two_entries_that_make_one_name_are_refused():
    entries = {**CONFIG["sources"]["net"], "sweep_beta_1": {}}
    with pytest.raises(ValueError, match="sweep_beta_1"):
        dag.experiments({**CONFIG, "sources": {"net": entries}}, "net")


@pytest.mark.parametrize("scale", ["smoke", "default", "paper"])
def test_the_cut_to_one_scale_wants_the_same_results(scale):
    cut = dag.at_scale(at(scale))
    assert dag.wanted(cut) == dag.wanted(at(scale))


def test_another_scale_is_not_in_the_cut():
    other = json.loads(json.dumps(CONFIG))
    other["sources"]["net"]["train"]["scales"]["paper"]["epochs"] = 99
    other["seeds"]["paper"] = [5]
    other["device"] = "cuda"
    assert dag.at_scale(other) == dag.at_scale(CONFIG)
    other["sources"]["net"]["train"]["settings"]["n"] = 99
    assert dag.at_scale(other) != dag.at_scale(CONFIG)


def test_a_pattern_sends_each_experiment_to_the_rule_of_its_root():
    names = re.compile(dag.pattern(CONFIG, "net", "train"))
    assert all(names.fullmatch(name) for name in dag.experiments(CONFIG, "net"))
    assert not names.fullmatch("sweep_beta_015")  # the dot is no wildcard
    assert not re.compile(dag.pattern(CONFIG, "net", "ann")).fullmatch("")


def test_folder_digest_is_of_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = dag.folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert dag.folder_digest(tmp_path) != first
    (tmp_path / "b").rename(tmp_path / "a")
    assert dag.folder_digest(tmp_path) == first


def test_an_optional_input_is_there_or_not(tmp_path):
    assert dag.existing(tmp_path / "none") == []
    (tmp_path / "one").touch()
    assert dag.existing(tmp_path / "one") == [str(tmp_path / "one")]


def test_file_digest_is_of_the_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"abc")
    two.write_bytes(b"abc")
    assert dag.file_digest(one) == dag.file_digest(str(two)) == "ba7816bf8f01cfea"


def test_building_the_dag_imports_nothing_heavy():
    # Every call of Snakemake pays for these imports, also one with nothing to do.
    code = (
        "import sys, respike.dag, respike.provenance, respike.config, respike.cli;"
        "respike.provenance.code_digest('respike.encoding');"
        "print(sorted({'torch', 'numpy', 'pandas', 'numba', 'jsonschema'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
