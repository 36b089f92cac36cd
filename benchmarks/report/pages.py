"""Fills pages: what stands between `<!-- study: aims -->` (or results, recipes, …) and `<!-- end -->` is made again."""

from __future__ import annotations

import re

from report import buyer, fashion, index, recipes, serving, speed, study, tagger
from report.results import Results
from report.tables import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"<!-- (study|results|recipes|augmentations|spaces|views)(?:: ([\w+ -]+?))? -->\n.*?<!-- end -->",
    re.DOTALL,
)
OF_BENCHMARKS = {
    **speed.MAKERS,
    **serving.MAKERS,
    **recipes.MAKERS,
    **fashion.MAKERS,
    **tagger.MAKERS,
    **index.MAKERS,
    **buyer.MAKERS,
}


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
