# Names that every rule file uses. Functions live in src/respike/workflow, where tests reach them.
import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from respike.data.download.registry import content_digest
from respike.runs import sources
from respike.runs.provenance import code_digest, notes, pins_digest
from respike.workflow import dag, jobs, orphans, run_lock
from respike.workflow.config import load as load_config
from respike.workflow.dag import grow

os.environ.setdefault("GLIBC_TUNABLES", dag.MALLOC)

# A run that was killed leaves Snakemake's locks and its own jobs behind; they go if no other run
# lives. A clock that was set back would make Snakemake remove every new output.
if workflow.is_main_process and not workflow.dryrun:
    inputs = [config["data"]["folder"], "results", "reports", "workflow", "config.yaml"]
    times = [*inputs, "references.bib"]
    for said in (run_lock.hold(), run_lock.mend_times(times), *notes()):
        print(said, end="\n" if said else "", file=sys.stderr)
    # `respike status` reads it in the log.
    logger.info(f"Scale: {config['scale']} (process {os.getpid()})")

# One job at a time on the GPU, and together no more memory than there is: on its own, --cores 8
# would start eight jobs whatever they need. Of a limit on the command line Snakemake forgets the
# profile's others, so both are set here.
if workflow.is_main_process and workflow.local_exec:
    for name, limit in (("gpu", 1), ("mem_mb", dag.memory_mb())):
        if name not in workflow.global_resources:
            workflow.register_resource(name, limit)


# So are the jobs that it left in Slurm's queue: they would remove what this run makes.
onstart:
    if config["device"] == "auto" and not workflow.local_exec:
        print(
            "device: auto looks for a GPU on this machine, not on the nodes;"
            " say --config device=cuda or device=cpu",
            file=sys.stderr,
        )
    if workflow.executor_plugin.name == "slurm" and run_lock.was_alone:
        try:
            left = orphans.cancel(workflow.executor_settings.jobname_prefix)
        except RuntimeError as error:
            raise WorkflowError(str(error))
        if left:
            print(
                f"{len(left)} Slurm jobs of a killed run are cancelled",
                file=sys.stderr,
            )


SCALE = config["scale"]
DATA = config["data"]["folder"]
RESULTS = f"results/{SCALE}"
# Reports of a smoke run must not take the place of real ones.
REPORTS = "reports/smoke" if SCALE == "smoke" else "reports"
FIGURES = f"{RESULTS}/figures"
WANTED = []  # what rules of sources add to `rule all`


wildcard_constraints:
    experiment=r"[a-z][a-z0-9_.+-]*",
    seed=r"\d+",
    figure=r"[a-z][a-z0-9_]*",
