"""Likes and dislikes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.images import read_image
from fashionsearch.index.feedback import Feedback
from fashionsearch.index.rows import Rows
from fashionsearch.index.whitening import Whitening

DIM = 8


class Mean:
    """Embeds a photo by its mean colour."""

    dim = 3

    def embed(self, images):
        return np.array([read_image(image).reshape(-1, 3).mean(axis=0) + 1 for image in images], np.float32)


def groups(seed=0, count=200):
    """Return vectors of four groups that two features decide, beside much that is common and noise."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(4, size=count)
    vectors = 0.2 * rng.normal(size=(count, DIM))
    vectors[:, 0] += 3
    vectors[np.arange(count), 1 + kinds] += 1
    return vectors.astype(np.float32), kinds


@pytest.fixture
def index():
    vectors, kinds = groups()
    found = fs.VisualIndex(dim=DIM)
    found.add_vectors(vectors, ids=[f"i{n}" for n in range(200)], metadata={"kind": kinds.tolist()})
    return found


def of_kind(index, kind, count=200):
    return [item for item in index if index.get(item).metadata["kind"] == kind][:count]


def share(found, kind):
    return np.mean([match.metadata["kind"] == kind for match in found[0]])


def test_likes_bring_more_of_their_kind_and_dislikes_less(index):
    liked = of_kind(index, 1, 2)
    found = index.search(like=liked, k=5)
    assert share(found, 1) >= 0.8
    assert not set(found.ids[0]) & set(liked)
    start = of_kind(index, 1, 3)[-1]
    without = index.search(id=start, k=8)
    unliked = [match.id for match in without[0] if match.metadata["kind"] != 1] or of_kind(index, 0, 2)
    better = index.search(id=start, k=8, like=liked, unlike=unliked)
    assert share(better, 1) >= share(without, 1)
    assert not set(better.ids[0]) & {start, *liked, *unliked}


def test_scores_add_up_to_parts_and_are_in_order(index):
    found = index.search(id="i3", like="i4", unlike=["i5", "i6"], k=200)
    assert list(found[0][0].parts) == ["item", "feedback"]
    sums = [sum(match.parts.values()) for match in found[0]]
    assert sums == sorted(sums, reverse=True)
    assert found.counts[0] == 196
    assert index.search(like=["i4"], k=3)[0][0].parts.keys() == {"feedback"}


def test_likes_of_two_kinds_find_both(index):
    found = index.search(like=[*of_kind(index, 0, 2), *of_kind(index, 3, 2)], k=10)
    kinds = [match.metadata["kind"] for match in found[0]]
    assert kinds.count(0) >= 3
    assert kinds.count(3) >= 3


def test_pages_hold_each_item_once_and_filters_are_kept(index):
    asked = {"like": ["i1", "i2"], "unlike": ["i3"], "where": {"kind": [0, 1]}}
    pages = [index.search(**asked, k=4, offset=offset) for offset in range(0, 120, 4)]
    shown = [match.id for page in pages for match in page[0]]
    assert len(shown) == len(set(shown))
    assert {*shown, "i1", "i2", "i3"} == {*of_kind(index, 0), *of_kind(index, 1), "i1", "i2", "i3"}
    assert shown[:10] == index.search(**asked, k=10).ids[0].tolist()


def test_several_queries_share_likes(index):
    photos = fs.VisualIndex(Mean())
    photos.add([_photo(n) for n in range(0, 250, 10)])
    found = photos.search([_photo(3), _photo(200)], like=[5], unlike=_photo(90), k=3)
    alone = photos.search(_photo(200), like=[5], unlike=[_photo(90)], k=3)
    assert found.ids.shape == (2, 3)
    assert found.ids[1].tolist() == alone.ids[0].tolist()


def _photo(level):
    pixels = np.full((4, 4, 3), level, np.uint8)
    pixels[..., 1] = 255 - level
    return pixels


def test_a_text_is_an_id_or_else_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = fs.VisualIndex(Mean())
    index.add([_photo(n) for n in (0, 10, 200, 210)], ids=["dark", "darker.png", "light", "lighter"])
    for name in ("darker.png", "new.png"):
        Image.fromarray(_photo(205)).save(name)
    assert index.search(like="darker.png", k=1).ids[0, 0] == "dark"  # the item, and not the file
    assert set(index.search(like="new.png", k=2).ids[0]) == {"light", "lighter"}
    assert index.search(like=Path("darker.png"), k=4).counts[0] == 4
    assert index.search(like=[Image.open("new.png"), "light"], k=1).ids[0, 0] == "lighter"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"like": "nobody"}, "like names 'nobody'.*no such file.*200"),
        ({"like": ["i1", "x", "y", 7]}, "like names 'x', 'y', 7"),
        ({"like": [f"x{n}" for n in range(9)]}, "'x4' and 4 more"),
        ({"id": "i1", "unlike": "x" * 5000}, "unlike names"),
        ({"like": "a\0b"}, "no such file"),
        ({"like": 3}, "id 3; the index holds 200; ids here are of type str"),
        ({"unlike": ["i1"]}, "only what is not wanted"),
        ({"like": ["i1"], "unlike": ["i1"]}, "both in like and in unlike"),
        ({"like": []}, "nothing says"),
        ({"like": {"i1": 2}}, "like: .*not an image"),
        ({"like": [3.5]}, "no encoder"),
    ],
)
def test_what_cannot_be_used_is_named(index, asked, message):
    with pytest.raises(errors.InputError, match=message):
        index.search(**asked)


def test_unknown_ids_raise_the_error_of_ids(index):
    with pytest.raises(errors.UnknownIdError):
        index.search(like="nobody")


def test_likes_need_the_cosine():
    index = fs.VisualIndex(dim=2, metric="euclidean")
    index.add_vectors([[1, 0], [0, 1]])
    with pytest.raises(errors.InputError, match="feedback can be weighed only by the cosine"):
        index.search(like=[0])


def test_small_and_empty_indexes_answer():
    photos = fs.VisualIndex(Mean())
    assert photos.search(like=_photo(3)).counts.tolist() == [0]
    photos.add([_photo(3)])
    assert photos.search(like=_photo(9)).ids.tolist() == [[0]]
    photos.add([_photo(3), _photo(3)])
    assert photos.search(like=[0], unlike=[1]).ids.tolist() == [[2]]


def test_what_cancels_out_alone_is_an_error():
    vectors = np.eye(2, dtype=np.float32)
    with pytest.raises(errors.InputError, match="cancel"):
        Feedback.given(None, np.zeros((0, 2), np.float32), vectors[:1], Whitening.fitted(vectors))


def test_goodness_is_high_near_likes_and_nothing_far_away():
    vectors, _ = groups(count=400)
    whitening = Whitening.fitted(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    term = Feedback.given(None, vectors[:1], vectors[1:2], whitening)
    rows = Rows(
        ["like", "unlike", "far"], np.stack([vectors[0], vectors[1], -vectors[2]]), [{}] * 3, [None] * 3
    )
    liked, unliked, far = term.scores(0, rows)
    assert liked > unliked
    assert liked > 1
    assert abs(far) < 0.2
    assert np.allclose(np.linalg.norm(term.probes, axis=1), 1, atol=1e-5)
    assert term.repeated(3).probes.shape == (3, DIM)
