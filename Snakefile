from snakemake.utils import min_version

from respike.runs import surroundings
from respike.workflow.config import read

min_version("9.27.1")

surroundings.enter_workflow(str(workflow.current_basedir))
config = read(config)


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/nmnist.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/report.smk"


for file in sources.rule_files(config):

    include: file


rule all:
    """Everything that the configuration asks for, judged and written up."""
    default_target: True
    input:
        rules.report.output,
        WANTED,
    message:
        "finished: {input[0]}"
