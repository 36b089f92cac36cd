"""`Table`: photos and what is known about each, row by row."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.datasets.overview import Overview, summarise
from fashionsearch.images.decoding import Image
from fashionsearch.results import html_table
from fashionsearch.values import Value, columns_of, plain_values, read_texts


@dataclass(frozen=True)
class LoadReport:
    """What a loader mended and what it left out, in its own words.

    Attributes:
        repaired: one line for each row that was mended, with its line number in the file.
        left_out: one line for each row that is not in the table, and why.
    """

    repaired: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.repaired)} rows repaired, {len(self.left_out)} left out"]
        for title, notes in (("repaired", self.repaired), ("left out", self.left_out)):
            lines += [f"  {title}: {note}" for note in notes[:10]]
            if len(notes) > 10:
                lines.append(f"  {title}: … and {len(notes) - 10} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [("repaired", note) for note in self.repaired[:10]] + [
            ("left out", note) for note in self.left_out[:10]
        ]
        return html_table(("", "row"), rows, str(self).splitlines()[0])


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Photos with their labels: one row a product.

    Attributes:
        images: sequence of n images, each a path or an (H, W, 3) uint8 array; a data frame's column of paths will do.
        data: column name -> n values: text, numbers, booleans, dates or None; a data frame will do. Kept as text, in
            which `""` is unknown; `metadata` has the values.
        name: what to call this table in reports.
        report: what the loader repaired or left out.

    Raises:
        DataError: if a column's length isn't the number of images.

    Examples:
        >>> import fashionsearch as fs
        >>> table = fs.datasets.make_catalogue(40, seed=0)
        >>> len(table), table["masterCategory"].shape, len(table[:10])
        (40, (40,), 10)
    """

    images: Sequence[Image]
    data: Mapping[str, NDArray[np.str_]]
    name: str = "table"
    report: LoadReport = field(default_factory=LoadReport)
    _values: Mapping[str, NDArray[np.object_]] | None = None

    def __post_init__(self) -> None:
        if self._values is not None:
            return  # rows of another table, whose columns keep their kinds
        if hasattr(self.images, "to_numpy"):  # a data frame's column, which pandas indexes by labels
            object.__setattr__(self, "images", list(self.images))
        given = columns_of(self.data)
        if given is None:
            raise errors.DataError(
                f"data is a {type(self.data).__name__}; give a mapping of columns or a data frame"
            )
        text: dict[str, NDArray[np.str_]] = {}
        plain: dict[str, NDArray[np.object_]] = {}
        for column, values in given.items():
            if np.shape(values) != (len(self.images),):
                raise errors.DataError(
                    f"column {column!r} has shape {np.shape(values)}, and there are {len(self.images)} images; "
                    "give one value for each image"
                )
            text[column], plain[column] = _read_column(column, values)
        object.__setattr__(self, "data", text)
        object.__setattr__(self, "_values", plain)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.data)

    @property
    def metadata(self) -> dict[str, list[Value]]:
        """The columns as `VisualIndex.add(metadata=…)` takes them: booleans, numbers, dates as ISO text, and text.

        A column of text is read as booleans, numbers or dates if all its values spell one, as CSV files hold them; `id`
        stays text. What is unknown is None.
        """
        return {column: values.tolist() for column, values in (self._values or {}).items()}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: str | slice | Sequence[int] | NDArray[Any]) -> Any:
        """Return a column by its name as an (n,) array of str, or rows by slice, positions or mask as a table."""
        if isinstance(key, str):
            if key not in self.data:
                raise errors.DataError(
                    f"no column {key!r}; the columns are {', '.join(self.columns)}."
                    + errors.did_you_mean(key, self.columns)
                )
            return self.data[key]
        if isinstance(key, int | np.integer):
            raise errors.DataError(
                f"a table is indexed by column or rows; for one row write table[{key}:{key + 1}]"
            )
        try:
            chosen = key if isinstance(key, slice) else np.asarray(key)
            # An empty list has no dtype of its own, and numpy takes it for floats.
            positions = np.arange(len(self))[chosen if isinstance(chosen, slice) or chosen.size else []]
        except IndexError as error:
            raise errors.DataError(f"rows {key!r} don't fit a table of {len(self)} rows: {error}") from error
        if positions.ndim != 1:
            raise errors.DataError(f"rows {key!r} are not one slice, mask or list of positions")
        return Table(
            images=[self.images[position] for position in positions],
            data={column: values[positions] for column, values in self.data.items()},
            name=self.name,
            report=self.report,
            _values={column: values[positions] for column, values in (self._values or {}).items()},
        )

    def __iter__(self) -> Iterator[Any]:
        raise errors.DataError("a table is not images; pass table.images, or a column such as table['id']")

    def split(
        self,
        *,
        test: float = 0.2,
        validation: float = 0.2,
        seed: int | None = 42,
        stratify: str | None = None,
        group: str | None = None,
    ) -> tuple[Table, Table, Table]:
        """Split into train, validation and test, as scikit-learn's `train_test_split` applied twice does.

        First `test` of all rows goes to the test part, then `validation` of the rest to the validation part,
        both with `random_state=seed`.

        Args:
            test: fraction of all rows, in [0, 1).
            validation: fraction of what is left after the test part, in [0, 1).
            seed: the random state of both splits.
            stratify: a column whose proportions each part keeps.
            group: a column whose equal values stay in one part (several photos of one product).

        Raises:
            DataError: if a fraction or the seed can't be used, a part would be empty, a class is too small to
                stratify (all such are named), or both `stratify` and `group` are given.

        Examples:
            >>> import fashionsearch as fs
            >>> train, validation, test = fs.datasets.make_catalogue(100, seed=0).split(test=0.2, validation=0.25)
            >>> len(train), len(validation), len(test)
            (60, 20, 20)
        """
        if stratify is not None and group is not None:
            raise errors.DataError(
                f"stratify={stratify!r} and group={group!r} can't both hold; choose one of the two"
            )
        if seed is not None and (not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32):
            raise errors.DataError(
                f"seed={seed!r} is neither None nor an integer in [0, 2**32), for example 42"
            )
        from fashionsearch.datasets.splitting import split_once

        everything = np.arange(len(self))
        rest, test_rows = split_once(
            self, everything, fraction=test, name="test", seed=seed, stratify=stratify, group=group
        )
        train_rows, validation_rows = split_once(
            self, rest, fraction=validation, name="validation", seed=seed, stratify=stratify, group=group
        )
        return self[train_rows], self[validation_rows], self[test_rows]

    def overview(self, *, sample: int = 500, seed: int = 0) -> Overview:
        """Summarise the table as the study does: class proportions, image sizes, colours.

        Args:
            sample: how many images to open for sizes and colours; the rows are all counted.
            seed: which images the sample holds.

        Returns:
            An `Overview`, which prints as text, shows in a notebook, and is drawn by `plots.overview`.
        """
        return summarise(self.name, self.images, self.data, sample=sample, seed=seed)

    def __repr__(self) -> str:
        text = f"Table {self.name!r}: {len(self):,} rows, columns {', '.join(self.columns)}"
        if self.report.repaired or self.report.left_out:
            text += (
                f" ({len(self.report.repaired)} repaired, {len(self.report.left_out)} left out: see .report)"
            )
        return text

    def _repr_html_(self) -> str:
        from fashionsearch.images import thumbnail_uri

        head = "".join(f"<th>{html.escape(column)}</th>" for column in ("", *self.columns))
        rows = []
        for position in range(min(5, len(self))):
            cells = "".join(
                f"<td>{html.escape(str(self.data[column][position]))}</td>" for column in self.columns
            )
            picture = f"<td><img alt='row {position}' src='{thumbnail_uri(self.images[position])}'></td>"
            rows.append(f"<tr>{picture}{cells}</tr>")
        caption = html.escape(repr(self))
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _read_column(name: str, given: Any) -> tuple[NDArray[np.str_], NDArray[np.object_]]:
    """Return a column as text and as values."""
    try:
        values = plain_values(given, name)
    except errors.InputError as error:
        raise errors.DataError(str(error)) from error
    kinds = {type(value) for value in values if value is not None}
    if kinds == {float} and None in values and all(value is None or value == int(value) for value in values):
        values = [
            None if value is None else int(value) for value in values
        ]  # how pandas holds whole numbers with gaps
    text = np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
    if kinds <= {str}:
        values = [value or None for value in text.tolist()] if name == "id" else read_texts(text.tolist())
    plain = np.empty(len(values), dtype=object)
    plain[:] = values
    return text, plain
