"""A text as hashed pieces of its words, which still agree where a word is misspelt or was never seen."""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionsearch import errors

MOST_WORDS = 2_000
_MOST_CHARACTERS = 40_000
_LONGEST_SPELT = (
    24  # letters; of longer words only the n-grams are taken, since leaving out each letter is quadratic
)
_GRAMS = (3, 4)
_WORD = re.compile(r"\w+")
_WITHIN_WORDS = re.compile(
    "[\u0300-\u036f'\u2019\\-]"
)  # accents, apostrophes, hyphens: "t-shirt" is "tshirt"


@dataclass(frozen=True, eq=False)
class Tokens:
    """The pieces of one text, hashed to 32 bits.

    Attributes:
        hashes: (t,) uint32 of words, pairs of neighbouring words, n-grams of letters, and words that lack a letter.
        first: (t,) int64, the number of the word that each piece is of.
        last: (t,) int64, the same, but the second word of a pair.
        words: how many words the text has.
    """

    hashes: NDArray[np.uint32]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    words: int


def tokens(text: str, pieces: Callable[[str], tuple[int, ...]] | None = None) -> Tokens:
    """Return the pieces of a text; `pieces` is a cached `pieces_of`, for many texts of the same words.

    Case, accents, apostrophes and hyphens don't matter. A word and the same word with one letter wrong, missing or too many
    share a piece: either lacks a letter that makes them the same.

    Examples:
        >>> one, other = tokens("Red T-Shirt"), tokens("red tshrt")
        >>> one.words, len(set(one.hashes) & set(other.hashes)) > 5
        (2, True)
    """
    plain = _WITHIN_WORDS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    found = _WORD.findall(plain) or [plain.strip()]
    hashes: list[int] = []
    first: list[int] = []
    for place, word in enumerate(found):
        own = (pieces or pieces_of)(word)
        hashes += own
        first += [place] * len(own)
    pairs = [_hash(f"b{one} {two}") for one, two in itertools.pairwise(found)]
    places = np.array(first + list(range(len(pairs))), np.int64)
    last = places.copy()
    last[len(first) :] += 1
    return Tokens(np.array(hashes + pairs, np.uint32), places, last, len(found))


def check_texts(texts: Sequence[str], what: str = "text") -> list[str]:
    """Return texts as a list, each of which has something in it and isn't too long.

    Raises:
        InputError: if one isn't text, is empty, or is longer than 2,000 words.
    """
    for text in texts:
        if not isinstance(text, str):
            raise errors.InputError(
                f"{what}={text!r:.80} is a {type(text).__name__}; give text, such as 'red floral dress'"
            )
        if not text.strip():
            raise errors.InputError(f"{what}={text[:20]!r} is empty; give words, such as 'red floral dress'")
        words = len(text.split())
        if words > MOST_WORDS or len(text) > _MOST_CHARACTERS:
            raise errors.InputError(
                f"{what}={text[:40]!r}… has {words:,} words and {len(text):,} characters; give at most {MOST_WORDS:,} words "
                f"and {_MOST_CHARACTERS:,} characters, such as the title of what you look for"
            )
    return list(texts)


def pieces_of(word: str) -> tuple[int, ...]:
    """Return the hashes of a word, of its n-grams, and of the word without each of its letters."""
    bounded = f"<{word}>"
    pieces = [f"w{word}"]
    pieces += [f"c{bounded[at : at + size]}" for size in _GRAMS for at in range(len(bounded) - size + 1)]
    if 3 < len(word) <= _LONGEST_SPELT:
        pieces += [f"w{word[:at]}{word[at + 1 :]}" for at in range(len(word))]
    return tuple(dict.fromkeys(map(_hash, pieces)))


def _hash(piece: str) -> int:
    return zlib.crc32(piece.encode("utf-8", "surrogatepass"))
