"""The code blocks and the pictures of a page of the documentation."""

from __future__ import annotations

import re
from pathlib import Path


def fences(page: Path, language: str) -> list[str]:
    """Return the content of a page's blocks in a language."""
    blocks: list[str] = []
    inside: str | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.lstrip().startswith("```"):
            if inside == language:
                blocks[-1] += line + "\n"
        elif inside is not None:
            inside = None
        else:
            inside = line.strip().strip("`").strip().split(" ")[0]
            if inside == language:
                blocks.append("")
    if inside is not None:
        raise ValueError(f"{page} ends inside a block")
    return blocks


def pictures(page: Path) -> list[str]:
    """Return the names of the pictures in docs/images/ that a page shows."""
    return re.findall(r"!\[[^\]]*\]\([^)]*images/([^)/]+)\)", page.read_text(encoding="utf-8"))


def saved(page: Path) -> set[str]:
    """Return the names under which a page's blocks save figures."""
    return {
        name for block in fences(page, "python") for name in re.findall(r'savefig\("([^"]+\.png)"\)', block)
    }
