"""`write_page`: headings and HTML as one file that needs nothing else."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path

from fashionsearch import errors, files

# The policy makes the browser refuse scripts and anything from the network, whatever a table's HTML holds.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1>
<nav aria-label="Contents"><ol>{contents}</ol></nav></header>
<main>
{sections}
</main>
</body>
</html>
"""

_STYLE = """
:root { --ink: #1d232b; --quiet: #5b6470; --paper: #fff; --line: #dfe3e8; --shade: #f5f7f9; --link: #0b62a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ed; --quiet: #9ca6b2; --paper: #14181d; --line: #2f3742; --shade: #1c2229; --link: #7ab8f0; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 64rem; padding: 2.5rem 1.25rem 5rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1.25rem; letter-spacing: -0.01em; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3rem 0 0.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: 0 0 1rem; white-space: pre-line; }
a { color: var(--link); }
nav ol { columns: 18rem; column-gap: 2.5rem; margin: 0; padding: 1rem 1rem 1rem 2.5rem; background: var(--shade);
  border-radius: 8px; }
figure { margin: 1.5rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption, caption { color: var(--quiet); font-size: 0.9rem; text-align: left; padding: 0.5rem 0; }
.table { overflow: auto; max-height: 36rem; margin: 1.5rem 0; border: 1px solid var(--line); border-radius: 6px;
  padding: 0 0.75rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; margin-bottom: 0.75rem; }
th, td { padding: 0.35rem 1.25rem 0.35rem 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { position: sticky; top: 0; background: var(--paper); }
.table:has(.tags) { max-height: none; }
.tags :is(th, td) { padding-right: 0.9rem; white-space: normal; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 0.75rem; margin: 1.25rem 0;
  padding: 0; list-style: none; }
.cards li { border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem; font-size: 0.85rem; line-height: 1.4; }
.cards .photos { display: flex; justify-content: center; gap: 0.5rem; height: 9rem; margin-bottom: 0.6rem; background: #fff;
  border-radius: 6px; }
.cards img { max-width: 48%; height: 100%; object-fit: contain; }
.cards b { display: block; font-size: 0.95rem; }
.cards s { color: var(--quiet); font-weight: 400; }
.cards small { color: var(--quiet); }
@media print { .table { max-height: none; overflow: visible; } }
"""


def write_page(path: str | os.PathLike[str], *, title: str, sections: Sequence[tuple[str, str]]) -> Path:
    """Write one HTML file with its style and a table of contents; it appears complete or not at all.

    Args:
        path: the file to write; its folder is made where it is missing.
        title: of the page.
        sections: headings, which are escaped, and the HTML below each, which is taken as it is.

    Returns:
        The path of the file.

    Raises:
        StorageError: if the path is a folder, or its folder can't be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_page(f"{folder}/a.html", title="Shop", sections=[("Data", "<p>12 shirts</p>")])
        ...     "<p>12 shirts</p>" in path.read_text("utf-8")
        True
    """
    page = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        contents="".join(
            f'<li><a href="#section-{number}">{html.escape(heading)}</a></li>'
            for number, (heading, _) in enumerate(sections, 1)
        ),
        sections="\n".join(
            f'<section id="section-{number}">\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>'
            for number, (heading, body) in enumerate(sections, 1)
        ),
    )
    target = files.as_path(path)
    if target.is_dir():
        raise errors.StorageError(
            f"{target} is a folder; give the file to write, for example {target / 'report.html'}"
        )
    # A file name that is not UTF-8 is shown with its bytes escaped.
    files.write_atomically(target, lambda file: file.write(page.encode(errors="backslashreplace")))
    return target
