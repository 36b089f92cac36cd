"""Folders with a model that other programs load without this library: `export`."""

from __future__ import annotations

from fashionsearch.exporting.exporter import export

__all__ = ["export"]
