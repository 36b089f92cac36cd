"""The words that ship beside a network, learned from the titles of the photos that it learned from."""

from __future__ import annotations

import functools

from fashionsearch import errors
from fashionsearch.words.words import Words


def shipped_words(fingerprint: str) -> Words | None:
    """Return the words that ship for the embeddings of an encoder, recognised by its fingerprint; None if none do.

    Raises:
        CorruptFileError: if their file isn't the one that shipped.
    """
    from fashionsearch.pretrained import with_words  # here, since it loads what decodes photos

    return next((_opened(name) for name, known in with_words().items() if known == fingerprint), None)


@functools.lru_cache(maxsize=1)
def _opened(name: str) -> Words:
    from fashionsearch.pretrained import open_words

    shipped = open_words(name)
    try:
        return Words.from_state(shipped.config, shipped.arrays)
    except ValueError as error:
        raise errors.CorruptFileError(
            f"the words of {name!r} can't be read: {error}; install fashionsearch again"
        ) from error
