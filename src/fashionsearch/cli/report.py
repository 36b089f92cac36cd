"""`write_report`: headings, words, pictures and tables as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fashionsearch import errors, files
from fashionsearch.results import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PNG = b"\x89PNG\r\n\x1a\n"

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
nav ol { columns: 16rem; margin: 0; padding: 1rem 1rem 1rem 2.5rem; background: var(--shade); border-radius: 8px; }
figure { margin: 1.5rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption, caption { color: var(--quiet); font-size: 0.9rem; text-align: left; padding: 0.5rem 0; }
.table { overflow: auto; max-height: 36rem; margin: 1.5rem 0; border: 1px solid var(--line); border-radius: 6px;
  padding: 0 0.75rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; margin-bottom: 0.75rem; }
th, td { padding: 0.35rem 1.25rem 0.35rem 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { position: sticky; top: 0; background: var(--paper); }
@media print { .table { max-height: none; overflow: visible; } }
"""


class ShowsAsHtml(Protocol):
    """Anything a notebook can show: `Evaluation`, `Overview`, `History`, `Matches`, `Table`."""

    def _repr_html_(self) -> str: ...


HtmlTable: TypeAlias = "ShowsAsHtml | tuple[Sequence[str], Sequence[Sequence[object]]]"


@dataclass(frozen=True)
class Picture:
    """A picture in a report.

    Attributes:
        png: the bytes of a PNG file, as `figure_png` returns them.
        caption: what it shows; also read out in its place.

    Raises:
        InputError: if the bytes aren't a PNG file.
    """

    png: bytes
    caption: str

    def __post_init__(self) -> None:
        if not isinstance(self.png, bytes) or not self.png.startswith(_PNG):
            raise errors.InputError(
                f"the picture {self.caption!r} isn't the bytes of a PNG file; make them with figure_png(figure)"
            )


@dataclass(frozen=True)
class Section:
    """A part of a report: words, then pictures, then tables.

    Attributes:
        heading: what the table of contents lists.
        text: plain text; an empty line begins a new paragraph.
        pictures: in order.
        tables: each an object that shows itself in a notebook (`Evaluation`, `Overview`, …) or a (head, rows) pair.
    """

    heading: str
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    tables: tuple[HtmlTable, ...] = ()


def figure_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Draw a matplotlib figure to PNG.

    Args:
        figure: drawn with nothing cut off at its edges.
        dpi: pixels an inch, at least 1.

    Returns:
        The bytes of a PNG file; the same figure gives the same bytes.

    Raises:
        InputError: if `dpi` is below 1.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> figure_png(Figure())[1:4]
        b'PNG'
    """
    if dpi < 1:
        raise errors.InputError(f"dpi is {dpi!r}; give pixels an inch, for example 110")
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=dpi, bbox_inches="tight", transparent=False, metadata={"Software": None}
    )
    return buffer.getvalue()


def write_report(path: str | os.PathLike[str], *, title: str, sections: Sequence[Section]) -> Path:
    """Write one HTML file that holds its pictures and style itself, with a table of contents.

    The file appears complete or not at all; one that was there before is replaced only at the end.

    Args:
        path: the file to write; its folder is made where it is missing.
        title: of the page.
        sections: in order; all their words are escaped.

    Returns:
        The path of the file.

    Raises:
        InputError: if a section isn't a `Section`, or one of its tables is neither form.
        StorageError: if the path is a folder, or its folder can't be written.

    Examples:
        >>> import tempfile
        >>> table = (("class", "photos"), [("Shirts", 12)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_report(f"{folder}/report.html", title="Shop", sections=[Section("Data", tables=(table,))])
        ...     "<td>Shirts</td><td>12</td>" in path.read_text("utf-8")
        True
    """
    for section in sections:
        if not isinstance(section, Section):
            raise errors.InputError(f"a section is a {type(section).__name__}; give Section(heading, …)")
    page = _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        contents="".join(
            f'<li><a href="#section-{number}">{html.escape(section.heading)}</a></li>'
            for number, section in enumerate(sections, 1)
        ),
        sections="\n".join(_section_html(number, section) for number, section in enumerate(sections, 1)),
    )
    target = files.as_path(path)
    if target.is_dir():
        raise errors.StorageError(
            f"{target} is a folder; give the file to write, for example {target / 'report.html'}"
        )
    # A file name that is not UTF-8 is shown with its bytes escaped.
    files.write_atomically(target, lambda file: file.write(page.encode(errors="backslashreplace")))
    return target


def _section_html(number: int, section: Section) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>"]
    parts += [f"<p>{html.escape(words.strip())}</p>" for words in section.text.split("\n\n") if words.strip()]
    for picture in section.pictures:
        caption = html.escape(picture.caption)
        data = base64.b64encode(picture.png).decode()
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    name = html.escape(f"table in {section.heading}")
    for table in section.tables:
        # A region that scrolls must be reachable from the keyboard.
        parts.append(
            f'<div class="table" role="region" tabindex="0" aria-label="{name}">{_table_html(table)}</div>'
        )
    return f'<section id="section-{number}">\n' + "\n".join(parts) + "\n</section>"


def _table_html(table: HtmlTable) -> str:
    if isinstance(table, tuple) and len(table) == 2:
        return html_table(*table)
    if not hasattr(table, "_repr_html_"):
        raise errors.InputError(
            f"a table is a {type(table).__name__}; give a (head, rows) pair, or an object with _repr_html_"
        )
    return table._repr_html_()
