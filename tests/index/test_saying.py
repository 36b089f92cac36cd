"""What an index does about backgrounds: when photos are added, searched by, kept in step, and when it comes back."""

import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.background import fuse
from fashionsearch.errors import CorruptFileError, EncoderMismatchError, InputError


@pytest.fixture(scope="module")
def encoder():
    return fs.create_backbone(
        "cnn", weights=None, image_size=32, random_state=0, runtime="torch", progress=False
    )


def photo(place, colour):
    """Return a square of a colour on white ground, at a place."""
    pixels = np.full((60, 45, 3), 255, np.uint8)
    pixels[place : place + 12, place : place + 16] = colour
    return pixels


PHOTOS = [photo(n, (20 * n, 200 - 15 * n, 90)) for n in range(2, 12)]
QUERIES = [photo(20, (40, 170, 90)), photo(1, (180, 65, 90))]


def nearest(queries, items, k):
    one, other = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, items))
    return np.sort(one @ other.T)[:, ::-1][:, :k]


@pytest.mark.parametrize("kept", ["keep", "fuse"])
@pytest.mark.parametrize("asked", ["keep", "fuse", None])
def test_photos_and_queries_are_fused_where_it_is_asked_for(kept, asked, encoder):
    index = fs.VisualIndex(encoder, background=kept)
    assert index.background == kept
    index.add(PHOTOS)
    found = index.search(QUERIES, k=10, background=asked)
    items = fuse(encoder, PHOTOS) if kept == "fuse" else encoder.embed(PHOTOS)
    queries = fuse(encoder, QUERIES) if (asked or kept) == "fuse" else encoder.embed(QUERIES)
    np.testing.assert_allclose(found.similarities, nearest(queries, items, 10), atol=1e-5)


def test_the_place_of_a_thing_in_its_photo_counts_less(encoder):
    moved = [photo(25, (20 * n, 200 - 15 * n, 90)) for n in range(2, 12)]
    similarities = {}
    for background in ("keep", "fuse"):
        index = fs.VisualIndex(encoder, background=background)
        index.add(PHOTOS)
        similarities[background] = index.search(moved, k=1).similarities.mean()
    assert similarities["fuse"] > similarities["keep"]


def test_a_region_is_cut_first(encoder):
    index = fs.VisualIndex(encoder)
    index.add(PHOTOS)
    pair = np.concatenate([QUERIES[0], QUERIES[1]], axis=1)
    found = index.search(pair, k=10, region=(0, 0, 0.5, 1), background="fuse")
    np.testing.assert_allclose(
        found.similarities, index.search(QUERIES[0], k=10, background="fuse").similarities, atol=1e-5
    )


def test_it_is_kept_with_the_index(encoder, tmp_path):
    index = fs.VisualIndex(encoder, background="fuse")
    index.add(PHOTOS)
    index.save(tmp_path / "saved")
    assert fs.VisualIndex.load(tmp_path / "saved").background == "fuse"
    with fs.VisualIndex.open(tmp_path / "saved") as opened:
        assert opened.background == "fuse"
        np.testing.assert_allclose(
            opened.search(QUERIES).similarities, index.search(QUERIES).similarities, atol=1e-5
        )
    with pytest.raises(InputError, match="made with background='fuse'"):
        fs.VisualIndex.open(tmp_path / "saved", background="keep")
    with fs.VisualIndex.open(tmp_path / "new", encoder, background="fuse") as opened:
        opened.add(PHOTOS[:2])
    with fs.VisualIndex.open(tmp_path / "new") as opened:
        assert opened.background == "fuse"


def test_an_index_of_an_older_version_keeps_backgrounds(encoder, tmp_path):
    index = fs.VisualIndex(encoder)
    index.add(PHOTOS)
    index.save(tmp_path / "saved")
    assert fs.VisualIndex.load(tmp_path / "saved").background == "keep"
    config = json.loads(next((tmp_path / "saved").glob("*/index.json")).read_text())
    assert config["background"] == "keep"


def test_a_folder_is_synced_with_it(encoder, tmp_path):
    for n, pixels in enumerate(PHOTOS[:4]):
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    index = fs.VisualIndex(encoder, background="fuse")
    assert len(index.sync(tmp_path).added) == 4
    found = index.search(PHOTOS[1], k=1)
    assert found.ids[0, 0] == "1.png"
    assert found.similarities[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("background", ["remove", None, True, 3])
def test_other_values_are_refused(background, encoder):
    with pytest.raises(InputError, match=r"background=.* is not one of keep, fuse"):
        fs.VisualIndex(encoder, background=background)


def test_what_does_not_go_together_is_refused(encoder):
    with pytest.raises(InputError, match=r"background='fuse' can be weighed only by the cosine"):
        fs.VisualIndex(encoder, metric="euclidean", background="fuse")
    far = fs.VisualIndex(encoder, metric="euclidean")
    far.add(PHOTOS)
    with pytest.raises(InputError, match=r"background='fuse' can be weighed only by the cosine"):
        far.search(QUERIES, background="fuse")
    with pytest.raises(InputError, match="background='blur' is not one of keep, fuse"):
        far.search(QUERIES, background="blur")
    one, other = fs.VisualIndex(encoder), fs.VisualIndex(encoder, background="fuse")
    one.add(PHOTOS)
    with pytest.raises(EncoderMismatchError, match="background='keep', and there with 'fuse'"):
        one.copy_to(other)
    with pytest.raises(InputError, match="shards hold embeddings of whole photos"):
        other.add_shards("anywhere")
    assert len(other) == 0


def test_a_damaged_value_is_named(encoder, tmp_path):
    index = fs.VisualIndex(encoder)
    index.save(tmp_path / "saved")
    file = next((tmp_path / "saved").glob("*/index.json"))
    manifest = tmp_path / "saved" / "manifest.json"
    text = file.read_text().replace('"keep"', '"blur"')
    file.write_text(text)
    import hashlib

    noted = json.loads(manifest.read_text())
    old = noted["files"]["index.json"]
    new = hashlib.sha256(text.encode()).hexdigest()
    manifest.write_text(manifest.read_text().replace(old if isinstance(old, str) else old["sha256"], new))
    with pytest.raises(CorruptFileError):
        fs.VisualIndex.load(tmp_path / "saved")
