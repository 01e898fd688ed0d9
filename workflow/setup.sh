#!/usr/bin/env bash
# Creates .venv from requirements.lock with plain pip, so that your own pip configuration counts.
# A stamp is written last: an interrupted installation has none and starts again (pip's cache
# keeps what was fetched). The stamp holds the content of the lock, not its time, and the folder,
# because an environment that was moved does not work.
set -euo pipefail
# The physical place: the same checkout through a symbolic link has the same environment.
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    local name candidates=${PYTHON:-python3 python3.11 python3.12 python3.13}
    for name in $candidates; do
        if fits "$name"; then command -v "$name"; return; fi
    done
    echo "setup: needs Python 3.11, 3.12 or 3.13. Looked for:" >&2
    for name in $candidates; do
        echo "  $name: $("$name" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo not there)" >&2
    done
    echo "setup: name another one: make setup PYTHON=/path/to/python3.11" >&2
    return 1
}

# .venv is removed only if the stamp in it says that this script made it.
remove_venv() {
    if [ -L $venv ] || { [ -e $venv ] && ! [ -f $venv/respike.stamp ] && ! [ -f $venv/lock.stamp ]; }; then
        echo "setup: $PWD/$venv is not of this script's making, so it is left alone." >&2
        echo "setup: move it away or remove it, then call again" >&2
        return 1
    fi
    rm -rf $venv # not --clear: it would keep the interpreter link of a removed Python
}

checksum() { { pwd -P; cat "$@"; } | cksum; }

# The variables of a user's own Python must not reach into the environment.
unset PYTHONHOME PYTHONPATH

lock_key=$(checksum requirements.lock)
if [ "$(cat $venv/lock.stamp 2>/dev/null)" != "$lock_key" ] || ! fits $venv/bin/python; then
    python=$(find_python)
    total=$(grep -c == requirements.lock)
    echo "setup: creating $venv with $("$python" --version); about 6 GB, some minutes on the first run"
    remove_venv
    mkdir $venv
    touch $venv/respike.stamp # an interrupted installation is ours too
    "$python" -m venv $venv || {
        remove_venv
        echo "setup: $python cannot create an environment (on Debian: apt-get install python3-venv)" >&2
        exit 1
    }
    # --no-compile: pip compiles on one core, compileall on all.
    $venv/bin/python -m pip install --no-compile --disable-pip-version-check --require-hashes \
        --log $venv/install.log -r requirements.lock 2>$venv/install.err |
        awk -v total="$total" '
            /^Collecting/ && ++n % 20 == 0 { print "setup: " n " of at most " total " packages found"; fflush() }
            /^Installing collected/        { print "setup: unpacking"; fflush() }' || {
        grep -v '^WARNING: ' $venv/install.err >&2 || true
        echo "setup: pip failed; its full log is $venv/install.log. Call again to try again." >&2
        exit 1
    }
    # A job that had to compile torch would start two seconds later: each of them where
    # PYTHONDONTWRITEBYTECODE is set. A file that does not compile is nobody's (a template).
    echo "setup: compiling"
    $venv/bin/python -m compileall -qq -j 0 -x '/tests?/' $venv/lib || true
    rm -f $venv/package.stamp
    echo "$lock_key" >$venv/lock.stamp
fi

package_key=$(checksum pyproject.toml)
if [ "$(cat $venv/package.stamp 2>/dev/null)" != "$package_key" ]; then
    $venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps \
        --no-build-isolation --editable .
    echo "$package_key" >$venv/package.stamp
    echo "setup: ready ($venv)"
fi
