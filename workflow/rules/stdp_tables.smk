# priority: the longest jobs first; short ones fill the gaps at the end.
rule stdp_tables_cell:
    """Tables 4 to 6: an encoder and a neuron model with the three learning rules, one seed."""
    input:
        data=rules.mnist_download.output.manifest,
    output:
        metrics=f"{RESULTS}/stdp_tables/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/stdp_tables/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/stdp_tables/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/stdp_tables/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "stdp_tables", "cell"),
    priority: 9
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(3000),
        runtime=grow("3h"),
        gpu=0,
    params:
        **dag.job_params(config, "stdp_tables", "respike.sources.stdp_tables.cell"),
    message:
        "stdp_tables {wildcards.experiment}: training and test, seed {wildcards.seed}"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source stdp_tables"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule stdp_tables_cell as stdp_tables_search with:
    # Constants tuned for one neuron model (Section 4.2).
    wildcard_constraints:
        experiment=dag.pattern(config, "stdp_tables", "search"),
    priority: 8
    params:
        **dag.job_params(config, "stdp_tables", "respike.sources.stdp_tables.search"),
    message:
        "stdp_tables {wildcards.experiment}: search, seed {wildcards.seed}"


use rule stdp_tables_cell as stdp_tables_explain with:
    # Longer presentation, smaller batches, more neurons (Section 4.2).
    wildcard_constraints:
        experiment=dag.pattern(config, "stdp_tables", "explain"),
    priority: 8
    params:
        **dag.job_params(config, "stdp_tables", "respike.sources.stdp_tables.explain"),
    message:
        "stdp_tables {wildcards.experiment}: explanations, seed {wildcards.seed}"


use rule stdp_tables_cell as stdp_tables_ann with:
    # The ANN (Section 3.1).
    wildcard_constraints:
        experiment=dag.pattern(config, "stdp_tables", "ann"),
    priority: 4
    resources:
        mem_mb=grow(3000),
        runtime=grow("2h"),
        gpu=dag.gpus(config),
    params:
        **dag.job_params(
            config, "stdp_tables", "respike.sources.shared.ann", uses_gpu=True
        ),
    message:
        "stdp_tables {wildcards.experiment}: training the ANN, seed {wildcards.seed}"


use rule stdp_tables_cell as stdp_tables_show with:
    # Figures 4 to 6 from simulation.
    wildcard_constraints:
        experiment=dag.pattern(config, "stdp_tables", "show"),
    priority: 0
    params:
        **dag.job_params(config, "stdp_tables", "respike.sources.stdp_tables.show_rules"),
    message:
        "stdp_tables {wildcards.experiment}: encodings, membrane traces, STDP window"


use rule poisson_mlp_figures as stdp_tables_figures with:
    input:
        runs=lambda wc: dag.figures(config, "stdp_tables")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="stdp_tables",
            labels={"figure": "{figure}"},
        ),
    wildcard_constraints:
        figure="stdp_tables_[a-z0-9_]+",
    params:
        **dag.figure_params("stdp_tables"),
