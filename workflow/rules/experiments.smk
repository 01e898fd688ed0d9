# One rule for each root entry of each source, named <source>_<entry>.
for job in jobs.of(config):

    rule:
        name:
            job.rule
        input:
            data=job.inputs,
        output:
            metrics=f"{RESULTS}/{job.source}/{{experiment}}/seed={{seed}}/metrics.json",
            arrays=f"{RESULTS}/{job.source}/{{experiment}}/seed={{seed}}/arrays.npz",
        log:
            f"logs/{RESULTS}/{job.source}/{{experiment}}/seed={{seed}}.log",
        benchmark:
            f"logs/{RESULTS}/{job.source}/{{experiment}}/seed={{seed}}.benchmark.tsv"
        wildcard_constraints:
            experiment=job.pattern,
        priority: job.priority
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=grow(job.memory_mb),
            runtime=grow(job.runtime),
            gpu=job.gpus,
        params:
            **job.params,
            source=job.source,
        message:
            f"{job.source} {{wildcards.experiment}}: {job.title}, seed {{wildcards.seed}}"
        shell:
            "python -m respike.workflow.run_experiment --source {params.source} --root {params.root}"
            " --data {input.data:q} --settings {params.settings:q}"
            " --experiment {wildcards.experiment} --protocol {params.protocol}"
            " --scale {params.scale} --seed {wildcards.seed} --threads {threads}"
            " --device {params.device} --metrics {output.metrics:q} --arrays {output.arrays:q}"
            " 2>&1 | tee {log:q}"


for source in config["sources"]:

    rule:
        name:
            f"{source}_figures"
        input:
            runs=jobs.figure_inputs(config, source),
        output:
            picture=report(
                f"{FIGURES}/{{figure}}.png",
                caption="../report/figure.rst",
                category=source,
                labels={"figure": "{figure}"},
            ),
        log:
            f"logs/{FIGURES}/{{figure}}.log",
        wildcard_constraints:
            figure=f"{source}_[a-z0-9_]+",
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=grow(1500),
            runtime=grow("10m"),
        params:
            **jobs.figure_params(source),
        message:
            "figure {wildcards.figure}"
        shell:
            "python -m {params.module} --figure {wildcards.figure} --runs {input.runs:q}"
            " --published {params.published:q} --out {output.picture:q} 2>&1 | tee {log:q}"
