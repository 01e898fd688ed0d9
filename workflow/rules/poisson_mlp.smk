rule poisson_mlp_train:
    """Local surrogate-gradient training and its variations (Step 3), one seed."""
    input:
        data=rules.mnist_download.output.manifest,
    output:
        metrics=f"{RESULTS}/poisson_mlp/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/poisson_mlp/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/poisson_mlp/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/poisson_mlp/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "poisson_mlp", "train"),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(3000),
        runtime=grow("2h"),
        gpu=0,
    params:
        **dag.job_params(config, "poisson_mlp", "respike.sources.poisson_mlp.train"),
    message:
        "poisson_mlp {wildcards.experiment}: training, seed {wildcards.seed}"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source poisson_mlp"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule poisson_mlp_train as poisson_mlp_encode with:
    # Spike encoding of images (Step 1).
    wildcard_constraints:
        experiment=dag.pattern(config, "poisson_mlp", "encode"),
    params:
        **dag.job_params(
            config, "poisson_mlp", "respike.sources.poisson_mlp.encode"
        ),
    message:
        "poisson_mlp {wildcards.experiment}: encoding, seed {wildcards.seed}"


use rule poisson_mlp_train as poisson_mlp_forward with:
    # Forward pass of the untrained network (Step 2).
    wildcard_constraints:
        experiment=dag.pattern(config, "poisson_mlp", "forward"),
    params:
        **dag.job_params(
            config, "poisson_mlp", "respike.sources.poisson_mlp.forward"
        ),
    message:
        "poisson_mlp {wildcards.experiment}: forward pass, seed {wildcards.seed}"


use rule poisson_mlp_train as poisson_mlp_overflow with:
    # Overflow of the surrogate derivative (Challenge 3).
    wildcard_constraints:
        experiment=dag.pattern(config, "poisson_mlp", "overflow"),
    params:
        **dag.job_params(
            config, "poisson_mlp", "respike.sources.poisson_mlp.overflow"
        ),
    message:
        "poisson_mlp {wildcards.experiment}: overflow map, seed {wildcards.seed}"


use rule poisson_mlp_train as poisson_mlp_ann with:
    # The ANN of equal size on the same images.
    wildcard_constraints:
        experiment=dag.pattern(config, "poisson_mlp", "ann"),
    resources:
        mem_mb=grow(3000),
        runtime=grow("2h"),
        gpu=dag.gpus(config),
    params:
        **dag.job_params(
            config, "poisson_mlp", "respike.sources.shared.ann", uses_gpu=True
        ),
    message:
        "poisson_mlp {wildcards.experiment}: training the ANN, seed {wildcards.seed}"


rule poisson_mlp_figures:
    """One figure of this source, drawn from finished results."""
    input:
        runs=lambda wc: dag.figures(config, "poisson_mlp")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="poisson_mlp",
            labels={"figure": "{figure}"},
        ),
    log:
        f"logs/{FIGURES}/{{figure}}.log",
    wildcard_constraints:
        figure="poisson_mlp_[a-z0-9_]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("10m"),
    params:
        **dag.figure_params("poisson_mlp"),
    message:
        "figure {wildcards.figure}"
    shell:
        "python -m {params.module} --figure {wildcards.figure} --runs {input.runs:q}"
        " --published {params.published:q} --out {output.picture:q} 2>&1 | tee {log:q}"
