"""What is wrong with a catalogue, most probable first; to look at, and to act on."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results.audit_page import write_audit
from fashionsearch.results.findings import (
    Broken,
    Contradiction,
    Duplicate,
    Finding,
    Leak,
    LeakFree,
    Mislabel,
)
from fashionsearch.results.frames import data_frame
from fashionsearch.results.tables import html_table, write_csv
from fashionsearch.results.tags import IMAGE, TAGGED_AS

_SHOWN = 10
_HEADER = ("fault", "fault_score", "fault_attribute", "fault_suggested", "fault_of", "fault_reason")
COLUMNS = {  # of the data frame, each with its dtype; None is whatever its values are
    "fault": None,
    "row": "int64",
    "source": None,
    "score": "float64",
    "attribute": None,
    "given": None,
    "suggested": None,
    "of": "Int64",
    "of_source": None,
    "exact": "boolean",
    "part": None,
    "of_part": None,
    "reason": None,
}
TAKEN = (IMAGE, "row", TAGGED_AS, *_HEADER)  # by columns beside those of the attributes
KINDS = {
    "mislabels": "mislabel",
    "duplicates": "duplicate",
    "leaks": "leak",
    "broken": "broken",
    "contradictions": "contradiction",
}


@dataclass(frozen=True, repr=False, eq=False)
class Audit:
    """What is wrong with a catalogue: five lists, each with the most probable fault first.

    Attributes:
        mislabels: labels that are probably wrong, each a `Mislabel`.
        duplicates: photos that another product has too, each a `Duplicate`.
        leaks: photos in one part of a split whose copy or product is in an earlier part, each a `Leak`.
        broken: photos that can't be read, or look broken or empty, each a `Broken`.
        contradictions: labels that don't go with others, each a `Contradiction`.
        accuracies: for each attribute and later part of a split, the accuracy with and without leaks, each a `LeakFree`.
        labels: attribute -> (n,) str, as the table has them.
        sources: (n,) object, the path of each photo, or None where it has none.

    Examples:
        >>> found = Audit(
        ...     mislabels=(Mislabel(1, "b.jpg", "kind", "Shirt", "Dress", 0.98),),
        ...     labels={"kind": np.array(["Shirt", "Shirt"])},
        ...     sources=np.array(["a.jpg", "b.jpg"], object),
        ... )
        >>> len(found), found.to_rows()[0]["suggested"]
        (1, 'Dress')
    """

    mislabels: tuple[Mislabel, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    leaks: tuple[Leak, ...] = ()
    broken: tuple[Broken, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    accuracies: tuple[LeakFree, ...] = ()
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    sources: NDArray[np.object_] = field(default_factory=lambda: np.zeros(0, object))
    _thumbnail: Callable[[int], str] | None = None

    def __len__(self) -> int:
        return sum(1 for _ in self.findings())

    def findings(self) -> Iterator[Finding]:
        """Yield what was found, list after list."""
        for name in KINDS:
            yield from getattr(self, name)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary a finding, of plain Python values: for `json.dumps` or a data frame.

        Returns:
            Rows with "fault" ("mislabel", "duplicate", "leak", "broken" or "contradiction") and the finding's own
            attributes.
        """
        return [
            {"fault": kind, **asdict(found)} for name, kind in KINDS.items() for found in getattr(self, name)
        ]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a row a finding to a CSV file, atomically; labels that a person corrects in it are read back.

        After the columns of the finding come those of the attributes, as the photo is labelled. Change a label there, and
        `datasets.load_corrections` knows it as a correction, by the last column, "tagged_as". Photos in the file's folder
        are named relative to it, so that both can be moved.

        Raises:
            StorageError: if the file can't be written.
        """
        write_csv(path, [IMAGE, "row", *_HEADER, *self.labels, TAGGED_AS], self._csv_rows(Path(path).parent))

    def _csv_rows(self, folder: Path) -> Iterator[dict[str, object]]:
        from fashionsearch.files import portable

        def name(row: int) -> str | int:
            source = self.sources[row]
            return row if source is None else portable(str(source), folder)

        for row in self.to_rows():
            said = {name: str(values[row["row"]]) for name, values in self.labels.items()}
            yield {
                IMAGE: name(row["row"]),
                "row": row["row"],
                "fault": row["fault"],
                "fault_score": round(row["score"], 4),
                "fault_attribute": row.get("attribute", ""),
                "fault_suggested": row.get("suggested", ""),
                "fault_of": name(row["of"]) if "of" in row else "",
                "fault_reason": row.get("reason", "exact copy" if row.get("exact") else ""),
                **said,
                TAGGED_AS: json.dumps(said, ensure_ascii=False),
            }

    def report(self, path: str | os.PathLike[str], *, most: int = 60) -> None:
        """Write one HTML page with pictures that needs nothing else.

        Args:
            path: the file to write.
            most: how many findings of each list it shows, from 1 up.

        Raises:
            InputError: if `most` is below 1.
            StorageError: if the file can't be written.
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise errors.InputError(f"most={most!r} is not a whole number from 1 up, such as 60")
        write_audit(path, self, most, self._thumbnail)

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas DataFrame; what a finding has no attribute for is missing in its row.

        Raises:
            MissingPackageError: if pandas isn't installed.
        """
        return data_frame(self.to_rows(), COLUMNS)

    def summary(self) -> dict[str, str]:
        """Return a sentence for each of the five lists."""
        exact = sum(1 for each in self.duplicates if each.exact)
        first = self.mislabels[0] if self.mislabels else None
        return {
            "mislabels": f"{_counted(len(self.mislabels), 'label')} in doubt"
            + (
                f", most of all {first.attribute} {first.given!r} of row {first.row}, more like {first.suggested!r}"
                if first
                else ""
            ),
            "duplicates": f"{_counted(len(self.duplicates), 'photo')} that another product has too: "
            f"{exact:,} exact, {len(self.duplicates) - exact:,} nearly the same",
            "leaks": f"{_counted(len(self.leaks), 'photo')} whose copy or product is in an earlier part of the split",
            "broken": f"{_counted(len(self.broken), 'photo')} unreadable, empty or unlike all others",
            "contradictions": f"{_counted(len(self.contradictions), 'label')} that contradict others",
        }

    def __repr__(self) -> str:
        lines = [f"Audit of {_counted(len(self.sources), 'photo')}, by {', '.join(self.labels)}:"]
        lines += [f"  {name}: {words}" for name, words in self.summary().items()]
        lines += [
            f"  {each.attribute} of {each.part}: accuracy {each.accuracy:.3f}, without its leaks {each.without_leaks:.3f}"
            for each in self.accuracies
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = []
        for name, words in self.summary().items():
            listed = getattr(self, name)[:_SHOWN]
            rows = [tuple(asdict(each).values()) for each in listed]
            head = tuple(asdict(listed[0])) if listed else ()
            parts.append(
                html_table(head, rows, f"{name}: {words}") if rows else f"<p>{html.escape(words)}</p>"
            )
        return "".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
