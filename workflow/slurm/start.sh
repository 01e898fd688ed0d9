#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for tests: slurmctld, slurmd and munged as plain
# processes, without systemd, cgroups and accounting database. Debian or Ubuntu, as root.
#
#   workflow/slurm/start.sh FOLDER      everything that it writes is in FOLDER, but for two links
#   workflow/slurm/stop.sh FOLDER       in /etc/slurm, which stop.sh takes away again
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
fail() { echo "slurm: $*" >&2; exit 1; }

[ $# = 1 ] || fail "usage: start.sh FOLDER"
[ "$(id -u)" = 0 ] || fail "must be root: munged and slurmd change users"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
mark=$folder/made-by-respike
[ -e "$mark" ] || [ -z "$(ls -A "$folder")" ] ||
    fail "$folder is neither empty nor of an earlier start.sh: name another folder"
touch "$mark"
node=$(hostname -s)

# A machine that belongs to a real cluster is left alone.
for name in slurm.conf gres.conf; do
    link=/etc/slurm/$name
    if [ -e $link ] && [ "$(readlink $link)" != "$folder/$name" ]; then
        fail "$link exists: this machine has a Slurm already (of another start.sh? run its stop.sh)"
    fi
done
if scontrol ping >/dev/null 2>&1; then fail "runs already in $folder"; fi

missing() { ! command -v "$1" >/dev/null; }
if missing slurmctld || missing slurmd || missing sbatch || missing munged; then
    command -v apt-get >/dev/null || fail "needs the packages slurm-wlm and munge, and no apt-get here"
    echo "slurm: installing slurm-wlm and munge"
    { apt-get update && apt-get install --yes --no-install-recommends slurm-wlm munge; } \
        >"$folder/apt.log" 2>&1 || fail "installation failed, see $folder/apt.log"
fi

mkdir -p "$folder"/{state,spool,log,run,gpu} /etc/slurm

# Two GPUs that are none: Slurm hands out character devices, and these are further /dev/null. It
# counts them and sets CUDA_VISIBLE_DEVICES as with real ones.
for number in 0 1; do
    [ -c "$folder/gpu/$number" ] || mknod "$folder/gpu/$number" c 1 3
done
cat >"$folder/gres.conf" <<END
AutoDetect=off
Name=gpu File=$folder/gpu/[0-1]
END

memory=$(slurmd -C | grep -o 'RealMemory=[0-9]*')
cat >"$folder/slurm.conf" <<END
ClusterName=respike
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
MailProg=/bin/true
MpiDefault=none

# No cgroups: processes are found by their parents. A job that takes more memory than it asked for
# is found by polling and killed, as a cluster with cgroups would do at once.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=UsePss,OverMemoryKill

# No accounting: sacct does not work, which is what the profile must live with. One line for each
# finished job is written to a file.
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobs.txt

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2
OverTimeLimit=0
KillWait=3
ReturnToService=2
GresTypes=gpu

# Four CPUs whatever the machine has, so that CPUs are never what two GPU jobs wait for.
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 $memory Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
# Jobs look nowhere else: the Slurm plugin of Snakemake takes SLURM_CONF out of their environment.
ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
ln -sfn "$folder/gres.conf" /etc/slurm/gres.conf

if [ ! -s "$folder/munge.key" ]; then
    (umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
fi
munged --force --key-file="$folder/munge.key" --socket="$folder/run/munge.socket" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" \
    --seed-file="$folder/run/munge.seed"
slurmctld
slurmd -N "$node"

for _ in $(seq 100); do
    if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
        sinfo --noheader --format="slurm: node %N is %t, %c CPUs, %m MB, %G; logs in $folder/log"
        exit 0
    fi
    sleep 0.2
done
tail -n 5 "$folder"/log/*.log >&2
fail "the node did not come up in 20 s"
