# Names that every rule file uses. Functions live in src/respike/dag.py, where tests reach them.
import os
import sys

from snakemake.logging import logger

from respike import dag, run_lock
from respike.config import load as load_config
from respike.data.registry import content_digest
from respike.provenance import code_digest, pins_digest

# glibc's malloc in huge pages, and keeping what was freed: the arrays of a batch are made anew
# thousands of times. Measured on a job alone: 7 to 39 % less CPU time; no number changes.
os.environ.setdefault(
    "GLIBC_TUNABLES",
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824"
    ":glibc.malloc.trim_threshold=4294967296",
)

# A run that was killed leaves Snakemake's locks and its own jobs behind; they go if no other run
# lives. A clock that was set back would make Snakemake remove every new output.
if workflow.is_main_process and not workflow.dryrun:
    inputs = [config["data"]["folder"], "results", "reports", "workflow", "config.yaml"]
    for said in (run_lock.hold(), run_lock.mend_times([*inputs, "references.bib"])):
        print(said, end="\n" if said else "", file=sys.stderr)
    # `respike status` reads it in the log.
    logger.info(f"Scale: {config['scale']} (process {os.getpid()})")

# Jobs side by side must fit into memory: on its own, --cores 8 would start eight whatever they need.
if (
    workflow.is_main_process
    and workflow.local_exec
    and "mem_mb" not in workflow.global_resources
):
    workflow.register_resource("mem_mb", dag.memory_mb())

SCALE = config["scale"]
DATA = config["data"]["folder"]
RESULTS = f"results/{SCALE}"
# Reports of a smoke run must not take the place of real ones.
REPORTS = "reports/smoke" if SCALE == "smoke" else "reports"
FIGURES = f"{RESULTS}/figures"


wildcard_constraints:
    experiment=r"[a-z][a-z0-9_.+-]*",
    seed=r"\d+",
    figure=r"[a-z][a-z0-9_]*",
