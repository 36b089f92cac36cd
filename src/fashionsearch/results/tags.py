"""What a tagger says of photos, and how sure it is."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results.tables import html_table, write_csv
from fashionsearch.values import plain_value

_SHOWN = 20  # photos in a notebook's view
IMAGE, UNFAMILIAR, REVIEW, TAGGED_AS = "image", "unfamiliar", "review", "tagged_as"
TAKEN = (IMAGE, UNFAMILIAR, REVIEW, TAGGED_AS)  # by columns beside those of the attributes


@dataclass(frozen=True, repr=False, eq=False)
class Tags:
    """A value for each attribute of n photos, with the calibrated chance that it is right.

    Attributes:
        value: attribute -> (n,) object, the most probable classes that go together; None where nothing is known below the
            coarser class.
        confidence: attribute -> (n,) float64 in [0, 1], the calibrated probability of the value.
        sure: attribute -> (n,) bool, whether the confidence is at least what was asked for, likewise that of the coarser
            attributes above it, and the photo isn't unfamiliar.
        unfamiliar: (n,) bool, photos unlike anything that was learned from.
        sources: (n,) object, the path of each photo, or None where it had none.
        threshold: the confidence that was asked for.
        levels: the attributes of a taxonomy, coarsest first; those outside it are left out.

    Examples:
        >>> tags = Tags(
        ...     value={"colour": np.array(["Red", "Blue"], object)},
        ...     confidence={"colour": np.array([0.99, 0.6])},
        ...     sure={"colour": np.array([True, False])},
        ...     unfamiliar=np.array([False, False]),
        ...     sources=np.array(["a.jpg", "b.jpg"], object),
        ...     threshold=0.95,
        ... )
        >>> tags.for_review.tolist(), tags.to_rows()[0]["colour"]
        ([1], 'Red')
    """

    value: Mapping[str, NDArray[np.object_]]
    confidence: Mapping[str, NDArray[np.float64]]
    sure: Mapping[str, NDArray[np.bool_]]
    unfamiliar: NDArray[np.bool_]
    sources: NDArray[np.object_]
    threshold: float
    levels: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.unfamiliar)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of the attributes."""
        return tuple(self.value)

    @property
    def for_review(self) -> NDArray[np.intp]:
        """(m,) the positions of photos that a person should look at: unfamiliar, or not sure in some attribute."""
        unsure = [~each for each in self.sure.values()]
        return np.flatnonzero(self.unfamiliar | np.any(unsure, axis=0))

    def deepest(self, position: int) -> str | None:
        """Return the finest attribute of the taxonomy that is sure for a photo, or None where not even the coarsest is."""
        found = None
        for name in self.levels:
            if self.sure[name][position]:
                found = name
        return found

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary a photo, of plain Python values: for `json.dumps`, a CSV file or a data frame.

        Returns:
            Rows with "image" (path, or position where there is none); each attribute, its "… confidence" and whether it is
            "… sure"; "unfamiliar"; and "review", whether a person should look.
        """
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        review = set(self.for_review.tolist())
        for position, source in enumerate(self.sources.tolist()):
            row: dict[str, Any] = {IMAGE: position if source is None else source}
            for name in self.attributes:
                row[name] = plain_value(self.value[name][position], name)
                row[f"{name} confidence"] = round(float(self.confidence[name][position]), 4)
                row[f"{name} sure"] = bool(self.sure[name][position])
            row[UNFAMILIAR] = bool(self.unfamiliar[position])
            row[REVIEW] = position in review
            yield row

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `to_rows` to a CSV file, atomically; a person's corrections are read back by `datasets.load_corrections`.

        The last column, "tagged_as", says what the tags were, so that a changed cell is known as a correction.

        Raises:
            StorageError: if the file can't be written.
        """
        header: list[str] = [IMAGE]
        for name in self.attributes:
            header += [name, f"{name} confidence", f"{name} sure"]

        def rows() -> Iterator[dict[str, Any]]:
            for row in self._rows():
                said = {name: "" if row[name] is None else str(row[name]) for name in self.attributes}
                yield {**row, **said, TAGGED_AS: json.dumps(said, ensure_ascii=False)}

        write_csv(path, [*header, UNFAMILIAR, REVIEW, TAGGED_AS], rows())

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas DataFrame.

        Raises:
            MissingPackageError: if pandas isn't installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise errors.MissingPackageError(
                "to_pandas needs pandas, which isn't installed: pip install pandas, or use to_rows()"
            ) from error
        return pandas.DataFrame(self.to_rows())

    def __repr__(self) -> str:
        n = len(self)
        lines = [f"Tags of {n} photo{'' if n == 1 else 's'}, sure from {self.threshold:g} on:"]
        for name in self.attributes:
            known = self.sure[name]
            share = f"{np.count_nonzero(known)} sure" if n else "none"
            example = f", the first is {self.value[name][0]} ({self.confidence[name][0]:.2f})" if n else ""
            lines.append(f"  {name}: {share}{example}")
        lines.append(
            f"  for a person: {len(self.for_review)}, unfamiliar: {np.count_nonzero(self.unfamiliar)}"
        )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for row in self.to_rows()[:_SHOWN]:
            cells = [str(row[IMAGE])]
            for name in self.attributes:
                doubt = "" if row[f"{name} sure"] else " ?"
                cells.append(f"{row[name]} {row[f'{name} confidence']:.2f}{doubt}")
            rows.append((*cells, "unfamiliar" if row[UNFAMILIAR] else ""))
        caption = f"{len(self)} photos; ? is below {self.threshold:g}"
        return html_table(("image", *self.attributes, ""), rows, html.escape(caption))
