"""Networks that turn photos into embeddings, by name: built-in ones, plug-ins, and all of timm and torchvision."""

from __future__ import annotations

from fashionsearch.backbones.architectures import list_backbones, register_backbone
from fashionsearch.backbones.backbone import Backbone
from fashionsearch.backbones.factory import as_backbone, create_backbone

__all__ = ["Backbone", "as_backbone", "create_backbone", "list_backbones", "register_backbone"]
