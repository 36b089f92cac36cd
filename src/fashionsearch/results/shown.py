"""How a value of named fields shows in a notebook: as a table of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

_LONGEST = 200  # letters of a value


class ShowsFields:
    """What is a table of its fields in a notebook, escaped: those of a dataclass, or those that `_view` names."""

    _view: ClassVar[tuple[str, ...]] = ()

    def _repr_html_(self) -> str:
        names = self._view
        if dataclasses.is_dataclass(self):
            names = tuple(field.name for field in dataclasses.fields(self) if field.repr)
        return fields_table(type(self).__name__, [(name, getattr(self, name)) for name in names])


def fields_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return an HTML table of names and values, each value in short.

    Examples:
        >>> import numpy as np
        >>> "<td>(2, 3) float32</td>" in fields_table("Head", [("weight", np.zeros((2, 3), np.float32))])
        True
    """
    from fashionsearch.results.tables import (
        html_table,
    )  # with NumPy: options that are shown nowhere need neither

    return html_table(("", "value"), [(name, _short(value)) for name, value in rows], title)


def _short(value: object) -> object:
    import numpy as np

    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, float | np.floating):
        return float(value)
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
