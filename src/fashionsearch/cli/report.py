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

from fashionsearch import errors
from fashionsearch.results import html_table
from fashionsearch.results.page import write_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PNG = b"\x89PNG\r\n\x1a\n"


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
    return write_page(
        path,
        title=title,
        sections=[(section.heading, _section_html(section)) for section in sections],
    )


def _section_html(section: Section) -> str:
    parts = [f"<p>{html.escape(words.strip())}</p>" for words in section.text.split("\n\n") if words.strip()]
    for picture in section.pictures:
        caption = html.escape(picture.caption)
        data = base64.b64encode(picture.png).decode()
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    name = html.escape(f"table in {section.heading}")
    # A region that scrolls must be reachable from the keyboard.
    parts += [
        f'<div class="table" role="region" tabindex="0" aria-label="{name}">{_table_html(table)}</div>'
        for table in section.tables
    ]
    return "\n".join(parts)


def _table_html(table: HtmlTable) -> str:
    if isinstance(table, tuple) and len(table) == 2:
        return html_table(*table)
    if not hasattr(table, "_repr_html_"):
        raise errors.InputError(
            f"a table is a {type(table).__name__}; give a (head, rows) pair, or an object with _repr_html_"
        )
    return table._repr_html_()
