# Jobs that fail in the ways that a cluster makes jobs fail, run through profiles/slurm. What a job
# was given, and in which attempt, is appended to tried/<rule>.
import sys

from respike.workflow.dag import grow

PYTHON = sys.executable


rule all:
    input:
        "made/memory",
        "made/late",
        "made/broken",
        expand("made/gpu_{number}", number=range(4)),


rule memory:
    """Takes 600 MB: too much at the first attempt, allowed at the second."""
    output:
        "made/memory",
    log:
        "logs/memory.log",
    resources:
        mem_mb=grow(400),
        runtime=grow("5m"),
    shell:
        "mkdir -p tried; echo $SLURM_JOB_ID {resources.mem_mb} >> tried/memory;"
        " {PYTHON} -c \"import time; block = b'x' * 600_000_000; time.sleep(6)\" 2> {log};"
        " touch {output}"


rule late:
    """Takes longer than its limit of a minute, the least that Slurm knows, at the first attempt."""
    output:
        "made/late",
    log:
        "logs/late.log",
    resources:
        mem_mb=grow(400),
        runtime=grow("1m"),
    shell:
        "mkdir -p tried; echo $SLURM_JOB_ID {resources.runtime} >> tried/late;"
        " test {resources.runtime} -gt 1 || sleep 600; touch {output}"


rule broken:
    """Fails whenever it is tried."""
    output:
        "made/broken",
    log:
        "logs/broken.log",
    resources:
        mem_mb=grow(400),
        runtime=grow("5m"),
    shell:
        "mkdir -p tried; echo $SLURM_JOB_ID >> tried/broken;"
        " echo the reason of the failure > {log}; exit 3"


rule gpu:
    """Writes which GPU it was given, and from when to when it held it."""
    output:
        "made/gpu_{number}",
    log:
        "logs/gpu_{number}.log",
    resources:
        mem_mb=grow(400),
        runtime=grow("5m"),
        gpu=1,
    shell:
        "begin=$(date +%s.%N); sleep 5;"
        " echo ${{CUDA_VISIBLE_DEVICES:-none}} $begin $(date +%s.%N) > {output}"
