from snakemake.utils import min_version

from respike.workflow.config import read

min_version("9.27.1")

config = read(config)


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/poisson_mlp.smk"
include: "workflow/rules/snn_mnist.smk"
include: "workflow/rules/nmnist.smk"
include: "workflow/rules/nmnist_grid.smk"
include: "workflow/rules/nmnist_emulator.smk"
include: "workflow/rules/kulkarni_forward.smk"
include: "workflow/rules/stdp_tables.smk"
include: "workflow/rules/report.smk"


rule all:
    """Everything that the configuration asks for, judged and written up."""
    default_target: True
    input:
        rules.report.output,
        rules.nmnist_grid_cells.output,
    message:
        "finished: {input[0]}"
