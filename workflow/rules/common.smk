# Names that every rule file uses. Functions live in src/respike/workflow, where tests reach them.
from respike.data.download.registry import content_digest
from respike.runs import sources
from respike.runs.provenance import code_digest, pins_digest
from respike.workflow import dag, jobs, startup
from respike.workflow.config import load as load_config
from respike.workflow.dag import grow

startup.prepare(workflow, config)

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
