"""The fields of a saved JSON file, each checked when it is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fashionsearch import errors


def write_json(content: Any) -> Callable[[Path], None]:
    """Return a writer of a JSON file.

    Raises:
        TypeError: if it holds what JSON can't.
    """
    text = json.dumps(content, ensure_ascii=True, indent=1, default=_plain)

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


def _plain(value: object) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} can't be saved")


class Fields(dict[str, Any]):
    """An object of a saved JSON file, and likewise each object in it.

    A field that is missing, or isn't what it must be, raises CorruptFileError with its name and the file's.

    Examples:
        >>> fields = Fields.parse(Path("index.json"), b'{"dim": 64, "graph": {"m": 16}}')
        >>> fields.whole("dim", least=1), fields.fields("graph")["m"]
        (64, 16)
        >>> fields.whole("dim", most=32)
        Traceback (most recent call last):
        ...
        fashionsearch.errors.CorruptFileError: index.json: 'dim' is 64, and a whole number from 0 to 32 is needed; ...
    """

    path = Path()

    @classmethod
    def parse(cls, path: Path, content: bytes) -> Fields:
        """Return the fields of a JSON file's content.

        Raises:
            CorruptFileError: if it isn't a JSON object.
        """

        def made(values: dict[str, Any]) -> Fields:
            fields = cls(values)
            fields.path = path
            return fields

        try:
            parsed = json.loads(content.decode("utf-8"), object_hook=made)
        except (ValueError, RecursionError) as error:
            raise errors.CorruptFileError(f"{path} is damaged: {error!r}; restore it from a copy") from error
        if not isinstance(parsed, cls):
            raise errors.CorruptFileError(
                f"{path} is damaged: it holds a {type(parsed).__name__} and not an object; restore it from a copy"
            )
        return parsed

    def __missing__(self, name: str) -> NoReturn:
        raise errors.CorruptFileError(
            f"{self.path} is damaged: it lacks the field {name!r}; restore it from a copy"
        )

    def whole(self, name: str, *, least: int = 0, most: int | None = None) -> int:
        """Return a field that must be a whole number in a range."""
        value = self[name]
        if type(value) is not int or value < least or (most is not None and value > most):
            limit = f"of at least {least}" if most is None else f"from {least} to {most}"
            self.refuse(name, f"a whole number {limit}")
        return int(value)

    def number(self, name: str, *, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a field that must be a finite number in a range."""
        value = self[name]
        if type(value) not in (int, float) or not least <= value <= most or not abs(value) < math.inf:
            self.refuse(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def text(self, name: str, *, among: Sequence[str] | None = None) -> str:
        """Return a field that must be text, one of some words if they are given."""
        value = self[name]
        if not isinstance(value, str) or (among is not None and value not in among):
            self.refuse(name, "text" if among is None else f"one of {', '.join(among)}")
        return str(value)

    def flag(self, name: str) -> bool:
        """Return a field that must be true or false."""
        if not isinstance(self[name], bool):
            self.refuse(name, "true or false")
        return bool(self[name])

    def items_of(
        self, name: str, kind: type | tuple[type, ...] = object, *, length: int | None = None
    ) -> list[Any]:
        """Return a field that must be a list, of values of one type and of one length if they are given."""
        value = self[name]
        if not isinstance(value, list) or (length is not None and len(value) != length):
            self.refuse(name, "a list" if length is None else f"a list of {length:,} values")
        if not all(isinstance(each, kind) for each in value):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            self.refuse(name, f"a list of {' or '.join(each.__name__ for each in kinds)}")
        return list(value)

    def fields(self, name: str) -> Fields:
        """Return a field that must be an object."""
        value = self[name]
        if not isinstance(value, Fields):
            self.refuse(name, "an object")
        return value

    def refuse(self, name: str, needed: str) -> NoReturn:
        """Raise CorruptFileError for a field that isn't what is needed."""
        shown = repr(self[name])
        raise errors.CorruptFileError(
            f"{self.path}: {name!r} is {shown[:80]}{'…' * (len(shown) > 80)}, and {needed} is needed; restore "
            "it from a copy"
        )
