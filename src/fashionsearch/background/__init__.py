"""Photos taken in cluttered places: what each shows, seen beside the whole photo."""

from __future__ import annotations

from fashionsearch.background.foreground import Subject, subject
from fashionsearch.background.fusing import Fused, fuse
from fashionsearch.background.network import look

__all__ = ["Fused", "Subject", "fuse", "look", "subject"]
