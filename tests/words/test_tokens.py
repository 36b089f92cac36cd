"""Texts as hashed pieces: what two texts share, and what is no text."""

import pytest

from fashionsearch import errors
from fashionsearch.words.tokens import MOST_WORDS, check_texts, pieces_of, tokens


def shared(one, other):
    return set(tokens(one).hashes.tolist()) & set(tokens(other).hashes.tolist())


@pytest.mark.parametrize("wrong", ["shrt", "shixt", "shirrt", "shitr"])
def test_a_word_and_the_same_word_with_one_edit_share_a_spelling(wrong):
    spellings = set(pieces_of("shirt")) & set(pieces_of(wrong))
    unlike = set(pieces_of("shirt")) & set(pieces_of("dress"))
    assert spellings
    assert not unlike


@pytest.mark.parametrize(
    ("one", "other"),
    [("T-Shirt", "tshirt"), ("RED", "red"), ("Robe élégante", "robe elegante"), ("men's", "mens")],
)
def test_case_accents_hyphens_and_apostrophes_do_not_matter(one, other):
    assert tokens(one).hashes.tolist() == tokens(other).hashes.tolist()


def test_pairs_know_both_of_their_words():
    read = tokens("red shirt")
    pair = read.last != read.first
    assert read.words == 2
    assert pair.sum() == 1
    assert (read.first[pair].tolist(), read.last[pair].tolist()) == ([0], [1])


@pytest.mark.parametrize(
    "text", ["赤いドレス", "красное платье", "👗", "!!!", "half \ud800 pair", "a" * 30_000, "zero\0inside"]
)
def test_whatever_is_written_has_pieces(text):
    assert len(tokens(text).hashes) > 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([""], "is empty; give words"),
        (["red", "  \n"], "is empty"),
        (["word " * 10_000], "has 10,000 words .* at most 2,000 words"),
        (["a" * 50_000], "50,000 characters"),
        ([7], "text=7 is a int"),
        ([None], "is a NoneType"),
    ],
)
def test_what_is_no_text_is_refused(texts, message):
    with pytest.raises(errors.InputError, match=message):
        check_texts(texts)


def test_the_longest_text_is_read():
    assert tokens(" ".join(["red"] * MOST_WORDS)).words == MOST_WORDS
