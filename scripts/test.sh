#!/usr/bin/env bash
# Passes the tests; sets itself up first. Arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bash "$here/setup.sh" dev
cd "$here/.."
for argument in "$@"; do
    if [ "${argument#-}" = "$argument" ]; then # files or an expression: one run of what was asked for
        exec .venv/bin/python -m pytest "$@"
    fi
done
# Training has a process of its own: after all other tests in one process torch crashed in it.
.venv/bin/python -m pytest --ignore=tests/training "$@"
.venv/bin/python -m pytest tests/training "$@"
