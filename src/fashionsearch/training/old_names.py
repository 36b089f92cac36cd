"""Names that options had before: accepted with a warning for one minor version, and read from saved folders without one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fashionsearch import errors

_RENAMED = {
    "average_weights": "ema",
    "small_first": "progressive_resizing",
    "teacher_weight": "distillation_weight",
}
_FASTEST = "fastest"  # was the only value of `precision`
_C = TypeVar("_C", bound=type)


def current_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved options by the names of today, without those that are gone."""
    named = {_RENAMED.get(name, name): value for name, value in fields.items() if name != "cached_views"}
    if named.pop("precision", None) == _FASTEST:
        named["autotune"] = True
    return named


def current_name(name: str, *, stacklevel: int = 3) -> str:
    """Return what an option is called today, with a warning if it was called something else before."""
    if name not in _RENAMED:
        return name
    _warn(f"{name} is now called {_RENAMED[name]}", stacklevel=stacklevel + 1)
    return _RENAMED[name]


def accepts_old_names(options: _C) -> _C:
    """Let a dataclass of options be made with the names that its fields had before."""
    own: Callable[..., None] = options.__init__  # type: ignore[misc]

    @functools.wraps(own)
    def init(self: object, *args: Any, **fields: Any) -> None:
        own(self, *args, **_accepted(fields))

    options.__init__ = init  # type: ignore[misc]
    return options


def _accepted(fields: dict[str, Any]) -> dict[str, Any]:
    precision = fields.get("precision")
    if precision not in (None, _FASTEST):
        raise errors.InputError(
            f"precision={precision!r} is for Classifier or Autoencoder, as Classifier(precision={precision!r}); training "
            "takes autotune=True, which times float32 and bf16"
        )
    for old, new in _RENAMED.items():
        if old in fields:
            if fields.get(new) is not None:
                raise errors.InputError(f"{new} and {old}, its old name, are both given; give {new} alone")
            _warn(f"{old} is now called {new}", stacklevel=4)
            fields.pop(new, None)
    if precision is not None:
        _warn(f"precision='{_FASTEST}' is now autotune=True", stacklevel=4)
    if fields.get("class_weights") is not None:
        _warn(
            "class_weights is now the classifier's class_weight, as Classifier(class_weight=...)",
            stacklevel=4,
        )
    if "cached_views" in fields:
        _warn("cached_views does nothing any more; leave it out", stacklevel=4)
    return current_names(fields)


def _warn(message: str, *, stacklevel: int) -> None:
    warnings.warn(
        f"{message}; the old name goes with the next minor version", DeprecationWarning, stacklevel=stacklevel
    )
