"""An index in step with a folder: what is embedded, what is removed, and what goes on after a crash."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import sync as syncing


class Encoder:
    """Mean colours, and how many photos were asked for."""

    dim = 3

    def __init__(self):
        self.embedded = 0

    def embed(self, images):
        from fashionsearch.images import iterate, read_image

        photos = list(iterate(images))
        self.embedded += len(photos)
        return np.stack([read_image(photo).mean(axis=(0, 1)) for photo in photos]).astype(np.float32) + 1


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "photos"
    for number, photo in enumerate(fs.datasets.make_catalogue(8, seed=1, size=(24, 32)).images):
        path = folder / ("shoes" if number < 3 else "hats") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(photo)).save(path)
    return folder


@pytest.fixture(params=["memory", "opened"])
def index(request, tmp_path):
    encoder = Encoder()
    if request.param == "memory":
        made = fs.VisualIndex(encoder, progress=False)
    else:
        made = fs.VisualIndex.open(tmp_path / "catalogue", encoder, progress=False)
    encoder.embedded = 0  # an encoder is recognised by how it embeds a picture
    with made:
        yield made


def repaint(path, colour):
    Image.fromarray(np.full((32, 24, 3), colour, np.uint8)).save(path)


def test_only_what_is_new_or_changed_is_embedded(index, shop):
    done = index.sync(shop)
    assert (len(done.added), index.encoder.embedded) == (8, 8)
    assert "shoes/0.png" in index
    assert index.get("shoes/0.png").metadata == {}
    assert index.sync(shop) == fs.results.Synced(kept=8)
    assert index.encoder.embedded == 8
    repaint(shop / "shoes" / "0.png", 7)
    (shop / "hats" / "4.png").unlink()
    repaint(shop / "new.png", 200)
    os.utime(shop / "hats" / "5.png")  # touched, and the same
    done = index.sync(shop)
    assert (done.added, done.changed, done.removed, done.kept) == (
        ("new.png",),
        ("shoes/0.png",),
        ("hats/4.png",),
        6,
    )
    assert index.encoder.embedded == 10
    np.testing.assert_allclose(index.get("shoes/0.png").vector, 8)
    assert repr(done) == "Synced: 1 added, 1 changed, 1 removed, 6 as they were"


def test_a_folder_that_moved_is_not_embedded_again(index, shop):
    index.sync(shop)
    moved = shop.with_name("moved")
    shutil.copytree(shop, moved)
    assert index.sync(moved).kept == 8
    assert index.encoder.embedded == 8
    assert index.get("shoes/0.png").source == str(moved / "shoes" / "0.png")


def test_what_can_not_be_read_is_told_and_what_was_there_stays(index, shop):
    index.sync(shop)
    before = index.get("shoes/1.png").vector
    (shop / "shoes" / "1.png").write_bytes(b"half of a photo")
    (shop / "bad.png").write_bytes(b"none")
    done = index.sync(shop)
    assert sorted(failure.source.rsplit("/")[-1] for failure in done.failures) == ["1.png", "bad.png"]
    assert "can't be read" in repr(done)
    assert "bad.png" not in index
    np.testing.assert_array_equal(index.get("shoes/1.png").vector, before)
    repaint(shop / "shoes" / "1.png", 9)
    assert index.sync(shop).changed == ("shoes/1.png",)


def test_a_table_gives_ids_and_metadata(index, shop):
    paths = sorted(shop.rglob("*.png"))
    data = {"id": [f"sku{n}" for n in range(8)], "price": [str(n) for n in range(8)], "old": ["x"] * 8}
    index.sync(shop, fs.datasets.Table(paths, data))
    assert index.get("sku3").metadata["price"] == 3
    del data["old"]
    data["price"][3] = "30"
    paths[5].unlink()
    done = index.sync(shop, fs.datasets.Table(paths, data))
    assert (done.kept, done.removed, index.encoder.embedded) == (7, ("sku5",), 8)
    assert done.failures[0].reason == "there is no such file"
    assert {"price": 30}.items() <= index.get("sku3").metadata.items()
    assert "old" not in index.get("sku3").metadata
    with pytest.raises(errors.InputError, match="are not all files"):
        index.sync(shop, fs.datasets.make_catalogue(3))


def test_items_that_were_added_otherwise_stay(index, shop):
    index.add_vectors([[1, 2, 3]], ids=["by hand"])
    index.sync(shop)
    (shop / "hats" / "4.png").unlink()
    assert index.sync(shop).removed == ("hats/4.png",)
    assert "by hand" in index


def test_an_empty_or_missing_folder_removes_nothing(index, shop):
    index.sync(shop)
    shutil.rmtree(shop)
    with pytest.raises(errors.DataError, match="there is no such folder"):
        index.sync(shop)
    shop.mkdir()
    with pytest.raises(errors.DataError, match="holds no photos"):
        index.sync(shop)
    assert len(index) == 8


def test_an_interrupted_one_goes_on_where_it_was(index, shop, monkeypatch):
    monkeypatch.setattr(syncing, "_AT_ONCE", 3)
    embed, calls = Encoder.embed, []

    def interrupted(self, images):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "embed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.sync(shop)
    assert len(index) == 6
    done = index.sync(shop)
    assert (len(done.added), done.kept, index.encoder.embedded) == (2, 6, 8)


def test_a_file_that_is_written_to_meanwhile_is_looked_at_again(index, shop, monkeypatch):
    embed = Encoder.embed

    def slow(self, images):
        vectors = embed(self, images)
        repaint(shop / "shoes" / "2.png", 99)
        return vectors

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "embed", slow)
        index.sync(shop)
    assert index.sync(shop).changed == ("shoes/2.png",)
    np.testing.assert_allclose(index.get("shoes/2.png").vector, 100)


def test_what_it_notes_of_a_file_is_shown_to_nobody_and_kept(tmp_path, shop):
    index = fs.VisualIndex(encoder := Encoder(), progress=False)
    index.sync(shop)
    assert index.search(shop / "shoes" / "0.png", k=1)[0][0].metadata == {}
    with pytest.raises(errors.InputError, match=r"the fields are \(none"):
        index.search_vectors([1, 1, 1], where={"file": "x"})
    with pytest.raises(errors.InputError, match="are the library's own"):
        index.update("shoes/0.png", {"\0file": "x"})
    index.update("shoes/0.png", {"sold": True})
    index.save(tmp_path / "saved")
    again = fs.VisualIndex.load(tmp_path / "saved", encoder=encoder)
    encoder.embedded = 0
    assert again.sync(shop).kept == 8
    assert encoder.embedded == 0
    repaint(shop / "shoes" / "0.png", 5)
    assert again.sync(shop).changed == ("shoes/0.png",)
    assert again.get("shoes/0.png").metadata == {"sold": True}, "what a folder knows nothing of stays"


def test_an_update_that_comes_while_photos_are_embedded_stays(index, shop, monkeypatch):
    index.sync(shop)
    repaint(shop / "shoes" / "0.png", 5)
    embed = Encoder.embed

    def slow(self, images):
        index.update("shoes/0.png", {"sold": True})
        return embed(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "embed", slow)
        assert index.sync(shop).changed == ("shoes/0.png",)
    assert index.get("shoes/0.png").metadata == {"sold": True}


def test_items_of_a_folder_that_can_not_be_looked_into_stay(index, shop, monkeypatch):
    index.sync(shop)
    scan = os.scandir

    def closed(path):
        if str(path).endswith("shoes"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", closed)
        with pytest.warns(errors.DataWarning, match="Permission denied"):
            done = index.sync(shop)
    assert done.removed == ()
    assert len(index) == 8
    assert [(failure.source, failure.reason) for failure in done.failures] == [("shoes", "Permission denied")]


def test_metadata_that_only_look_equal_are_told_apart(index, shop):
    paths = sorted(shop.rglob("*.png"))
    data = {"id": [str(n) for n in range(8)], "n": ["1"] * 8}
    index.sync(shop, fs.datasets.Table(paths, data))
    assert index.get("0").metadata["n"] == 1
    index.sync(shop, fs.datasets.Table(paths, {**data, "n": ["true"] * 8}))
    assert index.get("0").metadata["n"] is True
