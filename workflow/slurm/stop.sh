#!/usr/bin/env bash
# Ends the cluster that start.sh began in FOLDER, its jobs first. Usage: workflow/slurm/stop.sh FOLDER
set -euo pipefail
[ $# = 1 ] && [ -d "$1" ] || { echo "usage: stop.sh FOLDER" >&2; exit 2; }
folder=$(cd "$1" && pwd)
[ -e "$folder/made-by-respike" ] || { echo "slurm: $folder is of no start.sh" >&2; exit 2; }

if [ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ]; then
    timeout 20 scancel --user=root 2>/dev/null || true
    for _ in $(seq 50); do
        [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
        sleep 0.2
    done
fi

alive() {
    local file=$folder/run/$1.pid
    # The number in the file may be another process's by now.
    [ -s "$file" ] && [ "$(cat "/proc/$(cat "$file")/comm" 2>/dev/null)" = "$1" ]
}
for daemon in slurmd slurmctld munged; do
    if alive $daemon; then kill "$(cat "$folder/run/$daemon.pid")"; fi
    for _ in $(seq 50); do
        alive $daemon || break
        sleep 0.2
    done
    if alive $daemon; then echo "slurm: $daemon does not end" >&2; fi
done

for name in slurm.conf gres.conf; do
    if [ "$(readlink /etc/slurm/$name)" = "$folder/$name" ]; then rm "/etc/slurm/$name"; fi
done
echo "slurm: stopped"
