import json
import os
import subprocess
import sys
import zipfile

import pytest

from respike.workflow import dag

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
                "seeds": {"default": [0, 1, 2]},
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


def test_seeds_of_an_entry_replace_those_of_its_base_and_the_common_ones_at_their_scale_only():
    seeds = {name: found.seeds for name, found in dag.experiments(CONFIG, "net").items()}
    assert seeds["train"] == seeds["no_clip"] == [7]
    assert seeds["sweep_beta_1"] == [0, 1, 2]
    assert [dag.experiment(at("smoke"), "net", name).seeds for name in ("train", "no_clip")] == [
        [0, 1]
    ] * 2


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
    assert len(wanted) == 1 + 1 + 2 * 3
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
        "import sys, respike.workflow.dag, respike.runs.provenance;"
        "import respike.workflow.config, respike.commands.cli;"
        "respike.runs.provenance.code_digest('respike.spiking.encoding');"
        "print(sorted({'torch', 'numpy', 'pandas', 'numba', 'jsonschema'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def grid_config(**entries):
    """Return a configuration of one search at scale smoke."""
    axes = {"t_window": [500, 2000], "beta": [0.7, 0.9], "n_hidden": [100, 800]}
    search = {"settings": {"lr": 0.02}, "grid": {"smoke": axes}, "cells_per_job": 3, **entries}
    table = {"settings": {"search": "search", "whole_search": None}}
    return {
        "scale": "smoke", "seeds": {"smoke": [0, 1]},
        "sources": {"nmnist_grid": {"search": search, "table": table}},
    }  # fmt: skip


def test_a_grid_is_cut_into_jobs_of_one_first_axis():
    found = dag.experiments(grid_config(), "nmnist_grid")
    jobs = {name: e.settings["cells"] for name, e in found.items() if e.entry == "search"}
    assert list(jobs) == [f"search_t_window_{t}_part_{k}" for t in (500, 2000) for k in (1, 2)]
    assert [len(cells) for cells in jobs.values()] == [3, 1, 3, 1]
    assert jobs["search_t_window_500_part_1"][1] == "t_window=500 beta=0.7 n_hidden=800"
    assert len({cell for cells in jobs.values() for cell in cells}) == 8


def test_one_number_cuts_all_searches_and_is_what_judging_expects():
    one, own = (grid_config() | {"cells_per_job": number} for number in (1, None))
    found = [e for e in dag.experiments(one, "nmnist_grid").values() if e.entry == "search"]
    assert len(found) == 8 and all(len(e.settings["cells"]) == 1 for e in found)
    for config in (one, own, grid_config()):
        expected = dag.experiments(dag.at_scale(config), "nmnist_grid")
        assert list(expected) == list(dag.experiments(config, "nmnist_grid"))


def test_a_value_at_the_end_of_an_axis_changes_only_the_last_job_of_its_group():
    axes = {"t_window": [500, 2000], "beta": [0.7, 0.9, 0.95], "n_hidden": [100, 800]}
    before, after = (
        dag.experiments(config, "nmnist_grid")
        for config in (grid_config(), grid_config(grid={"smoke": axes}))
    )
    same = [name for name in before if after[name].settings == before[name].settings]
    assert same == ["search_t_window_500_part_1", "search_t_window_2000_part_1", "table"]


def test_single_cells_stand_beside_a_grid_or_alone():
    cells = ["t_window=500 beta=0.5 n_hidden=10"]
    found = dag.experiments(grid_config(cells={"smoke": cells}, cells_per_job=99), "nmnist_grid")
    assert found["search_t_window_500_part_1"].settings["cells"][0] == cells[0]
    alone = grid_config(cells={"smoke": cells})
    del alone["sources"]["nmnist_grid"]["search"]["grid"]
    assert dag.experiments(alone, "nmnist_grid")["search_t_window_500_part_1"].settings == {
        "lr": 0.02, "cells": cells
    }  # fmt: skip


def test_a_table_is_made_of_all_jobs_of_its_run():
    paths = dag.searched(grid_config(), "nmnist_grid", "table", 1)
    assert len(paths) == 4 and all(path.endswith("/seed=1/metrics.json") for path in paths)
    with pytest.raises(dag.UnknownName, match="needs run 2 of search: set the same seeds"):
        dag.searched(grid_config(), "nmnist_grid", "table", 2)


def test_the_cut_keeps_the_cells_of_its_scale():
    config = grid_config(cells={"smoke": ["a=1"], "paper": ["a=2"]})
    kept = dag.at_scale(config)["sources"]["nmnist_grid"]["search"]
    cells = kept["cells"].pop("smoke")
    assert cells[:2] == ["a=1", "t_window=500 beta=0.7 n_hidden=100"] and len(cells) == 9
    assert kept["cells"] == {} and "grid" not in kept and kept["cells_per_job"] == 3


def test_records_are_inputs_of_a_report_but_not_of_a_smoke_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dag.record_files(CONFIG) == [] and dag.kept_json(CONFIG) == "[]"
    folder = tmp_path / "reports/records/net/train/seed=0/20260101T100000Z_0"
    folder.mkdir(parents=True)
    for name in ("record.json", "arrays.npz", "withdrawn.json", "note.txt"):
        (folder / name).touch()
    found = [path.rpartition("/")[2] for path in dag.record_files(CONFIG)]
    assert found == ["arrays.npz", "record.json", "withdrawn.json"]
    assert [one["scale"] for one in json.loads(dag.kept_json(CONFIG))] == ["default", "paper"]
    assert dag.record_files(at("smoke")) == [] and dag.kept_json(at("smoke")) == "[]"


def test_the_judge_wants_the_results_that_the_grid_makes():
    config = grid_config()
    as_params = json.loads(dag.canonical_json(dag.at_scale(config)))  # how a rule passes it on
    assert dag.wanted(as_params) == dag.wanted(config)


def test_a_job_asks_for_a_gpu_where_the_configuration_or_this_machine_has_one(monkeypatch):
    for here in (0, 2):
        monkeypatch.setattr(dag.limits, "cuda_devices", lambda here=here: here)
        asked = {device: dag.gpus({"device": device}) for device in ("auto", "cpu", "cuda")}
        assert asked == {"auto": min(here, 1), "cpu": 0, "cuda": 1}


def test_memory_and_time_grow_with_the_attempt():
    memory, hours, minutes = dag.grow(3000), dag.grow("2h"), dag.grow("10m")
    assert [memory(None, attempt) for attempt in (1, 2, 3)] == [3000, 6000, 9000]
    assert [hours(None, attempt) for attempt in (1, 2)] == ["2h", "4h"]
    assert minutes(None, 2) == "20m"
    with pytest.raises(ValueError, match="soon"):
        dag.grow("soon")


def test_recordings_in_a_folder_count_by_what_is_in_it(tmp_path):
    place = tmp_path / "Train" / "0"
    place.mkdir(parents=True)
    for number in (2, 3, 300):
        (place / f"{number:05}.bin").write_bytes(bytes(10))
    seen = [dag.recordings_digest(tmp_path)]
    (place / "readme.txt").write_text("no recording")
    assert dag.recordings_digest(tmp_path) == seen[0]
    (place / "00002.bin").write_bytes(bytes(9) + b"x")  # the same size; the folder's time stays
    seen.append(dag.recordings_digest(tmp_path))
    (place / "00300.bin").unlink()
    seen.append(dag.recordings_digest(tmp_path))
    (place / "00003.bin").rename(place / "00004.bin")
    seen.append(dag.recordings_digest(tmp_path))
    (place / "up").symlink_to(tmp_path)  # ends, and changes nothing
    assert dag.recordings_digest(tmp_path) == seen[-1]
    assert len(set(seen)) == len(seen)


def test_recordings_in_an_archive_count_by_content_and_not_by_time(tmp_path):
    def archive(path, content):
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(zipfile.ZipInfo("Train/0/00001.bin"), content)

    path = tmp_path / "a.zip"
    archive(path, b"one")
    before, times = dag.recordings_digest(path), path.stat()
    os.utime(path)
    assert dag.recordings_digest(path) == before
    archive(path, b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    other = dag.recordings_digest(path)
    assert other != before
    archive(tmp_path / "train.zip", b"one")  # and in a folder of archives
    (tmp_path / "a.zip").unlink()
    of_folder = dag.recordings_digest(tmp_path)
    archive(tmp_path / "train.zip", b"two")
    assert dag.recordings_digest(tmp_path) != of_folder
