"""`read_backbone`, for callers that don't yet use `Backbone.read`."""

from __future__ import annotations

from typing import Any

from fashionsearch import storage
from fashionsearch.backbones.backbone import Backbone
from fashionsearch.device import Execution


def read_backbone(saved: storage.Saved, *, options: dict[str, Any], prefix: str = "") -> Backbone:
    """Read a backbone from a verified folder, as part of another if there is a prefix."""
    return Backbone.read(saved, Execution(**options), prefix)
