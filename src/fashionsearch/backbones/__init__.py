"""Networks that turn photos into embeddings, by name: built-in ones, plug-ins, and all of timm and torchvision."""

from __future__ import annotations

from fashionsearch.backbones.backbone import Backbone
from fashionsearch.backbones.registry import create_backbone, list_backbones, register_backbone

__all__ = ["Backbone", "create_backbone", "list_backbones", "register_backbone"]
