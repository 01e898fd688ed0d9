"""What a run does before its jobs: stand-ins take the place of Snakemake, Slurm and the machine."""

import os
from types import SimpleNamespace

import pytest
from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError
from snakemake.persistence.file import FilePersistence
from snakemake.settings.types import MaxJobsPerTimespan, SchedulingSettings
from snakemake.utils import available_cpu_count

from respike.workflow import dag, limits, run_lock, startup

CONFIG = {"scale": "smoke", "device": "auto", "data": {"folder": "data"}}
RATE = MaxJobsPerTimespan.parse_choice("100/1s")


class Workflow:
    """As much of Snakemake's workflow as is used."""

    is_main_process = True

    def __init__(self, cores=1, **resources):
        self.global_resources = {"_cores": cores, **resources}
        self.resource_settings = SimpleNamespace(cores=cores)
        self.scheduling_settings = SchedulingSettings(max_jobs_per_timespan=RATE)
        self.executed = []

    def register_resource(self, name, value):
        self.global_resources[name] = value

    def execute(self, **how):
        self.executed.append(how)
        return "its answer"


def executor(name="local", dryrun=False):
    settings = SimpleNamespace(dryrun_exec=dryrun, local_exec=name == "local")
    return SimpleNamespace(name=name, common_settings=settings)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Give each test a folder, and take back what start-up changes for the whole process."""
    monkeypatch.chdir(tmp_path)
    for name in ("unlock", "cleanup_locks"):
        monkeypatch.setattr(FilePersistence, name, getattr(FilePersistence, name))
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    monkeypatch.delenv("GLIBC_TUNABLES")
    monkeypatch.setenv(run_lock.MARK, "")
    monkeypatch.setattr(limits, "memory_mb", lambda: 1000)
    return tmp_path


def prepared(**options):
    workflow = Workflow(**options)
    startup.prepare(workflow, CONFIG)
    return workflow


def test_reading_the_rules_changes_nothing_in_the_folder(place, monkeypatch):
    workflow = prepared()
    assert not list(place.iterdir()) and "mem_mb" not in workflow.global_resources
    assert os.environ["GLIBC_TUNABLES"] == dag.MALLOC
    monkeypatch.setenv("GLIBC_TUNABLES", "the user's")
    prepared()
    assert os.environ["GLIBC_TUNABLES"] == "the user's"


def test_a_dry_run_touches_nothing(place):
    workflow = prepared()
    assert workflow.execute(executor_plugin=executor(dryrun=True), more=1) == "its answer"
    assert not list(place.iterdir()) and workflow.executed[0]["more"] == 1


def test_a_job_that_reads_the_rules_is_no_run(place):
    class Job(Workflow):
        is_main_process = False

    workflow = Job()
    startup.prepare(workflow, CONFIG)
    workflow.execute(executor_plugin=executor())
    assert not list(place.iterdir()) and os.environ["GLIBC_TUNABLES"] == dag.MALLOC


def test_a_run_is_on_record_and_has_limits(place):
    workflow = prepared()
    assert workflow.execute(executor_plugin=executor(), executor_settings=None) == "its answer"
    assert len(run_lock.runs()) == 1 and run_lock.living() == {os.getpid()}
    assert workflow.global_resources == {"_cores": 1, "gpu": 1, "mem_mb": 1000}


def test_limits_of_the_user_stay(place):
    workflow = prepared(gpu=4, mem_mb=77)
    workflow.execute(executor_plugin=executor())
    assert workflow.global_resources == {"_cores": 1, "gpu": 4, "mem_mb": 77}


def test_all_cores_are_those_that_the_kernel_gives(place, monkeypatch, capsys):
    machine = available_cpu_count() + 2
    monkeypatch.setattr("snakemake.utils.available_cpu_count", lambda: machine)
    for asked, given in ((machine, machine - 1), (machine - 1, machine - 1), (99 + machine, None)):
        workflow = Workflow(cores=asked)
        startup.set_limits(workflow, machine - 1, 1000)
        assert workflow.global_resources["_cores"] == (given or asked)
    assert f"{machine - 1} of {machine} cores" in capsys.readouterr().err


def test_only_a_limit_on_starts_that_the_user_sets_reaches_the_scheduler(place):
    argparse_default = get_argument_parser().get_default("max_jobs_per_timespan")
    assert argparse_default == "100/1s", "Snakemake's default has changed"
    for asked, left in ((argparse_default, None), ("5/1m", (5, 60)), ("100/2s", (100, 2))):
        settings = SchedulingSettings(max_jobs_per_timespan=MaxJobsPerTimespan.parse_choice(asked))
        startup.spare_the_scheduler(settings)
        limit = settings.max_jobs_per_timespan
        assert (limit and (limit.max_jobs, limit.timespan)) == left
    workflow = prepared()
    workflow.execute(executor_plugin=executor(dryrun=True))
    assert workflow.scheduling_settings.max_jobs_per_timespan is RATE
    workflow.execute(executor_plugin=executor())
    assert workflow.scheduling_settings.max_jobs_per_timespan is None


def test_on_a_cluster_this_machine_sets_no_limits(place, capsys):
    workflow = prepared()
    workflow.execute(executor_plugin=executor("cluster-generic"))
    assert workflow.global_resources == {"_cores": 1}
    assert "device: auto looks for a GPU on this machine" in capsys.readouterr().err


def test_jobs_of_slurm_are_named_by_the_run(place):
    settings = SimpleNamespace(jobname_prefix="respike")
    prepared().execute(executor_plugin=executor("slurm"), executor_settings=settings)
    (run,) = run_lock.runs()
    assert settings.jobname_prefix == run.slurm == f"respike_{run.mark}"


@pytest.fixture
def killed(place):
    """Return a function that puts a run of a host on record that is no longer there."""

    def put(mark, host=None, slurm="respike"):
        run = run_lock.Run(
            mark, host or run_lock.here(), 2**30, 1, os.getuid(), str(place), 1, "today",
            run_lock.job_prefix(slurm, mark) if slurm else "",
        )  # fmt: skip
        run_lock._write(place, run)
        return run

    return put


def test_only_slurm_jobs_of_dead_runs_of_this_machine_are_cancelled(killed, capsys):
    elsewhere = run_lock.Host("login2", "m", "b", "pid:[1]")
    killed("dead"), killed("local", slurm=""), killed("there", host=elsewhere)
    asked = []

    def cancel(prefix, folder):
        asked.append(prefix)
        return ["11", "12"]

    startup.begin(CONFIG, cancel=cancel)
    assert asked == ["respike_dead"]
    assert "2 Slurm jobs of a killed run are cancelled" in (said := capsys.readouterr().err)
    assert "a run may be at work in this folder (process 1073741824 on login2, since today)" in said
    assert {"dead", "local"}.isdisjoint(run.mark for run in run_lock.runs())
    run_lock.forget(run for run in run_lock.runs() if run.process == os.getpid())
    run_lock.give_up()  # the user says that it is dead
    startup.begin(CONFIG, cancel=cancel)
    assert asked == ["respike_dead", "respike_there"]


def test_jobs_that_cannot_be_cancelled_stop_a_run_for_slurm_and_are_remembered(killed, capsys):
    killed("dead")

    def cancel(prefix, folder):
        raise RuntimeError("no answer from Slurm: squeue")

    with pytest.raises(WorkflowError, match="no answer from Slurm"):
        startup.begin(CONFIG, SimpleNamespace(jobname_prefix=""), cancel=cancel)
    startup.begin(CONFIG, cancel=cancel)  # a run on this machine only says so
    assert "no answer from Slurm" in capsys.readouterr().err
    assert "dead" in {run.mark for run in run_lock.runs()}


def test_times_to_come_are_mended(place, capsys):
    (place / "results").mkdir()
    os.utime(place / "results", (2**32, 2**32))
    startup.begin(CONFIG)
    assert "1 files had times to come" in capsys.readouterr().err


class Persistence(FilePersistence):
    """Snakemake's, with this many jobs to lock for."""

    def __init__(self, place, files):
        super().__init__(path=place / ".snakemake")
        self.files = files

    def all_inputfiles(self):
        return []

    def all_outputfiles(self):
        return self.files


def locks(place):
    return sorted(file.read_text() for file in (place / run_lock.LOCKS).glob("*"))


def test_a_run_that_ends_keeps_the_locks_of_others(place):
    prepared()
    first, second = Persistence(place, ["a"]), Persistence(place, ["b"])
    with first.lock():
        with second.lock():
            assert locks(place) == ["a\n", "b\n"]
        assert locks(place) == ["a\n"]
        with Persistence(place, []).lock():  # nothing to be done
            pass
        assert locks(place) == ["a\n"]
    assert locks(place) == []


def test_unlock_is_for_dead_runs(place, killed):
    prepared()
    there = killed("there", host=run_lock.Host("login2", "m", "b", "pid:[1]"))
    left = Persistence(place, ["a"])
    left._write_locks("output", ["a"])
    run_lock.hold()
    with pytest.raises(WorkflowError, match="keeps its locks"):
        Persistence(place, []).cleanup_locks()
    assert locks(place) == ["a\n"]
    run_lock.forget(run for run in run_lock.runs() if run.process == os.getpid())
    Persistence(place, []).cleanup_locks()
    assert locks(place) == []
    assert [(run.mark, run.ended) for run in run_lock.runs()] == [(there.mark, True)]
