from .learned import learned_from, without_learned
from .shipped import (
    Shipped,
    graph_of,
    is_shipped,
    known,
    network_of,
    open_shipped,
    open_words,
    ships,
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
    "ships",
    "weights_of",
    "with_words",
    "without_learned",
]
