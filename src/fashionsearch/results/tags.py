"""What a tagger says of photos, and how sure it is."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.results.frames import data_frame
from fashionsearch.results.tables import write_csv
from fashionsearch.values import plain_value

# A name that is wider than its column is broken, and a shorter one is not.
_NAME = "display: block; max-width: 8rem; white-space: normal; overflow-wrap: break-word"
SHOWN = 20  # photos in a notebook's view
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
        parents: attribute -> the coarser attribute above it, in the taxonomy's trees; roots are left out.

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
    parents: Mapping[str, str] = field(default_factory=dict)
    _photos: Sequence[Any] = field(default=(), repr=False)
    _thumbnail: Callable[[Any], str] | None = field(default=None, repr=False)

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

    def deepest(self, position: int, *, attribute: str | None = None) -> str | None:
        """Return the finest level that is sure for a photo: an attribute, or the nearest above it in the taxonomy.

        Args:
            position: of the photo.
            attribute: where to begin; None is the taxonomy's finest, where it has only one.

        Returns:
            The attribute's name, or None where not even the coarsest is sure.

        Raises:
            InputError: if there is no such attribute, or with None the taxonomy has no finest attribute or several.
        """
        name = attribute
        if name is None:
            finest = [each for each in self.parents if each not in self.parents.values()]
            if len(finest) != 1:
                few = f"ends in {', '.join(finest)}" if finest else "has no levels"
                raise errors.InputError(
                    f"the taxonomy {few}; say where to begin, such as attribute={(finest or [*self.value])[0]!r}"
                )
            name = finest[0]
        if name not in self.value:
            raise errors.InputError(
                f"{name!r} is no attribute of these tags; they are {', '.join(self.value)}."
                + errors.did_you_mean(name, self.value)
            )
        while name is not None and not self.sure[name][position]:
            name = self.parents.get(name)
        return name

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one dictionary a photo, of plain Python values: for `json.dumps`, a CSV file or a data frame.

        Returns:
            Rows with "image" (path, or position where there is none); each attribute, its "… confidence" and whether it is
            "… sure"; "unfamiliar"; and "review", whether a person should look.
        """
        return list(self._rows())

    def _rows(self, positions: Iterable[int] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of some photos, or of all."""
        review = set(self.for_review.tolist())
        for position in range(len(self)) if positions is None else positions:
            source = self.sources[position]
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

        The last column, "tagged_as", says what the tags were, so that a changed cell is known as a correction. Photos in the
        CSV file's folder, or below, are named by their paths from there, and the folder can be moved; others by absolute
        paths. Relative `sources` start from the working directory.

        Raises:
            StorageError: if the file can't be written.
        """
        from fashionsearch.files import as_path

        write_csv(path, self.columns, self.csv_rows(as_path(path).parent))

    @property
    def columns(self) -> list[str]:
        """The columns of the CSV file, in order."""
        of_attributes = [
            column for name in self.attributes for column in (name, f"{name} confidence", f"{name} sure")
        ]
        return [IMAGE, *of_attributes, UNFAMILIAR, REVIEW, TAGGED_AS]

    def csv_rows(self, folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a CSV file in a folder, as `to_csv` writes them."""
        from fashionsearch.files import portable

        for row in self._rows():
            said = {name: "" if row[name] is None else str(row[name]) for name in self.attributes}
            image = row[IMAGE] if not isinstance(row[IMAGE], str) else portable(row[IMAGE], folder)
            yield {**row, **said, IMAGE: image, TAGGED_AS: json.dumps(said, ensure_ascii=False)}

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas DataFrame.

        Raises:
            MissingPackageError: if pandas isn't installed.
        """
        dtypes: dict[str, str | None] = {UNFAMILIAR: "bool", REVIEW: "bool"}
        for name in self.attributes:
            dtypes |= {f"{name} confidence": "float64", f"{name} sure": "bool"}
        columns = {name: dtypes.get(name) for name in self.columns if name != TAGGED_AS}
        return data_frame(self.to_rows(), columns)

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
        return self.html(range(min(SHOWN, len(self))))

    def html(self, positions: Sequence[int]) -> str:
        """Return a table of some photos with their tags, as a notebook or a report shows it.

        Args:
            positions: of the photos, in order.
        """
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.attributes)
        rows = []
        for position, row in zip(positions, self._rows(positions), strict=True):
            cells = [self._photo(position, str(row[IMAGE]))]
            for name in self.attributes:
                sure, value = row[f"{name} sure"], row[name]
                mark = "" if sure else "\N{NO-BREAK SPACE}?"
                said = "–" if value is None else f"{value} {_floored(row[f'{name} confidence']):.2f}"
                cell = html.escape(said + mark)
                cells.append(cell if sure else f"<span style='opacity: 0.6'>{cell}</span>")
            cells.append("<b>unfamiliar</b>" if row[UNFAMILIAR] else "")
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        first = f"{len(rows)} of " if len(rows) < len(self) else ""
        caption = (
            f"{first}{len(self)} photo{'' if len(self) == 1 else 's'}, {len(self.for_review)} for a person to look at; "
            f"pale with ? is not sure; sure is {self.threshold:g} and above"
        )
        return (
            f"<table class='tags'><caption>{caption}</caption><thead><tr><th>image</th>{head}<th></th></tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )

    def _photo(self, position: int, name: str) -> str:
        """Return a photo, where it can be shown, above the last part of its name."""
        picture = ""
        photo = self._photos[position] if position < len(self._photos) else self.sources[position]
        if self._thumbnail is not None and photo is not None:
            picture = f"<img alt='' src='{self._thumbnail(photo)}'><br>"
        last = PurePath(name).name or name
        return f"{picture}<small style='{_NAME}' title='{html.escape(name)}'>{html.escape(last)}</small>"


def _floored(confidence: float) -> float:
    """Return a confidence in hundredths, never above what it is: 0.949 isn't the 0.95 that was asked for."""
    return math.floor(round(100 * confidence, 6)) / 100
