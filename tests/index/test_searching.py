"""Searches by photo, words, stored items and parts of photos."""

import functools
import operator

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


class Colours:
    """Embeds a photo by its mean colour, and the words for three colours."""

    dim = 3

    def embed(self, images):
        return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) + 1 for image in images])

    def embed_text(self, texts):
        return [np.eye(3)[["red", "green", "blue"].index(text)] for text in texts]


def painted(*colour):
    return np.full((8, 8, 3), colour, np.uint8)


@pytest.fixture
def index():
    made = fs.VisualIndex(Colours(), progress=False)
    photos = {"r": (200, 10, 10), "g": (10, 200, 10), "b": (10, 10, 200), "y": (190, 190, 10)}
    made.add(
        [painted(*colour) for colour in photos.values()], ids=list(photos), metadata={"shop": [1, 1, 2, 2]}
    )
    return made


def test_words_alone_and_beside_photos(index):
    assert index.search(text="green", k=1).ids.tolist() == [["g"]]
    assert index.search(text=["red", "blue"], k=1).ids.tolist() == [["r"], ["b"]]
    both = index.search(painted(200, 10, 10), text="green", k=1)
    assert both.ids.tolist() == [["y"]]
    match = both[0][0]
    assert set(match.parts) == {"photo", "text"}
    assert sum(match.parts.values()) == pytest.approx(match.similarity, abs=1e-5)
    assert index.search(painted(200, 10, 10), text="green", text_weight=0, k=1).ids.tolist() == [["r"]]
    two = index.search([painted(200, 10, 10), painted(10, 10, 200)], text=["red", "blue"], k=1)
    assert two.ids.tolist() == [["r"], ["b"]]
    assert two.queries[0] is not None


def test_a_stored_item_is_no_answer_to_itself(index):
    found = index.search(id="r", k=4)
    assert found.ids.tolist()[0][0] == "y"
    assert "r" not in found.ids[0, : found.counts[0]].tolist()
    assert found[0][0].parts == {"item": pytest.approx(found[0][0].similarity)}
    with pytest.raises(errors.UnknownIdError, match="'z'"):
        index.search(id="z")


def test_a_region_is_searched_by(index):
    scene = np.concatenate([painted(200, 10, 10), painted(10, 10, 200)], axis=1)
    assert index.search(scene, region=(0, 0, 0.5, 1), k=1).ids.tolist() == [["r"]]
    assert index.search(scene, region=(0.5, 0, 1, 1), k=1).ids.tolist() == [["b"]]
    with pytest.raises(errors.InputError, match="there is none"):
        index.search(text="red", region=(0, 0, 1, 1))


def test_diversity_goes_with_filters_groups_and_pages(index):
    everything = index.search(painted(200, 10, 10), k=4, diversity=0.4).ids[0].tolist()
    assert everything[0] == "r"
    assert sorted(everything) == ["b", "g", "r", "y"]
    pages = [
        index.search(painted(200, 10, 10), k=2, offset=at, diversity=0.4).ids[0].tolist() for at in (0, 2)
    ]
    assert functools.reduce(operator.iadd, pages, []) == everything
    groups = index.search(painted(200, 10, 10), k=4, diversity=0.4, group_by="shop")
    assert groups.counts.tolist() == [2]
    assert index.search(painted(200, 10, 10), k=4, diversity=0.4, where={"shop": 2}).counts.tolist() == [2]


def test_words_are_weighed_beside_an_item_too(index):
    by_item = index.search(id="r", text="blue", text_weight=0, k=3)
    assert by_item.ids.tolist() == index.search(id="r", k=3).ids.tolist()
    assert index.search(id="r", text="blue", text_weight=1, k=1).ids.tolist() == [["b"]]
    for wrong in ({"text_weight": 7}, {"background": "nonsense"}):
        with pytest.raises(errors.InputError, match=str(next(iter(wrong.values())))):
            index.search(id="r", **wrong)


def test_parts_of_one_thing_are_its_similarity(index):
    match = index.search(painted(10, 200, 10), k=1)[0][0]
    assert match.parts == {"photo": match.similarity}
    match = index.search_vectors([0, 0, 1], k=1)[0][0]
    assert match.parts == {"vector": match.similarity}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "nothing says what to search for"),
        (
            {"text": "red", "text_weight": 2, "images": painted(1, 1, 1)},
            "text_weight=2 is not a number from 0 to 1",
        ),
        ({"text": "red", "diversity": -1}, "diversity=-1 is not a number from 0 to 1"),
        ({"text": "red", "diversity": True}, "diversity=True is not a number"),
        ({"text": ["red", "blue"], "images": [painted(1, 1, 1)] * 3}, "there are 2 texts and 3 photos"),
        ({"id": "r", "min_probability": 0.5}, "is not calibrated"),
        ({"id": "r", "coverage": 0.95}, "is not calibrated"),
        ({"text": "red", "coverage": 0.95}, "those of words are not known"),
        ({"text": "red", "coverage": 1}, "coverage=1 is not a number above 0 and below 1"),
        ({"text": "red", "coverage": 0.9, "offset": 5}, "leave offset out"),
        ({"text": "red", "min_probability": 1.5}, "min_probability=1.5 is not a number from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(index, arguments, reason):
    with pytest.raises(errors.InputError, match=reason):
        index.search(**arguments)


def test_several_things_are_weighed_by_the_cosine_alone():
    index = fs.VisualIndex(Colours(), metric="euclidean")
    index.add([painted(200, 10, 10)])
    assert index.search(painted(200, 10, 10), k=1).similarities.tolist() == [[0.0]]
    with pytest.raises(errors.InputError, match="photo and text can be weighed only by the cosine"):
        index.search(painted(200, 10, 10), text="red")


def test_an_encoder_without_words_says_so():
    index = fs.VisualIndex(dim=3)
    index.add_vectors(np.eye(3))
    with pytest.raises(errors.InputError, match="word"):
        index.search(text="red")
    assert index.search(id=0, k=2).ids.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "said",
    [{}, {"id": "p3"}, {"text": "red shirt"}, {"like": ["p1"]}, {"id": "p3", "like": ["p1"], "unlike": ["p2"]},
     {"id": "p3", "text": "red shirt", "diversity": 0.5}, {"towards": {"baseColour": "Red"}},
     {"id": "p3", "offset": 2}, {"id": "p3", "text": "red", "text_match": True}],
)  # fmt: skip
def test_no_photos_have_no_answers_whatever_is_said_beside_them(words, said):
    found = words.search([], k=4, **said)
    assert len(found) == 0
    assert found.ids.shape[0] == found.similarities.shape[0] == found.metadata.shape[0] == 0
    assert list(found) == found.to_rows() == []


def test_no_texts_have_no_answers_beside_an_item(words):
    with pytest.raises(errors.InputError):
        words.search(text=[], id="p3")


@pytest.fixture(scope="module")
def words():
    table = fs.datasets.make_catalogue(30, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(table.images, ids=[f"p{n}" for n in range(30)], metadata={"title": table["baseColour"]})
    return index


def test_what_goes_with_a_photo_that_cannot_be_read_is_left_out_with_it(index):
    red, blue, bad = painted(200, 10, 10), painted(10, 10, 200), b"no photo"
    vectors = np.array([[9, 0, 0], [np.nan] * 3, [0, 0, 9]])
    options = {"k": 1, "on_error": "skip"}
    with pytest.warns(errors.DataWarning, match="1 of 3 images can't be read"):
        found = index.search([red, bad, blue], vectors=vectors, text=["red", "green", "blue"], **options)
    assert found.ids.tolist() == [["r"], ["b"]]
    assert index.search(red, vectors=[0, 0, 9], **options).ids.tolist() == [["b"]]
    with pytest.warns(errors.DataWarning, match="1 of 2 images"):
        found = index.search(
            [bad, np.concatenate([red, blue], axis=1)], region=(0.5, 0, 1, 1), text=["red", "blue"], **options
        )
    assert found.ids.tolist() == [["b"]]
    with pytest.raises(errors.InputError, match="there are 2 texts and 3 photos"):
        index.search([red, bad, blue], text=["red", "blue"], **options)
    for wrong in (vectors[:2], [*vectors, [0, 9, 0]]):
        with pytest.raises(errors.InputError, match=f"there are 3 photos and {len(wrong)} vectors"):
            index.search([red, bad, blue], vectors=wrong, **options)
    with pytest.raises(errors.InputError, match="vectors can't be read"):
        index.search([red, blue], vectors=[[1, 2, 3], [1]], **options)
    for texts in ("red", ["red"], ["red", "blue"]):
        with pytest.warns(errors.DataWarning, match="can't be read"):
            nothing = index.search([bad] * (2 if len(texts) == 2 else 1), text=texts, **options)
        assert nothing.ids.shape == (0, 1)
