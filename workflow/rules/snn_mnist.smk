# priority: the longest jobs first; short ones fill the gaps at the end.
rule snn_mnist_train:
    """Surrogate-gradient training through time and its variations, one seed."""
    input:
        data=rules.mnist_download.output.manifest,
    output:
        metrics=f"{RESULTS}/snn_mnist/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/snn_mnist/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/snn_mnist/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/snn_mnist/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "snn_mnist", "train"),
    priority: 10
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(3000),
        runtime=grow("2h"),
        gpu=dag.gpus(config),
    params:
        **dag.job_params(
            config, "snn_mnist", "respike.sources.snn_mnist.train", uses_gpu=True
        ),
    message:
        "snn_mnist {wildcards.experiment}: training, seed {wildcards.seed}"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source snn_mnist"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule snn_mnist_train as snn_mnist_ann with:
    # The ANN of equal size.
    wildcard_constraints:
        experiment=dag.pattern(config, "snn_mnist", "ann"),
    params:
        **dag.job_params(
            config, "snn_mnist", "respike.sources.shared.ann", uses_gpu=True
        ),
    message:
        "snn_mnist {wildcards.experiment}: training the ANN, seed {wildcards.seed}"


use rule poisson_mlp_figures as snn_mnist_figures with:
    input:
        runs=lambda wc: dag.figures(config, "snn_mnist")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="snn_mnist",
            labels={"figure": "{figure}"},
        ),
    wildcard_constraints:
        figure="snn_mnist_[a-z0-9_]+",
    params:
        **dag.figure_params("snn_mnist"),
