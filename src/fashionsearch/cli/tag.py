"""`fashionsearch tag`: photos in, a table of tags out; photos that the table has already stay as they are in it."""

from __future__ import annotations

import argparse
import csv
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.console import shown
from fashionsearch.cli.inputs import check_saved, read_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fashionsearch.results import Tags
    from fashionsearch.tagging.tagger import Tagger

_NAMED = 3
_DRAWN = 200  # photos in the report: a page that a browser opens at once


def tag(options: argparse.Namespace) -> int:
    """Tag the photos that the table lacks, and write it."""
    if options.tagger is not None:
        check_saved(options.tagger, "tagger")
    out: Path = options.out.expanduser()
    with warnings.catch_warnings():
        # The table itself may lie among the photos, and is none.
        warnings.filterwarnings(
            "ignore", rf".*: 1 left out, first ['\"]{re.escape(out.name)}: ", errors.DataWarning
        )
        images = read_table(options, labelled=False).images
    kept = [] if options.again else _kept(out)
    tagged = {row["image"] for row in kept}
    fresh = [image for image in map(str, images) if _name(image, out) not in tagged]
    if not fresh:
        print(f"{out} has the tags of all {len(images):,} photos already; --again writes it anew")
        return 0
    tags = _tagger(options.tagger).tag(fresh, confidence=options.confidence)
    _check_columns(kept, tags, out)

    from fashionsearch.results.tables import write_csv

    write_csv(out, tags.columns, [*kept, *tags.csv_rows(out.parent)])
    if options.report is not None:
        _write_report(options.report, tags)
    _say(tags, out, len(kept))
    return 0


def _tagger(folder: Path | None) -> Tagger:
    from fashionsearch.tagging.tagger import Tagger

    return Tagger.from_pretrained("fashion") if folder is None else Tagger.load(folder)


def _name(image: str, out: Path) -> str:
    from fashionsearch.files import portable

    return portable(image, out.parent)


def _kept(out: Path) -> list[dict[str, Any]]:
    """Return the rows that the table has, as a person may have edited them."""
    if not out.exists():
        return []
    try:
        with out.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.DataError(
            f"{out} is there and can't be read as a table of tags: {error}; give another --out, or --again to write it anew"
        ) from error
    if not rows or any("image" not in row or None in row or None in row.values() for row in rows):
        raise errors.DataError(
            f"{out} is there and is no table of tags; give another --out, or --again to write it anew"
        )
    return rows


def _check_columns(kept: list[dict[str, Any]], tags: Tags, out: Path) -> None:
    if kept and list(kept[0]) != tags.columns:
        missing = [name for name in tags.columns if name not in kept[0]]
        raise errors.DataError(
            f"{out} has the columns of another tagger"
            + (f", and lacks {missing[0]!r}" if missing else "")
            + "; give another --out, or --again to write it anew"
        )


def _say(tags: Tags, out: Path, before: int) -> None:
    n = len(tags)
    print(f"{n:,} photo{'' if n == 1 else 's'} tagged{f', {before:,} tagged before' if before else ''}")
    for name, sure, often in _by_attribute(tags):
        print(f"  {name}: {sure} sure; most often {often}")
    review, strange = len(tags.for_review), int(tags.unfamiliar.sum())
    print(f"for a person to look at: {review:,}, of these unlike anything it knows: {strange:,}")
    print(f"written to {out}")


def _by_attribute(tags: Tags) -> list[tuple[str, str, str]]:
    """Return of each attribute how many tags are sure, and the most frequent."""
    found = []
    for name in tags.attributes:
        often = Counter(value for value in tags.value[name].tolist() if value is not None).most_common(_NAMED)
        values = ", ".join(f"{shown(value)} {count:,}" for value, count in often)
        found.append((name, f"{int(tags.sure[name].sum()):,}", values))
    return found


@dataclass(frozen=True)
class _Shown:
    """Some of the photos, for a report."""

    tags: Tags
    positions: NDArray[np.intp]

    def _repr_html_(self) -> str:
        return self.tags.html(self.positions.tolist())


def _write_report(path: Path, tags: Tags) -> None:
    """Write a page of photos with their tags, those for a person first."""
    import numpy as np

    from fashionsearch.cli.report import Section, write_report

    review = tags.for_review
    rest = np.setdiff1d(np.arange(len(tags)), review)
    sections = [
        Section(
            "In short",
            f"{len(review):,} of {len(tags):,} photos are for a person to look at: a tag is not sure, or the photo is unlike "
            f"anything that was learned from ({int(tags.unfamiliar.sum()):,}). A tag is sure where its chance to be right is "
            f"at least {100 * tags.threshold:g} %; others are pale and have a question mark.",
            tables=((("attribute", "sure", "most often"), _by_attribute(tags)),),
        )
    ]
    for heading, positions in (("For a person", review), ("Sure", rest)):
        if len(positions):
            more = "" if len(positions) <= _DRAWN else f" The first {_DRAWN} are shown; the table has all."
            sections.append(
                Section(
                    heading, f"{len(positions):,} photos.{more}", tables=(_Shown(tags, positions[:_DRAWN]),)
                )
            )
    print(f"report: {write_report(path, title='Tags', sections=sections)}")
