"""`VisualIndex`: search a catalogue by photo."""

from __future__ import annotations

from fashionsearch.index.visual_index import VisualIndex

__all__ = ["VisualIndex"]
