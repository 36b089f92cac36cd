#!/usr/bin/env bash
# Passes the tests; sets itself up first. Arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bash "$here/setup.sh" dev
cd "$here/.."
exec .venv/bin/python -m pytest "$@"
