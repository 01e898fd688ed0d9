# What this source needs beside the rules of its experiments and figures.
rule nmnist_grid_cells:
    """Every trained cell of every search in one tidy table."""
    input:
        runs=dag.searches(config, "nmnist_grid"),
    output:
        table=report(
            f"{RESULTS}/nmnist_grid/cells.csv",
            caption="../../../../workflow/report/runs.rst",
            category="nmnist_grid",
            labels={"table": "every cell of the searches"},
        ),
    log:
        f"logs/{RESULTS}/nmnist_grid/cells.log",
    conda:
        "../../../../environment.yml"
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


WANTED += rules.nmnist_grid_cells.output
