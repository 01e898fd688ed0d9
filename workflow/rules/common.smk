# Names that every rule file uses. Functions live in src/respike/dag.py, where tests reach them.
from respike import dag
from respike.data.registry import content_digest
from respike.provenance import code_digest, pins_digest

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
