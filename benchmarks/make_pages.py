"""Write the tables and charts of docs/ again: figures from benchmarks/results/, recipes from the code."""

from __future__ import annotations

import argparse
from pathlib import Path

from report.charts import draw
from report.pages import BLOCK, DOCS, filled
from report.results import load
from report.tables import RESULTS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--results", type=Path, help="folder of rows of your own, shown beside ours; needs --out")
    add("--out", type=Path, default=DOCS, help="folder to write to (docs)")
    add("--no-charts", action="store_true", help="tables only")
    options = parser.parse_args()
    mine = [] if options.results is None else [options.results]
    if mine and options.out == DOCS:
        parser.error("--results needs --out: rows of your own have pages of their own")
    results = load(RESULTS, *mine)
    for page in sorted(DOCS.rglob("*.md")):
        made, text = options.out / page.relative_to(DOCS), page.read_text(encoding="utf-8")
        if mine and BLOCK.search(text):
            beside = f"With the rows in `{mine[0].name}` beside ours; the sentences are about ours."
            text = text.replace("\n", f"\n\n{beside}\n", 1)
        text = filled(text, results)
        if not made.exists() or made.read_text(encoding="utf-8") != text:
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(text, encoding="utf-8")
            print(f"written: {made}")
    if not options.no_charts:
        for path in draw(results, options.out / "images"):
            print(f"written: {path}")


if __name__ == "__main__":
    main()
