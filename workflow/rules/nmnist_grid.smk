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
        mem_mb=4000,
        runtime="1h",
        gpu=0,
    params:
        **dag.job_params(config, "nmnist_grid", "respike.experiments.nmnist_describe"),
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
        **dag.job_params(config, "nmnist_grid", "respike.experiments.nmnist_describe"),
    message:
        "nmnist_grid {wildcards.experiment}: real recordings"


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
