"""Make the notebooks of the tutorials, from the same pages that the site shows; `tests/test_notebooks.py` runs them."""

from __future__ import annotations

from pathlib import Path

from report.notebooks import notebook_of, text_of
from report.pages import DOCS

NOTEBOOKS = DOCS / "notebooks"


def made() -> dict[Path, tuple[Path, str]]:
    """Return page -> its notebook's path, and what belongs there."""
    pages = sorted((DOCS / "tutorials").glob("*.md"))
    paths = {page: NOTEBOOKS / f"{page.stem}.ipynb" for page in pages}
    return {page: (path, text_of(notebook_of(page, path))) for page, path in paths.items()}


def main() -> None:
    """Write them."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for path, text in made().values():
        path.write_text(text, encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    main()
