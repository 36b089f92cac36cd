"""Matches are lists of matches, rows for JSON, and a picture that opens no file a stranger named."""

import json
import math

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.results import Added, Item, Match, Matches


@pytest.fixture
def matches():
    """Three queries: two matches, one, and none."""
    ids = np.array([["a", "b"], ["c", None], [None, None]], dtype=object)
    metadata = np.full((3, 2), None)
    metadata[0, 0], metadata[0, 1], metadata[1, 0] = {"price": 5, "sale": True}, {}, {"price": None}
    sources = np.array([["a.jpg", None], [None, None], [None, None]], dtype=object)
    similarities = np.array([[1, 0.5], [0.25, np.nan], [np.nan, np.nan]], dtype=np.float32)
    return Matches(ids, similarities, metadata, np.array([2, 1, 0]), sources)


def test_a_query_has_a_list_of_matches(matches):
    (first, second), third = matches[0], matches[1][0]
    assert isinstance(first, Match)
    assert (first.id, first.similarity, first.metadata, first.source) == (
        "a",
        1.0,
        {"price": 5, "sale": True},
        "a.jpg",
    )
    assert (second.id, second.similarity, second.metadata, second.source) == ("b", 0.5, {}, None)
    assert type(second.similarity) is float
    assert (third.id, third.metadata) == ("c", {"price": None})
    assert math.isnan(first.probability)
    assert matches.probabilities.shape == (3, 2)
    assert matches.probabilities.dtype == np.float32
    with pytest.raises(AttributeError):
        first.id = "z"


def names(hits):
    return [match.id for match in hits]


def test_positions_and_slices_are_those_of_a_list(matches):
    everything = [["a", "b"], ["c"], []]
    assert [names(hits) for hits in matches] == everything
    assert len(matches) == 3
    for position in (-3, -1, 0, 2, np.int64(1), True):
        assert names(matches[position]) == everything[position]
    for part in (slice(None), slice(1, 9), slice(-2, None), slice(None, None, -1), slice(5, 9)):
        assert [names(hits) for hits in matches[part]] == everything[part]
    for position in (3, -4, 10**20):
        with pytest.raises(IndexError):
            matches[position]
    for position in ("0", 1.0, None):
        with pytest.raises(TypeError):
            matches[position]


def test_rows_go_into_json(matches):
    rows = matches.to_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [(row["query"], row["rank"], row["id"]) for row in rows] == [(0, 0, "a"), (0, 1, "b"), (1, 0, "c")]
    assert rows[0] == {
        "query": 0,
        "rank": 0,
        "id": "a",
        "similarity": 1.0,
        "probability": None,
        "metadata": {"price": 5, "sale": True},
        "source": "a.jpg",
        "parts": {},
    }


def test_rows_of_an_index_whose_metadata_came_from_numpy_go_into_json():
    index = fs.VisualIndex(dim=2)
    metadata = {
        "n": np.arange(2),
        "price": np.array([0.5, np.nan], np.float32),
        "new": np.array([True, False]),
    }
    index.add_vectors(np.eye(2), ids=np.array([7, 8]), metadata=metadata)
    rows = index.search_vectors(np.eye(2), k=5).to_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0]["metadata"] == {"n": 0, "price": 0.5, "new": True}
    assert rows[2]["metadata"] == {"n": 1, "price": None, "new": False}
    assert len(rows) == 4


def test_an_empty_answer_has_no_rows():
    matches = fs.VisualIndex(dim=2).search_vectors(np.eye(2))
    assert matches.to_rows() == []
    assert list(matches) == [[], []]


class Colour:
    """An encoder by mean colour."""

    dim = 3

    def embed(self, images):
        from fashionsearch.images import read_image

        return np.stack([read_image(image).mean(axis=(0, 1)) + 1 for image in images]).astype(np.float32)


def test_a_loaded_index_shows_no_file_until_it_may(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(path)
    index = fs.VisualIndex(Colour())
    index.add([path])
    assert index.search(path)._repr_html_().count("<img") == 2
    index.save(tmp_path / "saved")
    loaded = fs.VisualIndex.load(tmp_path / "saved", encoder=Colour())
    page = loaded.search(path)._repr_html_()
    assert page.count("<img") == 1, "the query's own photo, and no match's"
    assert "index.show_photos = True" in page
    loaded.show_photos = True
    assert loaded.search(path)._repr_html_().count("<img") == 2


def test_html_is_escaped_and_cut():
    failures = tuple(errors.ImageFailure(i, f"<b>{i}.jpg", "is damaged") for i in range(12))
    page = Added(("x",), failures)._repr_html_()
    assert "1 items added, 12 left out, the first 10 of 12" in page
    assert "&lt;b&gt;9.jpg" in page
    assert "<b>" not in page
    assert "10.jpg" not in page
    page = Item("<i>", np.zeros(3, np.float32), {"<u>": "<s>"}, "/etc/passwd")._repr_html_()
    assert "&lt;u&gt;" in page
    assert "<img" not in page
    assert not any(tag in page for tag in ("<i>", "<u>", "<s>"))
