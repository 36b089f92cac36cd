from .learned import learned_from, without_learned
from .shipped import (
    Shipped,
    graph_of,
    is_shipped,
    open_shipped,
    open_words,
    with_words,
)

__all__ = [
    "Shipped",
    "graph_of",
    "is_shipped",
    "learned_from",
    "open_shipped",
    "open_words",
    "with_words",
    "without_learned",
]
