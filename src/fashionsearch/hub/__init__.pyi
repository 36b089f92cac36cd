from .calls import check_reachable, is_hub_name
from .card import Card, Figures
from .pulling import Pulled, loading, pull
from .pushing import push
from .shareable import Shareable

__all__ = [
    "Card",
    "Figures",
    "Pulled",
    "Shareable",
    "check_reachable",
    "is_hub_name",
    "loading",
    "pull",
    "push",
]
