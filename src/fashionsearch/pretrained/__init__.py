"""Networks that ship in the wheel, with what they learned beside it; and which photos they learned from."""

from __future__ import annotations

from fashionsearch.pretrained.learned import learned_from, without_learned
from fashionsearch.pretrained.shipped import (
    Shipped,
    graph_of,
    is_shipped,
    known,
    network_of,
    open_shipped,
    open_words,
    weights_of,
    with_words,
)

__all__ = [
    "Shipped",
    "graph_of",
    "is_shipped",
    "known",
    "learned_from",
    "network_of",
    "open_shipped",
    "open_words",
    "weights_of",
    "with_words",
    "without_learned",
]
