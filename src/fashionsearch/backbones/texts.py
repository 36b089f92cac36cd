"""Texts embedded by the network of a backbone that has a side for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.device import Placement, torch_defaults
from fashionsearch.embedding import progress_bar

if TYPE_CHECKING:
    from torch import nn

_BATCH = 64


def embed_texts(
    module: nn.Module, texts: str | Sequence[str], placement: Placement, dim: int, *, progress: bool
) -> NDArray[np.float32]:
    """Return (n, dim) float32 of n texts; the rest of the arguments is what `Backbone.embed_text` knows.

    Raises:
        InputError: if there is something else than text, or nothing in one, or the network returns something else than
            (n, dim) finite numbers.
    """
    import torch

    checked = _checked(texts)
    found = np.zeros((len(checked), dim), np.float32)
    with progress_bar(len(checked), "embedding", "text", shown=progress) as advance, torch_defaults():
        module.eval()
        for start in range(0, len(checked), _BATCH):
            part = checked[start : start + _BATCH]
            with torch.inference_mode(), placement.autocast():
                rows = module.embed_text(part)  # type: ignore[operator]
            rows = rows.float().cpu().numpy()
            if rows.shape != (len(part), dim) or not np.isfinite(rows).all():
                raise errors.InputError(
                    f"the network's embed_text returned shape {rows.shape} for {len(part)} texts; finite numbers of shape "
                    f"{(len(part), dim)} were expected"
                )
            found[start : start + len(part)] = rows
            advance(len(part))
    return found


def _checked(texts: object) -> list[str]:
    given = [texts] if isinstance(texts, str) else texts
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, bytes):
        raise errors.InputError(f"{texts!r:.100} is not a text, or a list of them")
    for place, text in enumerate(given):
        if not isinstance(text, str) or not text.strip():
            raise errors.InputError(f"text {place} is {text!r:.100}; give words, such as 'red floral dress'")
    return [str(text) for text in given]
