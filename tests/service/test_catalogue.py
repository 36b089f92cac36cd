"""Indexes of every kind are opened to be served."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fashionsearch as fs
from fashionsearch.service.catalogue import Catalogue, ToEmbed, ToSearch, check_changeable, open_index
from fashionsearch.service.schemas import Query
from fashionsearch.service.tokens import Tokens

WRITES = {"writable": True, "tokens": Tokens("w" * 20)}
BEARER = {"Authorization": "Bearer " + "w" * 20}


def test_saved_and_opened_ones_are_read(saved: Path, opened: Path) -> None:
    for folder in (saved, opened):
        index = open_index(folder, writing=False)
        assert len(index) == 24
        assert not index.show_photos
        index.close()


def test_a_saved_one_is_not_changed_and_stays_what_it_is(saved: Path) -> None:
    with pytest.raises(fs.errors.InputError, match=r"VisualIndex\.open"):
        open_index(saved, writing=True)
    assert len(fs.VisualIndex.load(saved, progress=False)) == 24


def test_who_writes_may_leave_the_encoder_unread(opened: Path) -> None:
    assert check_changeable(opened)
    index = open_index(opened, writing=True, embeds=False)
    with pytest.raises(fs.errors.InputError):
        index.encoder.embed([])
    index.update("item/1", {"price": 5})
    index.close()
    with open_index(opened, writing=False) as index:
        assert index.get("item/1").metadata["price"] == 5
        assert index.encoder.embed(fs.datasets.make_catalogue(1).images).shape == (1, 256)


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fs.errors.StorageError):
        open_index(tmp_path, writing=False)


def test_an_address_is_for_a_server(opened: Path) -> None:
    with pytest.raises(fs.errors.InputError, match="--url"):
        open_index(opened, writing=False, url="http://127.0.0.1:9")


def test_items_on_a_server_are_read_and_changed(client: Callable, tmp_path: Path) -> None:
    url = f"file:{tmp_path / 'qdrant'}"
    made = fs.VisualIndex(dim=2, engine="qdrant", url=url, collection="items", progress=False)
    made.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata={"colour": ["red", "blue"]})
    made.save(tmp_path / "folder")
    made.close()
    assert not check_changeable(tmp_path / "folder")
    ask = client(open_index(tmp_path / "folder", writing=True, url=url), **WRITES)
    found = ask.post("/search", {"vector": [0, 1], "k": 2, "where": {"colour": ["red", "blue"]}}).json()
    assert [match["id"] for match in found["matches"]] == ["b", "a"]
    assert ask.post("/items", {"id": "c", "vector": [1, 1]}, headers=BEARER).json() == {"id": "c", "items": 3}
    assert ask("DELETE", "/items/c", headers=BEARER).json() == {"id": "c", "items": 2}
    assert ask("GET", "/items/c").status_code == 404
    assert ask("GET", "/ready").status_code == 200


def test_a_tagger_is_the_one_that_is_named_or_the_indexes_own(saved: Path) -> None:
    index = fs.VisualIndex.load(saved, progress=False)
    own, named = Catalogue(index), Catalogue(index, "fashion")
    assert not own.has_tagger
    assert own.tagger.attributes_ == named.tagger.attributes_
    assert own.tagger is own.tagger
    for wrong in ("no-such-tagger", "no-such/tagger"):  # which the hub might have
        with pytest.raises(fs.errors.StorageError, match="there is no such folder"):
            Catalogue(index, wrong).tagger  # noqa: B018


class Brightness:
    """Embeds a photo as its mean colour: a black one as nothing, and one of few pixels not at all."""

    dim = 3

    def embed(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if any(len(image) < 4 for image in images):
            raise ValueError("too small")
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)


def test_a_photo_that_can_not_be_searched_by_is_no_matter_of_the_others() -> None:
    index = fs.VisualIndex(Brightness(), progress=False)
    index.add([np.full((8, 8, 3), 200, np.uint8)], ids=["a"])
    grey, black, small = (np.full((side, 8, 3), value, np.uint8) for side, value in ((8, 90), (8, 0), (2, 9)))
    jobs = [ToSearch(grey, Query()), ToSearch(black, Query()), ToEmbed(small), ToSearch(grey, Query(k=1))]
    found = Catalogue(index).work(jobs)
    assert [each[0]["id"] for each in (found[0], found[3])] == ["a", "a"]
    assert isinstance(found[1], fs.errors.InputError)
    assert isinstance(found[2], ValueError)
