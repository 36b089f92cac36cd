#!/usr/bin/env bash
# Makes a virtual environment that searches and tags without PyTorch; prints what it takes up, without pip. The folder is
# the first argument; more requirement files may follow, such as requirements-service.txt.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1
"${PYTHON:-python3}" -m venv "$folder"
pip=("$folder/bin/pip" --quiet --disable-pip-version-check)
for file in "$here/../requirements-serving.txt" "${@:2}"; do
    "${pip[@]}" install --requirement "$file"
done
"${pip[@]}" install --no-deps "$here/.."
"$folder/bin/python" -c '
import pathlib, sysconfig
packages = pathlib.Path(sysconfig.get_path("purelib"))
ours = [path for path in packages.iterdir() if not path.name.startswith(("pip", "setuptools"))]
files = [file for path in ours for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
print(sum(file.stat().st_size for file in files if file.suffix != ".pyc"))
'
