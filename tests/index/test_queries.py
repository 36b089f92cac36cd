"""What a buyer says, as vectors and scores."""

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.index.queries import Likeness, balanced, spread, unit
from fashionsearch.index.rows import Rows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rows(vectors):
    vectors = np.asarray(vectors, np.float32)
    return Rows(range(len(vectors)), vectors, [{}] * len(vectors), [None] * len(vectors))


def test_scores_of_balanced_terms_add_up_to_the_cosine(rng):
    photo = Likeness("photo", rng.normal(size=(3, 8)).astype(np.float32) * 7, 0.7)
    text = Likeness("text", rng.normal(size=(3, 8)).astype(np.float32), 0.3)
    items = rows(rng.normal(size=(5, 8)))
    terms = balanced([photo, text])
    joint = unit(0.7 * unit(photo.probes) + 0.3 * unit(text.probes))
    for query in range(3):
        scores = sum(term.scores(query, items) for term in terms)
        np.testing.assert_allclose(scores, unit(items.vectors) @ joint[query], atol=1e-6)


def test_what_one_query_says_is_said_in_all(rng):
    one = Likeness("text", np.ones((1, 4), np.float32))
    assert spread(one, 3).probes.tolist() == np.ones((3, 4)).tolist()
    assert spread(one, 1) is one
    with pytest.raises(errors.InputError, match="'text' is said for 2 queries, and there are 3"):
        spread(Likeness("text", np.ones((2, 4), np.float32)), 3)


def test_what_cancels_each_other_out_is_refused():
    one = np.eye(4, dtype=np.float32)[:2]
    with pytest.raises(errors.InputError, match="photo and text of query 1 cancel each other out"):
        balanced([Likeness("photo", one), Likeness("text", np.stack([one[0], -one[1]]))])
