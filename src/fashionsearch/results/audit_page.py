"""The HTML page of an `Audit`: a section a list, a card a finding."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from fashionsearch.results.findings import Contradiction, Duplicate, Finding, Leak, Mislabel
from fashionsearch.results.page import write_page
from fashionsearch.results.tables import html_table

if TYPE_CHECKING:
    from fashionsearch.results.audit import Audit

_SECTIONS = {
    "mislabels": (
        "Labels in doubt",
        "The most improbable ones first, by photos of other products and by other photos of the same product. The crossed "
        "out label is the table's, and what follows is more probable.",
    ),
    "duplicates": ("Photos that another product has too", "The earlier row is on the left."),
    "leaks": (
        "Photos in two parts of the split",
        "What is on the right is tested on, and what is on the left was learned from.",
    ),
    "broken": ("Photos that look broken or empty", ""),
    "contradictions": ("Labels that contradict each other", ""),
}

Thumbnail = Callable[[int], str]


def write_audit(path: str | os.PathLike[str], audit: Audit, most: int, thumbnail: Thumbnail | None) -> None:
    """Write the page; of each list it shows the first `most`."""
    summary = audit.summary()
    overview = (
        f"<p>{len(audit.sources):,} photos, by {html.escape(', '.join(audit.labels))}.</p>"
        f'<div class="table">{html_table(("list", "what is in it"), list(summary.items()))}</div>'
    )
    if audit.accuracies:
        rows = [
            (each.attribute, each.part, each.accuracy, each.without_leaks, each.n, each.leaked)
            for each in audit.accuracies
        ]
        head = ("attribute", "part", "accuracy", "without leaks", "photos", "leaked")
        overview += f'<div class="table">{html_table(head, rows)}</div>'
    sections = [("Overview", overview)]
    for name, (heading, words) in _SECTIONS.items():
        listed = getattr(audit, name)
        shown = f"The first {most:,} of {len(listed):,}. " if len(listed) > most else ""
        intro = f"<p>{html.escape(f'{shown}{words}' if listed else 'None.')}</p>"
        cards = "".join(_card(found, thumbnail) for found in listed[:most])
        sections.append((heading, intro + (f'<ul class="cards">{cards}</ul>' if cards else "")))
    write_page(path, title="Audit of a catalogue", sections=sections)


def _card(found: Finding, thumbnail: Thumbnail | None) -> str:
    rows = [found.of, found.row] if isinstance(found, Duplicate | Leak) else [found.row]
    pictures = "".join(
        f'<img alt="row {row}" src="{html.escape(thumbnail(row))}">' for row in rows if thumbnail is not None
    )
    photos = f'<div class="photos">{pictures}</div>' if pictures else ""
    title, words = _words(found)
    names = "<br>".join(html.escape(_place(row, source)) for row, source in _places(found))
    note = f"{html.escape(words)}<br>" if words else ""
    return f"<li>{photos}<b>{title}</b>{note}<small>{names}</small></li>"


def _words(found: Finding) -> tuple[str, str]:
    """Return the title of a card as HTML, and the words below it as text."""
    if isinstance(found, Mislabel):
        changed = f"<s>{html.escape(found.given)}</s> {html.escape(found.suggested)}"
        return changed, f"{found.attribute}, {_percent(found.score)} in doubt"
    if isinstance(found, Contradiction):
        after = f" {html.escape(found.suggested)}" if found.suggested else ""
        return f"<s>{html.escape(found.given)}</s>{after}", f"{found.attribute}: {found.reason}"
    if isinstance(found, Duplicate):
        return ("Exact copy" if found.exact else "Nearly the same"), (
            "" if found.exact else f"cosine {found.score:.3f}"
        )
    if isinstance(found, Leak):
        return html.escape(found.reason.capitalize()), f"{found.of_part} and {found.part}"
    return html.escape(found.reason), ""


def _places(found: Finding) -> list[tuple[int, str | None]]:
    values = asdict(found)
    own = (values["row"], values["source"])
    return [(values["of"], values["of_source"]), own] if "of" in values else [own]


def _place(row: int, source: str | None) -> str:
    return f"row {row}" if source is None else f"row {row}: {os.path.basename(source)}"  # noqa: PTH119


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.999 else "over 99.9 %"
