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
from fashionsearch.cli.answer import Answer
from fashionsearch.cli.console import shown
from fashionsearch.cli.inputs import check_saved, read_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fashionsearch.results import Tags
    from fashionsearch.tagging.tagger import Tagger

_NAMED = 3
_DRAWN = 200  # photos in the report: a page that a browser opens at once


def tag(options: argparse.Namespace) -> Answer:
    """Tag the photos that the table lacks, and write it; without a table, tag all and print them."""
    from fashionsearch.pretrained import ships

    if options.tagger is not None and not ships(options.tagger):
        check_saved(options.tagger, "tagger")
    if options.again and options.out is None:
        raise errors.InputError("--again writes a table anew, and there is none; give --out")
    out: Path | None = None if options.out is None else options.out.expanduser()
    images = _photos(options, out)
    kept = [] if options.again or out is None else _kept(out)
    fresh = images
    if out is not None:
        tagged = {row["image"] for row in kept}
        fresh = [image for image in images if _name(image, out) not in tagged]
        if not fresh:
            told = f"{out} has the tags of all {len(images):,} photos already; --again writes it anew"
            return Answer(told, _found(None, len(kept)), [], ())
    tags = _tagger(options.tagger).tag(fresh, confidence=options.confidence)
    report = [] if options.report is None else [f"report: {_write_report(options.report, tags)}"]
    if out is None:
        lines = [f"{image}\n  {tags_in_words(tags, position)}" for position, image in enumerate(fresh)]
        return Answer("\n".join([*lines, *report]), _found(tags, 0), tags.to_rows())
    _check_columns(kept, tags, out)

    from fashionsearch.results.tables import write_csv

    write_csv(out, tags.columns, [*kept, *tags.csv_rows(out.parent)])
    return Answer(
        "\n".join([*report, *_summary(tags, out, len(kept))]), _found(tags, len(kept)), tags.to_rows()
    )


def tags_in_words(tags: Tags, position: int) -> str:
    """Return a photo's tags in a line; those that are not sure have a question mark."""
    known = [
        f"{tags.value[name][position]}{'' if tags.sure[name][position] else '?'}"
        for name in tags.attributes
        if tags.value[name][position] is not None
    ]
    return ", ".join(known) + (" (unlike anything the tagger knows)" if tags.unfamiliar[position] else "")


def _photos(options: argparse.Namespace, out: Path | None) -> list[str]:
    """Return the paths of the photos: one that is named, or those of a folder or table."""
    data: Path = options.data.expanduser()
    if data.is_file() and data.suffix.lower() != ".csv":
        return [str(data)]
    with warnings.catch_warnings():
        if out is not None:  # the table itself may lie among the photos, and is none
            warnings.filterwarnings(
                "ignore", rf".*: 1 left out, first ['\"]{re.escape(out.name)}: ", errors.DataWarning
            )
        return [*map(str, read_table(options, labelled=False).images)]


def _found(tags: Tags | None, before: int) -> dict[str, Any]:
    return {
        "tagged": 0 if tags is None else len(tags),
        "before": before,
        "review": 0 if tags is None else len(tags.for_review),
        "unfamiliar": 0 if tags is None else int(tags.unfamiliar.sum()),
        "photos": [] if tags is None else tags.to_rows(),
    }


def _tagger(folder: Path | None) -> Tagger:
    if folder is not None:
        from fashionsearch.tagging.named import named_tagger

        return named_tagger(folder)
    from fashionsearch.tagging.tagger import Tagger

    return Tagger.from_pretrained("fashion")


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


def _summary(tags: Tags, out: Path, before: int) -> list[str]:
    n = len(tags)
    review, strange = len(tags.for_review), int(tags.unfamiliar.sum())
    return [
        f"{n:,} photo{'' if n == 1 else 's'} tagged{f', {before:,} tagged before' if before else ''}",
        *_aligned(_by_attribute(tags)),
        f"for a person to look at: {review:,}, of these unlike anything it knows: {strange:,}",
        f"written to {out}",
    ]


def _aligned(rows: list[tuple[str, str, str]]) -> list[str]:
    names, counts = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"  {name:{names}}  {sure:>{counts}} sure; most often {often}" for name, sure, often in rows]


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


def _write_report(path: Path, tags: Tags) -> Path:
    """Write a page of photos with their tags, those for a person first; return where it is."""
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
    return write_report(path, title="Tags", sections=sections)
