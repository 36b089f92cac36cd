"""Texts as they are typed in a hurry."""

import numpy as np
import pytest

from fashionsearch.words.misspelling import misspelt


def distance(one, other):
    """Return the edits between two words, two swapped letters being one."""
    table = np.add.outer(np.arange(len(one) + 1), np.arange(len(other) + 1))
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[-1, -1]


@pytest.mark.parametrize("seed", range(40))
def test_each_word_has_at_most_one_edit(seed):
    text = "red floral dress of a summer"
    wrong = misspelt(text, np.random.default_rng(seed), 1.0)
    pairs = list(zip(text.split(), wrong.split(), strict=True))
    assert all(distance(one, other) <= 1 for one, other in pairs)
    assert sum(one != other for one, other in pairs) >= 3


def test_without_a_share_nothing_changes():
    assert misspelt("red dress", np.random.default_rng(0), 0.0) == "red dress"
