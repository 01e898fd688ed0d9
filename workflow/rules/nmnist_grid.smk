rule nmnist_grid_describe:
    """What the recordings in use are: length, events, noise filter, frames."""
    input:
        data=[
            rules.mnist_download.output.manifest,
            rules.nmnist_recordings.output.manifest,
        ],
    output:
        metrics=f"{RESULTS}/nmnist_grid/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/nmnist_grid/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/nmnist_grid/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/nmnist_grid/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "describe"),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(4000),
        runtime=grow("1h"),
        gpu=0,
    params:
        **dag.job_params(config, "nmnist_grid", "respike.sources.nmnist_grid.describe"),
    message:
        "nmnist_grid {wildcards.experiment}: the recordings"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source nmnist_grid"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule nmnist_grid_describe as nmnist_grid_describe_real with:
    # The same of real recordings.
    input:
        data=[rules.mnist_download.output.manifest, dag.real_recordings(config) or []],
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "describe_real"),
    params:
        **dag.job_params(config, "nmnist_grid", "respike.sources.nmnist_grid.describe"),
    message:
        "nmnist_grid {wildcards.experiment}: real recordings"


use rule nmnist_grid_describe as nmnist_grid_surrogate with:
    # Figures 1 and 2.
    input:
        data=rules.mnist_download.output.manifest,
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "surrogate"),
    params:
        **dag.job_params(
            config, "nmnist_grid", "respike.sources.nmnist_grid.surrogate"
        ),
    message:
        "nmnist_grid {wildcards.experiment}: step and surrogate"


use rule nmnist_grid_describe as nmnist_grid_final with:
    # The final model and its variations, one seed.
    input:
        data=rules.nmnist_recordings.output.manifest,
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "final"),
    priority: 12
    resources:
        mem_mb=grow(4000),
        runtime=grow("6h"),
        gpu=dag.gpus(config),
    params:
        **dag.job_params(
            config,
            "nmnist_grid",
            "respike.sources.nmnist_grid.final",
            uses_gpu=True,
        ),
    message:
        "nmnist_grid {wildcards.experiment}: training, seed {wildcards.seed}"


use rule nmnist_grid_final as nmnist_grid_search_1 with:
    # Some cells of a search; finished ones are kept, so that a killed job goes on after them.
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "search_1"),
    resources:
        mem_mb=grow(4000),
        runtime=grow("24h"),
        gpu=dag.gpus(config),
    params:
        **dag.job_params(
            config,
            "nmnist_grid",
            "respike.sources.nmnist_grid.search",
            uses_gpu=True,
        ),
    message:
        "nmnist_grid {wildcards.experiment}: cells of a search, run {wildcards.seed}"


use rule nmnist_grid_describe as nmnist_grid_table_1 with:
    # One run of a search as a table.
    input:
        data=lambda wc: dag.searched(config, "nmnist_grid", wc.experiment, wc.seed),
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_grid", "table_1"),
    resources:
        mem_mb=grow(1500),
        runtime=grow("10m"),
        gpu=0,
    params:
        **dag.job_params(config, "nmnist_grid", "respike.sources.nmnist_grid.table"),
    message:
        "nmnist_grid {wildcards.experiment}: table of run {wildcards.seed}"


rule nmnist_grid_cells:
    """Every trained cell of every search in one tidy table."""
    input:
        runs=dag.searches(config, "nmnist_grid"),
    output:
        table=report(
            f"{RESULTS}/nmnist_grid/cells.csv",
            caption="../report/runs.rst",
            category="nmnist_grid",
            labels={"table": "every cell of the searches"},
        ),
    log:
        f"logs/{RESULTS}/nmnist_grid/cells.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("10m"),
    params:
        code=code_digest("respike.sources.nmnist_grid.cells_csv"),
        pins=pins_digest("respike.sources.nmnist_grid.cells_csv"),
    message:
        "nmnist_grid: every cell in {output.table}"
    shell:
        "python -m respike.sources.nmnist_grid.cells_csv --runs {input.runs:q} --out {output.table:q}"
        " 2>&1 | tee {log:q}"


use rule poisson_mlp_figures as nmnist_grid_figures with:
    input:
        runs=lambda wc: dag.figures(config, "nmnist_grid")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="nmnist_grid",
            labels={"figure": "{figure}"},
        ),
    wildcard_constraints:
        figure="nmnist_grid_[a-z0-9_]+",
    params:
        **dag.figure_params("nmnist_grid"),
