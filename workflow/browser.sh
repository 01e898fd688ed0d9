#!/usr/bin/env bash
# Installs Chromium for the tests of the page, where that is possible without asking: Debian and
# Ubuntu, as root. Elsewhere it says so, and those tests are skipped with the same advice.
set -euo pipefail
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome chrome headless_shell; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "test: installing Chromium for the tests of the page"
    if { apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "test: no Chromium, and it cannot be installed here: the tests of the page are skipped" >&2
