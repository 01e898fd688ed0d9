# priority: the longest jobs first; short ones fill the gaps at the end.
rule kulkarni_forward_train:
    """Output weights trained with NormAD (Section VI and reference [6]), one seed."""
    input:
        data=rules.mnist_download.output.manifest,
    output:
        metrics=f"{RESULTS}/kulkarni_forward/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/kulkarni_forward/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/kulkarni_forward/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/kulkarni_forward/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "kulkarni_forward", "train"),
    priority: 10
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        # The hidden spikes of all training images are kept: 3 GB of 60,000.
        mem_mb=grow(4500 if SCALE == "paper" else 3000),
        runtime=grow("3h"),
        gpu=0,
    params:
        **dag.job_params(
            config, "kulkarni_forward", "respike.sources.kulkarni_forward.train"
        ),
    message:
        "kulkarni_forward {wildcards.experiment}: NormAD, seed {wildcards.seed}"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source kulkarni_forward"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule kulkarni_forward_train as kulkarni_forward_full_pass with:
    # Forward passes over the test images, original and modified (Sections IV to VIII).
    wildcard_constraints:
        experiment=dag.pattern(config, "kulkarni_forward", "full_pass"),
    priority: 8
    params:
        **dag.job_params(
            config, "kulkarni_forward", "respike.sources.kulkarni_forward.full_pass"
        ),
    message:
        "kulkarni_forward {wildcards.experiment}: forward passes, seed {wildcards.seed}"


use rule kulkarni_forward_train as kulkarni_forward_readout with:
    # Linear layer by back-propagation on spike counts, and the ANN with the same filters.
    wildcard_constraints:
        experiment=dag.pattern(config, "kulkarni_forward", "readout"),
    priority: 6
    params:
        **dag.job_params(
            config, "kulkarni_forward", "respike.sources.kulkarni_forward.readout"
        ),
    message:
        "kulkarni_forward {wildcards.experiment}: linear layer, seed {wildcards.seed}"


use rule kulkarni_forward_train as kulkarni_forward_encode with:
    # Pixel values to spike trains, and the printed equations (Sections III and VI).
    wildcard_constraints:
        experiment=dag.pattern(config, "kulkarni_forward", "encode"),
    priority: 0
    params:
        **dag.job_params(
            config, "kulkarni_forward", "respike.sources.kulkarni_forward.encode"
        ),
    message:
        "kulkarni_forward {wildcards.experiment}: pixel values to spikes"


use rule poisson_mlp_figures as kulkarni_forward_figures with:
    input:
        runs=lambda wc: dag.figures(config, "kulkarni_forward")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="kulkarni_forward",
            labels={"figure": "{figure}"},
        ),
    wildcard_constraints:
        figure="kulkarni_forward_[a-z0-9_]+",
    params:
        **dag.figure_params("kulkarni_forward"),
