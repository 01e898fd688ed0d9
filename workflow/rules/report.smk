rule judge:
    """Every claim of every ledger held against the results; refuses what is not current."""
    input:
        runs=list(dag.wanted(config)),
        ledgers=[str(dag.ledger_of(source)) for source in config["sources"]],
    output:
        verdicts=f"{RESULTS}/verdicts.json",
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
        mem_mb=1500,
        runtime="10m",
    params:
        scale=SCALE,
        config=dag.canonical_json(dag.at_scale(config)),
        code=code_digest("respike.report.collect"),
        pins=pins_digest("respike.report.collect"),
        schemas=dag.file_digest("workflow/schemas/claims.schema.yaml"),
    message:
        "judging the claims"
    shell:
        "python -m respike.report.collect --scale {params.scale} --config {params.config:q}"
        " --ledgers {input.ledgers:q} --out {output.verdicts:q} --runs {output.runs:q}"
        " 2>&1 | tee {log:q}"


rule report:
    """The comparison report: one HTML page, the same as Markdown, and the verdicts as a table."""
    input:
        verdicts=rules.judge.output.verdicts,
        figures=[
            f"{FIGURES}/{figure}.png"
            for source in config["sources"]
            for figure in dag.figures(config, source)
        ],
        benchmarks=dag.existing("reports/benchmarks.csv"),
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
    log:
        f"logs/{RESULTS}/report.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime="10m",
    params:
        code=code_digest("respike.report.render"),
        pins=pins_digest("respike.report.render"),
        templates=dag.folder_digest("src/respike/report/templates"),
        figures=lambda wc, input: Path(input.figures[0]).parent.as_posix(),
        benchmarks=lambda wc, input: (
            f"--benchmarks {input.benchmarks}" if input.benchmarks else ""
        ),
        out=subpath(output.html, parent=True),
    message:
        "report: {output.html}"
    shell:
        "python -m respike.report.render --verdicts {input.verdicts:q} --figures {params.figures:q}"
        " {params.benchmarks} --out {params.out:q} 2>&1 | tee {log:q}"
