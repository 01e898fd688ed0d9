# The recordings of N-MNIST: real ones, official or given, and emulated ones.
rule nmnist_download:
    """The official recordings, through the addresses and checksums of tonic."""
    output:
        manifest=dag.official_recordings(config),
    log:
        "logs/data/nmnist_download.log",
    # Nodes of a cluster often reach no other host; on one machine it makes no difference.
    localrule: True
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("4h"),
    params:
        out=subpath(output.manifest, parent=True),
        # With `auto` a machine that cannot reach them goes on with emulated recordings.
        lenient="" if config["data"]["nmnist"] == "official" else "--if-reachable",
    message:
        "N-MNIST: official recordings into {params.out}"
    shell:
        "python -m respike.data.nmnist --official {params.lenient} --out {params.out:q}"
        " 2>&1 | tee {log}"


rule nmnist_real:
    """Real recordings that config.yaml names."""
    input:
        # Not their time: that of a folder says nothing of the files in it.
        recordings=ancient(config["data"].get("nmnist_real") or []),
    output:
        manifest=f"{DATA}/nmnist_real/manifest.json",
    log:
        "logs/data/nmnist_real.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(1500),
        runtime=grow("1h"),
    params:
        out=subpath(output.manifest, parent=True),
        # Not of `input`: Snakemake leaves params that follow from it out of its comparison.
        content=lambda wc: dag.recordings_digest(config["data"]["nmnist_real"]),
    message:
        "N-MNIST: recordings of {input.recordings}"
    shell:
        "python -m respike.data.nmnist --local {input.recordings:q} --out {params.out:q}"
        " 2>&1 | tee {log}"


rule nmnist_recordings:
    """The recordings that networks are trained on: official, given or emulated."""
    input:
        mnist=rules.mnist_download.output.manifest,
        given=dag.given_recordings(config),
    output:
        manifest=f"{DATA}/nmnist_{SCALE}/manifest.json",
    log:
        f"logs/data/nmnist_{SCALE}.log",
    priority: 20  # the grid waits for it; one thread: both cores are seldom free at once
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=grow(2500),
        runtime=grow("2h"),
        gpu=dag.gpus(config),
    params:
        numbers=dag.canonical_json(config["data"]["nmnist_recordings"][SCALE]),
        code=code_digest("respike.data.nmnist.recordings"),
        pins=pins_digest("respike.data.nmnist.recordings"),
        out=subpath(output.manifest, parent=True),
        device=config["device"],
    message:
        "N-MNIST: the recordings in use, into {params.out}"
    shell:
        "python -m respike.data.nmnist.recordings --mnist {input.mnist:q} --given={input.given:q}"
        " --numbers {params.numbers:q} --threads {threads} --device {params.device}"
        " --out {params.out:q} 2>&1 | tee {log}"
