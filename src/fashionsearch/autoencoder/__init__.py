"""Autoencoders: a few numbers a photo, learned without labels."""

from __future__ import annotations

from fashionsearch.autoencoder.autoencoder import Autoencoder

__all__ = ["Autoencoder"]
