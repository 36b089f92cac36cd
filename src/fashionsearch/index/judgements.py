"""What was liked and what was not, as a user gives it: ids of stored items and photos, mixed as they come."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.files import as_path
from fashionsearch.index.engines.base import Engine
from fashionsearch.index.rows import Id, ItemId, check_id, unknown_id

_NAMED = 5


@dataclass(frozen=True, eq=False)
class Judgements:
    """Things of one judgement.

    Attributes:
        ids: those of stored items.
        vectors: (n, dim) float32, of the items and then of the photos.
    """

    ids: Sequence[Id]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vectors)


def judgements(
    name: str, given: Sequence[Any], engine: Engine, embed: Callable[[list[Any]], NDArray[np.float32]]
) -> Judgements:
    """Return what is given as ids and photos: a text that is an id of the engine is that item, any other is a path.

    Args:
        name: of the argument, for errors.
        given: single ids and photos.
        engine: holds the items.
        embed: returns (m, dim) embeddings of m photos.

    Raises:
        UnknownIdError: if a number is no id, or a text is neither an id nor a file.
        ImageError: if a photo can't be read.
    """
    if not len(given):
        return _none(engine.settings.dim)
    ids, photos, unknown = [], [], []
    for item in given:
        is_number = isinstance(item, int | np.integer) and not isinstance(item, bool)
        if (is_number or isinstance(item, str)) and check_id(item) in engine:
            ids.append(check_id(item))
        elif is_number or isinstance(item, ItemId) or (isinstance(item, str) and not is_file(item)):
            unknown.append(check_id(item))
        else:
            photos.append(item)
    if unknown:
        raise _unknown(name, unknown, engine)
    known = list(dict.fromkeys(ids))
    vectors = [engine.fetch(known).vectors] if known else []
    if photos:
        vectors.append(embed(photos))
    return Judgements(known, np.concatenate(vectors)) if vectors else _none(engine.settings.dim)


@functools.lru_cache(maxsize=16)
def _none(dim: int) -> Judgements:
    # Made once: most searches judge nothing.
    return Judgements((), np.zeros((0, dim), dtype=np.float32))


def single(name: str, given: Any) -> Sequence[Any]:
    """Return single ids and photos, which can be gone through again.

    Raises:
        InputError: if they are neither.
    """
    if given is None or (isinstance(given, tuple | list) and not given):
        return ()
    if isinstance(given, int | np.integer):
        return [given]
    if isinstance(given, np.ndarray) and given.ndim == 1:  # of ids
        return list(given.tolist())
    from fashionsearch.images import iterate  # here, since most searches judge nothing

    try:
        return list(iterate(given))
    except errors.InputError as error:
        raise errors.InputError(f"{name}: {error}") from error


def is_file(text: str) -> bool:
    """Return whether a text names a file."""
    try:
        return as_path(text).is_file()
    except (OSError, ValueError):  # too long for a path, or with a zero in it
        return False


def _unknown(name: str, unknown: Sequence[Id], engine: Engine) -> errors.UnknownIdError:
    if len(unknown) == 1 and not isinstance(unknown[0], str):
        return unknown_id(unknown[0], engine.id_kind, len(engine))
    shown = ", ".join(repr(item)[:80] for item in unknown[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    kind = engine.id_kind
    hint = f"; ids here are of type {kind.__name__}" if kind and type(unknown[0]) is not kind else ""
    return errors.UnknownIdError(
        f"{name} names {shown}{more}: no item has such an id, and there is no such file; the index holds {len(engine):,}"
        f"{hint}"
    )
