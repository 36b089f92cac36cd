"""What is left of an index after its writer was killed, the power went, files were damaged, and threads were interrupted?

    python benchmarks/reliability.py

Runs the slow tests of tests/index that count what they find, as `scripts/test.sh --all` does with all others. Each test
writes its row as it ends, whether it passes or not; the rows of others stay, each with its own date and commit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from environment import environment

QUESTION = "reliability"
FOLDER = "FASHIONSEARCH_RESULTS"  # names the environment's variable that has tests write their rows
ROOT = Path(__file__).parents[1]
TESTS = ("opening", "power", "damage", "shards", "threads", "full_disk")


def note(folder: Path, row: dict[str, Any]) -> Path:
    """Write a row in the place of the last one of the same name."""
    surroundings = environment()
    path = folder / f"{QUESTION}-{surroundings['device']}-{surroundings['date']}.json"
    older = sorted(folder.glob(f"{QUESTION}-*.json"))
    rows = json.loads(older[-1].read_text(encoding="utf-8"))["rows"] if older else []
    kept = [each for each in rows if each["what"] != row["what"]]
    rows = [*kept, {**row, "date": surroundings["date"], "commit": surroundings["commit"]}]
    content = {"question": QUESTION, "environment": surroundings, "rows": rows}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Run the tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=TESTS, default=TESTS, help="files of tests (all)")
    options = parser.parse_args()
    tests = [f"tests/index/test_{name}.py" for name in options.only]
    options.out.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(  # noqa: S603 (our own tests)
        [sys.executable, "-m", "pytest", "-m", "slow", *tests],
        cwd=ROOT,
        env={**os.environ, FOLDER: str(options.out.resolve())},
        check=False,
    )
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
