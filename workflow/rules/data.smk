rule mnist_download:
    """MNIST from the first source of workflow/datasets.yaml that can be reached, verified."""
    output:
        manifest=f"{DATA}/mnist/manifest.json",
    log:
        "logs/data/mnist_download.log",
    # Nodes of a cluster often reach no other host; on one machine it makes no difference.
    localrule: True
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1000),
        runtime=grow("30m"),
    params:
        content=content_digest("mnist"),
        out=subpath(output.manifest, parent=True),
        # A Path is left out of Snakemake's record of params, and is meant to be: where equal
        # content comes from must not run the training again.
        local=Path(f"--local={config['data']['mnist_folder'] or ''}"),
    message:
        "MNIST: four files into {params.out}"
    shell:
        "python -m respike.data.fetch mnist --out {params.out:q} {params.local:q}"
        " 2>&1 | tee {log}"
