"""What was measured while fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fashionsearch import errors
from fashionsearch.results.tables import html_table, text_table


@dataclass(frozen=True, repr=False)
class History:
    """What was tried or measured while fitting, row by row.

    Attributes:
        rows: one mapping a step, all with the same keys.

    Examples:
        >>> History(({"C": 1.0, "validation_accuracy": 0.5},))["C"]
        [1.0]
    """

    rows: tuple[Mapping[str, float], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0]) if self.rows else ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        """Return one column as a list.

        Raises:
            InputError: if there is no such column.
        """
        if column not in self.columns:
            raise errors.InputError(f"no column {column!r}; the columns are {', '.join(self.columns)}")
        return [row[column] for row in self.rows]

    def __repr__(self) -> str:
        return (
            text_table(self.columns, [list(row.values()) for row in self.rows])
            if self.rows
            else "History: empty"
        )

    def _repr_html_(self) -> str:
        return html_table(self.columns, [list(row.values()) for row in self.rows])
