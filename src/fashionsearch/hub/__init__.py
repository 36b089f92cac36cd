"""Saved folders on Hugging Face's hub: pushed as they are with a card, and pulled at a pinned commit, every hash checked."""

from __future__ import annotations

from fashionsearch.hub.calls import check_reachable
from fashionsearch.hub.card import Card, Figures
from fashionsearch.hub.pulling import Pulled, is_hub_name, loading, pull
from fashionsearch.hub.pushing import push
from fashionsearch.hub.shareable import Shareable

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
