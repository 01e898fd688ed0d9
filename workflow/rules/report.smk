rule judge:
    """Every claim of every ledger held against the results; refuses what is not current."""
    input:
        runs=list(dag.wanted(config)),
        # Checked against the digest in each result, and the networks' predictions are read.
        arrays=[
            path.replace("metrics.json", "arrays.npz") for path in dag.wanted(config)
        ],
        ledgers=[str(jobs.ledger_of(source)) for source in config["sources"]],
        records=dag.record_files(config),
    output:
        verdicts=f"{RESULTS}/verdicts.json",
        networks=f"{RESULTS}/networks.json",
        runs=report(
            f"{RESULTS}/runs.csv",
            caption="../report/runs.rst",
            category="report",
            labels={"table": "every run and metric"},
        ),
    log:
        f"logs/{RESULTS}/judge.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("10m"),
    params:
        scale=SCALE,
        records=lambda wc: dag.RECORDS.as_posix(),
        config=dag.canonical_json(dag.at_scale(config)),
        # Of all experiments, also those whose data this machine lacks: their records are shown.
        kept=dag.kept_json(
            load_config("config.yaml", {"scale": SCALE}, everything=True)
        ),
        code=jobs.report_code("respike.report.collect"),
        pins=pins_digest("respike.report.collect"),
        schemas=dag.file_digest("workflow/schemas/claims.schema.yaml"),
    message:
        "judging the claims"
    shell:
        "python -m respike.report.collect --scale {params.scale} --config {params.config:q}"
        " --ledgers {input.ledgers:q} --records {params.records:q} --kept {params.kept:q}"
        " --out {output.verdicts:q} --runs {output.runs:q} --networks {output.networks:q}"
        " 2>&1 | tee {log:q}"


rule networks_figures:
    """Every trained network in one plot."""
    input:
        networks=rules.judge.output.networks,
    output:
        picture=report(
            f"{FIGURES}/{{figure}}.png",
            caption="../report/figure.rst",
            category="report",
            labels={"figure": "{figure}"},
        ),
    log:
        f"logs/{FIGURES}/{{figure}}.log",
    wildcard_constraints:
        figure="networks_[a-z]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow("10m"),
    params:
        code=code_digest("respike.figures.networks"),
        pins=pins_digest("respike.figures.networks"),
    message:
        "figure {wildcards.figure}"
    shell:
        "python -m respike.figures.networks --figure {wildcards.figure}"
        " --networks {input.networks:q} --out {output.picture:q} 2>&1 | tee {log:q}"


rule report:
    """The comparison report: one HTML page, the same as Markdown, and its tables."""
    input:
        verdicts=rules.judge.output.verdicts,
        networks=rules.judge.output.networks,
        runs=rules.judge.output.runs,
        figures=[
            f"{FIGURES}/{figure}.png"
            for source in config["sources"]
            for figure in jobs.figures(config, source)
        ],
        network_figures=[
            f"{FIGURES}/networks_{kind}.png" for kind in ("operations", "time")
        ],
        bibliography=jobs.bibliographies(config),
        benchmarks=dag.existing("reports/benchmarks.csv"),
        scaling=dag.existing("reports/scaling.csv"),
    output:
        html=report(
            f"{REPORTS}/comparison.html",
            caption="../report/comparison.rst",
            category="report",
            labels={"table": "comparison of every claim"},
        ),
        markdown=f"{REPORTS}/comparison.md",
        table=report(
            f"{REPORTS}/verdicts.csv",
            caption="../report/verdicts.rst",
            category="report",
            labels={"table": "verdicts"},
        ),
        tables=[f"{REPORTS}/{name}.csv" for name in ("results", "networks", "pairs")],
    log:
        f"logs/{RESULTS}/report.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("10m"),
    params:
        code=code_digest("respike.report.render"),
        pins=pins_digest("respike.report.render"),
        templates=dag.folder_digest("src/respike/report/templates"),
        figures=lambda wc: FIGURES,
        benchmarks=lambda wc, input: (
            f"--benchmarks {input.benchmarks}" if input.benchmarks else ""
        ),
        scaling=lambda wc, input: f"--scaling {input.scaling}" if input.scaling else "",
        out=subpath(output.html, parent=True),
    message:
        "report: {output.html}"
    shell:
        "python -m respike.report.render --verdicts {input.verdicts:q} --networks {input.networks:q}"
        " --runs {input.runs:q} --figures {params.figures:q} {params.benchmarks} {params.scaling} --out {params.out:q} 2>&1 | tee {log:q}"


rule report_from_records:
    """The same report from run records alone, on a machine that ran nothing."""
    input:
        records=dag.record_files({**config, "scale": "default"}),
        config="config.yaml",
        ledgers=[str(jobs.ledger_of(source)) for source in config["sources"]],
        bibliography=jobs.bibliographies(config),
    output:
        html="reports/from_records/comparison.html",
        markdown="reports/from_records/comparison.md",
        verdicts="reports/from_records/verdicts.json",
        tables=[
            f"reports/from_records/{name}.csv"
            for name in ("verdicts", "results", "networks", "pairs")
        ],
    log:
        "logs/report_from_records.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(2000),
        runtime=grow("30m"),
    params:
        scale="default" if SCALE == "smoke" else SCALE,
        records=lambda wc: dag.RECORDS.as_posix(),
        code=jobs.report_code("respike.report.from_records"),
        figures=" ".join(
            code_digest(module)
            for module in (
                *map(jobs.figures_module, config["sources"]),
                "respike.figures.networks",
            )
        ),
        pins=pins_digest("respike.report.from_records"),
        templates=dag.folder_digest("src/respike/report/templates"),
        out=subpath(output.html, parent=True),
    message:
        "report from records: {output.html}"
    shell:
        "python -m respike.report.from_records --scale {params.scale} --records {params.records:q}"
        " --work results/from_records --out {params.out:q} 2>&1 | tee {log:q}"
