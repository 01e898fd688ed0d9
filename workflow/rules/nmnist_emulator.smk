rule nmnist_emulator_fidelity:
    """Emulated recordings beside real ones of the same images; the seed is the emulator's."""
    input:
        data=[rules.mnist_download.output.manifest, dag.real_recordings(config) or []],
    output:
        metrics=f"{RESULTS}/nmnist_emulator/{{experiment}}/seed={{seed}}/metrics.json",
        arrays=f"{RESULTS}/nmnist_emulator/{{experiment}}/seed={{seed}}/arrays.npz",
    log:
        f"logs/{RESULTS}/nmnist_emulator/{{experiment}}/seed={{seed}}.log",
    benchmark:
        f"logs/{RESULTS}/nmnist_emulator/{{experiment}}/seed={{seed}}.benchmark.tsv"
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_emulator", "fidelity"),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(3000),
        runtime=grow("1h"),
        gpu=0,
    params:
        **dag.job_params(
            config, "nmnist_emulator", "respike.sources.nmnist_emulator.fidelity"
        ),
    message:
        "nmnist_emulator {wildcards.experiment}: emulated against real, seed {wildcards.seed}"
    shell:
        "python -m {params.module}"
        " --data {input.data:q} --settings {params.settings:q} --source nmnist_emulator"
        " --experiment {wildcards.experiment} --protocol {params.protocol} --scale {params.scale}"
        " --seed {wildcards.seed} --threads {threads} --device {params.device}"
        " --metrics {output.metrics:q} --arrays {output.arrays:q} 2>&1 | tee {log:q}"


use rule nmnist_emulator_fidelity as nmnist_emulator_transfer with:
    # A network trained on emulated recordings, tested on real ones.
    wildcard_constraints:
        experiment=dag.pattern(config, "nmnist_emulator", "transfer"),
    priority: 10
    params:
        **dag.job_params(
            config, "nmnist_emulator", "respike.sources.nmnist_emulator.transfer"
        ),
    message:
        "nmnist_emulator {wildcards.experiment}: trained on emulated recordings, seed {wildcards.seed}"


use rule poisson_mlp_figures as nmnist_emulator_figures with:
    input:
        runs=lambda wc: dag.figures(config, "nmnist_emulator")[wc.figure],
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="nmnist_emulator",
            labels={"figure": "{figure}"},
        ),
    wildcard_constraints:
        figure="nmnist_emulator_[a-z0-9_]+",
    params:
        **dag.figure_params("nmnist_emulator"),
