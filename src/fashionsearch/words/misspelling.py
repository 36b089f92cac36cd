"""Texts as people type them in a hurry."""

from __future__ import annotations

import numpy as np

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def misspelt(text: str, generator: np.random.Generator, share: float = 0.7) -> str:
    """Return a text in which a share of the words have one edit: a letter wrong, too many, missing, or two swapped.

    Examples:
        >>> misspelt("red floral dress", np.random.default_rng(0), share=1.0)
        'rhed lforal drses'
    """
    return " ".join(
        _edited(word, generator) if len(word) > 1 and generator.random() < share else word
        for word in text.split()
    )


def _edited(word: str, generator: np.random.Generator) -> str:
    at = int(generator.integers(len(word)))
    letter = _LETTERS[int(generator.integers(len(_LETTERS)))]
    kind = int(generator.integers(4))
    if kind == 0:
        return word[:at] + letter + word[at + 1 :]
    if kind == 1:
        return word[:at] + letter + word[at:]
    if kind == 2:
        return word[:at] + word[at + 1 :]
    at = min(at, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
