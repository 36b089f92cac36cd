"""Fills pages: what stands between `<!-- study: aims -->` (or results, recipes, …) and `<!-- end -->` is made again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from report import recipes, speed, study
from report.results import Results
from report.tables import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"<!-- (study|results|recipes|augmentations|spaces|views)(?:: ([\w+ -]+?))? -->\n.*?<!-- end -->",
    re.DOTALL,
)
OF_BENCHMARKS = {**speed.MAKERS, **recipes.MAKERS}


def filled(text: str, results: Results) -> str:
    """Return a page with its tables made again."""

    def fill(match: re.Match[str]) -> str:
        opening = match[0].splitlines()[0]
        return f"{opening}\n\n{block(match[1], match[2] or '', results)}\n\n<!-- end -->"

    return BLOCK.sub(fill, text)


def block(kind: str, name: str, results: Results) -> str:
    """Return what a page shows under a mark, such as `study: aims`, `results: latency` or `recipes`."""
    if kind == "study":
        return study.MAKERS[name](results)
    question, *names = name.split() if kind == "results" else [kind]
    if question in OF_BENCHMARKS:
        return OF_BENCHMARKS[question](names)
    return recipes.learning([question, *names])


def own_pages(results: Results, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of the pages of results with the rows of another folder beside ours.

    Sentences, which are about our rows alone, stay out: headings, tables and charts remain.
    """
    wanted = re.compile(
        rf"^##+ [^\n]+|{BLOCK.pattern}|^!\[[^\n]+/images/study-[^\n]+", re.DOTALL | re.MULTILINE
    )
    for page in sorted((DOCS / "results").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if "<!-- study:" in text:
            about = f"Made of the rows in `{folder.name}` and of the library's own, whose pages say what the columns mean."
            parts = [text.splitlines()[0], about]
            for part in (match[0] for match in wanted.finditer(text)):
                if part.startswith("#"):  # a heading with nothing below goes
                    level = part.index(" ")
                    while parts[-1].startswith("##") and parts[-1].index(" ") >= level:
                        parts.pop()
                parts.append(part)
            while parts[-1].startswith("##"):
                parts.pop()
            yield page.name, filled("\n\n".join(parts) + "\n", results)
