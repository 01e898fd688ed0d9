"""What a run of the workflow does before anything else: `prepare`, called by common.smk.

Snakemake reads the rules before it says what it is going to do: a real run, a dry run, a summary,
on this machine or on a cluster. So the part that changes something waits until Snakemake executes.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from respike.runs import owned, provenance
from respike.workflow import dag, limits, orphans, run_lock


def prepare(workflow: Any, config: dict) -> None:
    """Prepare a run of a Snakemake workflow; called while its rules are read.

    The environment of all jobs is set here, also in a job that reads the rules itself. The rest is
    for the main process: what killed runs left behind is cleared up, jobs get limits, and the locks
    of runs beside this one are respected. A dry run or a summary does none of it.

    Raises
    ------
    WorkflowError
        The run would remove a file of the user's in the folder of the data.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    os.environ.setdefault("GLIBC_TUNABLES", dag.MALLOC)
    if not workflow.is_main_process:
        return
    try:
        owned.check_data(config["data"]["folder"])
    except owned.NotOwned as error:
        raise WorkflowError(f"data.folder in config.yaml: {error}") from None
    # `respike status` reads it in the log.
    logger.info(f"Scale: {config['scale']} (process {os.getpid()})")
    keep_locks_of_others()
    execute = workflow.execute

    def execute_prepared(*args, executor_plugin, executor_settings=None, **kwargs):
        kind = executor_plugin.common_settings
        if not kind.dryrun_exec:
            spare_the_scheduler(workflow.scheduling_settings)
            begin(config, executor_settings if executor_plugin.name == "slurm" else None)
            if kind.local_exec:
                set_limits(workflow, limits.cores(), limits.memory_mb())
            elif config["device"] == "auto":
                _say(
                    "device: auto looks for a GPU on this machine, not on the nodes;"
                    " say --config device=cuda or device=cpu"
                )
        return execute(
            *args, executor_plugin=executor_plugin, executor_settings=executor_settings, **kwargs
        )

    workflow.execute = execute_prepared


def begin(
    config: dict,
    slurm_settings: Any = None,
    root: Path | str = ".",
    cancel: Callable = orphans.cancel,
) -> None:
    """Put a run on record, clear up after killed ones, mend times to come; say what was done.

    Parameters
    ----------
    config
        The configuration of the workflow.
    slurm_settings
        Settings of Snakemake's Slurm executor, None for another. Their `jobname_prefix` gets the
        mark of this run, by which the next one knows the jobs that this one leaves.
    root
        The folder in which Snakemake runs.
    cancel
        Takes a prefix of names and the folder, and cancels the Slurm jobs that go by both.

    Raises
    ------
    WorkflowError
        The folder of data holds what is not ours; or this run is for Slurm, and jobs of a killed
        one cannot be cancelled.
    """
    from snakemake.exceptions import WorkflowError

    root = Path(root)
    try:
        owned.check_data(root / config["data"]["folder"])
    except owned.NotOwned as error:
        raise WorkflowError(f"data.folder in config.yaml: {error}") from None
    prefix = None if slurm_settings is None else slurm_settings.jobname_prefix or ""
    said, left = run_lock.hold(root, prefix)
    for text in (said, *provenance.notes()):
        _say(text)
    if slurm_settings is not None and run_lock.MARK in os.environ:
        slurm_settings.jobname_prefix = run_lock.job_prefix(prefix, os.environ[run_lock.MARK])
    for run in left:
        # They would remove what this run makes, wherever it makes it.
        try:
            cancelled = cancel(run.slurm, root)
        except RuntimeError as error:
            if slurm_settings is not None:
                raise WorkflowError(str(error)) from None
            _say(str(error))
            continue
        run_lock.forget([run], root)
        _say(f"{len(cancelled)} Slurm jobs of a killed run are cancelled" if cancelled else "")
    # A clock that was set back would make Snakemake remove every new output.
    inputs = (config["data"]["folder"], "results", "reports", "workflow", "src", "config.yaml")
    _say(run_lock.mend_times(root / name for name in (*inputs, "references.bib")))


def set_limits(workflow: Any, cores: int, memory_mb: int) -> None:
    """Let jobs share no more than there is: one at a time on the GPU, so much memory, the cores.

    On its own, `--cores 8` would start eight jobs whatever they need. Of a limit on the command
    line Snakemake forgets the profile's others, so both are set here. Its `--cores all` counts the
    cores of the machine; more than `cores` are not taken then.
    """
    from snakemake.utils import available_cpu_count

    for name, limit in (("gpu", 1), ("mem_mb", memory_mb)):
        if name not in workflow.global_resources:
            workflow.register_resource(name, limit)
    asked = workflow.resource_settings.cores
    if asked > cores and asked == available_cpu_count():
        workflow.register_resource("_cores", cores)
        _say(f"{cores} of {asked} cores: more are not given to this process")


def spare_the_scheduler(settings: Any) -> None:
    """Drop Snakemake's own limit of 100 jobs a second; one that the user sets stays.

    No run comes near it. But under a limit each pass of the scheduler asks for one more pass a
    second later, besides those that are due: after n jobs it makes n passes a second, and a long
    run keeps a core busy with nothing.
    """
    limit = settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None


def keep_locks_of_others() -> None:
    """Let Snakemake remove its own locks only: at its end it removes those of all runs in a folder.

    `snakemake --unlock` still removes all, but not while a run is at work on this machine.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.persistence.file import FilePersistence

    def unlock(self) -> None:
        for file in self._lockfile.values():
            Path(file).unlink(missing_ok=True)
        self._lockfile.clear()

    def cleanup_locks(self) -> None:
        try:
            run_lock.give_up()
        except RuntimeError as error:
            raise WorkflowError(str(error)) from None
        self._delete_locks()

    FilePersistence.unlock, FilePersistence.cleanup_locks = unlock, cleanup_locks


def _say(text: str) -> None:
    if text:
        print(text, file=sys.stderr)
