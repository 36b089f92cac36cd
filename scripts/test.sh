#!/usr/bin/env bash
# Passes the tests in one process; sets itself up first. --all adds the tests that take minutes, some of which write what
# they count to benchmarks/results/reliability-*.json; other arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bash "$here/setup.sh" dev
cd "$here/.."
chosen=(-m "not slow")
if [ "${1:-}" = --all ]; then
    chosen=()
    shift
    export FASHIONSEARCH_RESULTS="$PWD/benchmarks/results"
fi
# A crash in native code says where it happened, and leaves a core where the system allows one.
ulimit -c unlimited 2>/dev/null || true
export PYTHONFAULTHANDLER=1
# Hundreds of processes are started, and none is to compile the library again.
export PYTHONDONTWRITEBYTECODE=
exec .venv/bin/python -m pytest ${chosen[@]+"${chosen[@]}"} "$@"
