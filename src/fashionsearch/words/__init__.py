"""Words in the space of photos, learned from the titles of a catalogue."""

from __future__ import annotations

from fashionsearch.words.shipped import shipped_words
from fashionsearch.words.tokens import check_texts
from fashionsearch.words.words import Words

__all__ = ["Words", "check_texts", "shipped_words"]
