"""Items ranked by the words of their own text, and joined with another ranking."""

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.index.text_match import TextMatch, fused, text_fields

TITLES = [
    "red shirt",
    "red red dress",
    "blue shirt zx900",
    "green belt",
    None,
    "a very long title about a red thing of no kind",
]


@pytest.fixture
def index():
    index = fs.VisualIndex(dim=3, engine="exact")
    metadata = {
        "title": TITLES,
        "brand": ["Nike", "Puma", "Nike", "Puma", "Nike", "red"],
        "price": [1, 2, 3, 4, 5, 6],
    }
    index.add_vectors(np.random.default_rng(0).normal(size=(6, 3)), metadata=metadata)
    return index


def found(index, text, fields=("title",)):
    return TextMatch(index._engine, fields).find(text, np.ones(3, np.float32)).ids[0].tolist()


def test_rare_words_count_more_and_long_texts_less(index):
    assert found(index, "RED zx900") == [2, 1, 0, 5]
    assert found(index, "nothing of it") == [5]
    assert found(index, "unheard") == []
    assert found(index, "!!!") == []


def test_all_fields_of_text_are_looked_in(index):
    assert text_fields(index._engine) == ["brand", "title"]
    assert set(found(index, "nike red", ["brand", "title"])) == {0, 1, 2, 4, 5}


def test_an_item_that_both_rankings_name_comes_first(index):
    matched = TextMatch(index._engine, ["title"]).find("zx900", np.ones(3, np.float32))
    order = index.search_vectors(np.ones(3), k=6).ids[0].tolist()
    both = fused(lambda count, exact: index.search_vectors(np.ones(3), k=count), [matched])(6, False)
    assert both.ids[0].tolist() == [2, *[item for item in order if item != 2]]
    assert both.counts.tolist() == [6]


def test_fields_of_the_library_are_no_text_of_an_item(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    index = fs.VisualIndex(fs.create_backbone("cnn", weights=None, progress=False), progress=False)
    index.sync(tmp_path)
    assert text_fields(index._engine) == []
