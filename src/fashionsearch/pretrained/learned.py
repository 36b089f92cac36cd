"""Which photos a shipped network learned from: what is measured on them would flatter it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.images import Images, digests, iterate
from fashionsearch.pretrained.shipped import is_shipped, open_shipped


def learned_from(encoder: object, images: Images) -> NDArray[np.bool_]:
    """Return (n,) bool: of which photos the shipped network in an encoder learned.

    A photo is known by its decoded pixels, so a copy with another name or other metadata is known too.

    Args:
        encoder: a backbone's name, or what has a backbone or is one; of others nothing is known.
        images: n images in any form; those that can't be read are False.

    Examples:
        >>> import numpy as np
        >>> learned_from("fashion", [np.zeros((80, 60, 3), np.uint8)]).tolist()
        [False]
    """
    everything = list(iterate(images))
    name = _network(encoder)
    if name is None:
        return np.zeros(len(everything), dtype=bool)
    return np.isin(digests(everything), open_shipped(name).arrays["learned"])


def without_learned(
    encoder: object, images: Images, columns: Mapping[str, NDArray[Any]], what: str
) -> tuple[Images, dict[str, NDArray[Any]]]:
    """Return the photos that a measurement may be made on, and what belongs to them; all where nothing is known.

    Args:
        encoder: which is measured, as for `learned_from`.
        images: n images in any form.
        columns: name -> (n, …) labels and the like.
        what: is measured, as a message names it.

    Warns:
        DataWarning: that says how many are left out.

    Raises:
        DataError: if none is left.
    """
    name = _network(encoder)
    if name is None:
        return images, dict(columns)
    everything = list(iterate(images))
    learned = learned_from(name, everything)
    if not learned.any():
        return everything, dict(columns)
    if learned.all():
        raise errors.DataError(
            f"{what} is refused: {name!r} learned from all of these {len(everything):,} photos, so any figure would flatter "
            "it; measure on other photos"
        )
    warnings.warn(
        f"{what} leaves out {int(learned.sum()):,} of {len(everything):,} photos, which {name!r} learned from",
        errors.DataWarning,
        stacklevel=3,
    )
    kept = np.flatnonzero(~learned)
    return [everything[place] for place in kept], {key: column[kept] for key, column in columns.items()}


def _network(encoder: object) -> str | None:
    """Return the name of the shipped network in an encoder, if there is one."""
    while not isinstance(encoder, str):
        inner = getattr(encoder, "backbone_", None) or getattr(encoder, "name", None)
        if inner is None:
            return None
        encoder = inner
    return encoder if is_shipped(encoder) else None
