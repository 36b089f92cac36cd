#!/usr/bin/env bash
# Runs the demo, on a drawn catalogue or on the photos given with --data; sets itself up first.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bash "$here/setup.sh"
exec "$here/../.venv/bin/fashionsearch" demo "$@"
