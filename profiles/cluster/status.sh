#!/usr/bin/env bash
# Prints running, success or failed for a Slurm job, without accounting. Usage: status.sh ID
# A job that Slurm has forgotten (MinJobAge after its end, 300 s by default) counts as failed and
# is tried again; an answer that cannot be had counts as running, and is asked for again.
set -uo pipefail
answer=$(scontrol show job --oneliner "$1" 2>&1)
case $answer in
    *JobState=COMPLETED*) echo success ;;
    *JobState=PENDING* | *JobState=RUNNING* | *JobState=COMPLETING* | *JobState=CONFIGURING* | \
        *JobState=SUSPENDED* | *JobState=REQUEUED*) echo running ;;
    *JobState=* | *"Invalid job id"*) echo failed ;;
    *) echo running ;;
esac
