"""Make the pictures of the documentation: run the blocks of each page that draws some, and keep what they save."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from report.blocks import fences, pictures, saved
from report.charts import reduce
from report.pages import DOCS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "pages", nargs="*", type=Path, help="pages to run (all that save a picture they show)"
    )
    options = parser.parse_args()
    plt.switch_backend("Agg")
    for page in options.pages or sorted(DOCS.rglob("*.md")):
        names = saved(page) & set(pictures(page))
        if names:
            draw(page.resolve(), names)


def draw(page: Path, names: set[str]) -> None:
    """Run a page's blocks in order, in a folder of their own, and keep the pictures of these names."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        scope: dict[str, object] = {"__name__": page.stem}
        for block in fences(page, "python"):
            exec(compile(block, str(page), "exec"), scope)  # noqa: S102 - the page is part of the repository
        for name in sorted(names):
            reduce(Path(name).read_bytes(), DOCS / "images" / name)
            print(f"written: {DOCS / 'images' / name}")
    plt.close("all")


if __name__ == "__main__":
    main()
