"""Write the tables and charts of docs/ again: figures from benchmarks/results/, recipes from the code."""

from __future__ import annotations

import argparse
from pathlib import Path

from report.charts import draw
from report.pages import DOCS, filled, own_pages
from report.results import load
from report.tables import RESULTS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--results",
        type=Path,
        help="folder of rows of your own, to be shown beside ours in pages of their own; needs --out",
    )
    parser.add_argument("--out", type=Path, help="folder for results/ and images/ (docs)")
    parser.add_argument("--no-charts", action="store_true", help="tables only")
    options = parser.parse_args()
    if options.results is not None and options.out is None:
        parser.error("--results needs --out: rows of your own have pages of their own")
    if options.results is None:
        results, out = load(RESULTS), options.out or DOCS
        pages = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
        texts = {out / page.relative_to(DOCS): filled(text, results) for page, text in pages.items()}
    else:
        results, out = load(RESULTS, options.results), options.out
        texts = {out / "results" / name: text for name, text in own_pages(results, options.results)}
    for page, text in texts.items():
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"written: {page}")
    if not options.no_charts:
        for path in draw(results, out / "images"):
            print(f"written: {path}")


if __name__ == "__main__":
    main()
