#!/usr/bin/env bash
# Builds the site of one version beside those of others, as a commit on the branch gh-pages of this checkout; the newest
# is also called latest, where readers arrive. Nothing is sent anywhere: `git push origin gh-pages` does that.
#
#     bash scripts/publish-docs.sh 0.2
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=${1:?name the version, such as 0.2}
bash "$here/setup.sh" dev
cd "$here/.."
export PATH="$PWD/.venv/bin:$PATH" NO_MKDOCS_2_WARNING=1
mike deploy --update-aliases "$version" latest
mike set-default latest
