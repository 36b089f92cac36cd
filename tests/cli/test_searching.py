"""`fashionsearch search` by photos, ids and vectors, with tags, and without reading what it doesn't need."""

import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import embedding
from fashionsearch.cli import main
from fashionsearch.index import encoders

pytestmark = pytest.mark.usefixtures("shared_cache")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def answer(capsys, *arguments):
    capsys.readouterr()
    assert run(*arguments, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop")
    for number, photo in enumerate(fs.datasets.make_catalogue(12, seed=4).images):
        Image.fromarray(photo).save(root / f"{number}.png")
    index = fs.VisualIndex("fashion", progress=False)
    index.add([root / f"{number}.png" for number in range(12)], ids=range(12))
    index.save(root / "saved")
    index.save(root / "opened")
    fs.VisualIndex.open(root / "opened").close()
    return root


@pytest.fixture
def passes(monkeypatch):
    """Return the list of how many photos each pass of a network saw."""
    seen = []
    real = embedding.Pipeline.batches

    def counted(self, source, **options):
        for batch in real(self, source, **options):
            seen.append(len(batch.vectors))
            yield batch

    monkeypatch.setattr(embedding.Pipeline, "batches", counted)
    return seen


@pytest.mark.parametrize("folder", ["saved", "opened"])
def test_tags_and_matches_come_from_one_pass(folder, shop, passes, capsys):
    photos = [shop / "3.png", shop / "4.png"]
    found = answer(capsys, "search", shop / folder, *photos, "--tag", "-k", 2)
    assert passes == [2]
    tagger = fs.Tagger.from_pretrained("fashion")
    expected = tagger.tag(photos).to_rows()
    assert [each["query"] for each in found] == [str(photo) for photo in photos]
    for row, each in zip(expected, found, strict=True):
        assert each["tags"] == {name: value for name, value in row.items() if name != "image"}
    plain = answer(capsys, "search", shop / folder, *photos, "-k", 2)
    assert [each["matches"] for each in plain] == [each["matches"] for each in found]
    assert "tags" not in plain[0]


def test_tags_are_printed_below_their_photo(shop, capsys):
    capsys.readouterr()
    assert run("search", shop / "saved", shop / "3.png", "--tag", "-k", 1) == 0
    photo, tags, first = capsys.readouterr().out.splitlines()
    assert photo == str(shop / "3.png")
    assert len(tags.split(", ")) == 7
    assert first.split()[:2] == ["1.0000", "3"]


def test_another_tagger_is_asked_for_tags_where_the_index_has_none(shop, tmp_path, passes, capsys):
    index = fs.VisualIndex(
        fs.create_backbone("cnn", weights=None, image_size=32, random_state=0), progress=False
    )
    index.add([shop / "3.png", shop / "4.png"])
    index.save(tmp_path / "index")
    passes.clear()
    assert run("search", tmp_path / "index", shop / "3.png", "--tag") == 1
    assert "--tag asks a tagger, and this index's encoder is none" in capsys.readouterr().err
    (found,) = answer(capsys, "search", tmp_path / "index", shop / "3.png", "--tag", "--tagger", "fashion")
    assert found["tags"]["articleType"]
    assert found["matches"][0]["id"] == 0
    assert passes == [1, 1], "two networks"


@pytest.mark.parametrize("folder", ["saved", "opened"])
def test_a_search_by_id_or_vector_reads_no_encoder(folder, shop, tmp_path, monkeypatch, capsys):
    def read(*_):
        raise AssertionError("the encoder was read")

    monkeypatch.setattr(encoders, "_read", read)
    (found,) = answer(capsys, "search", shop / folder, "--id", 3, "-k", 2)
    assert found["query"] == "like 3"
    assert 3 not in [match["id"] for match in found["matches"]]
    liked = answer(capsys, "search", shop / folder, "--like", 3, "-k", 2)
    assert liked[0]["matches"][0]["id"] == found["matches"][0]["id"]
    index = fs.VisualIndex.load(shop / "saved", encoder=encoders_of(shop / "saved"))
    vector = index.get(3).vector
    np.save(tmp_path / "v.npy", vector)
    (found,) = answer(capsys, "search", shop / folder, "--vectors", tmp_path / "v.npy", "-k", 1)
    assert found["matches"][0]["id"] == 3
    np.savez(tmp_path / "v.npz", embeddings=[vector] * 2, images=["a.jpg", "b.jpg"])
    found = answer(capsys, "search", shop / folder, "--vectors", tmp_path / "v.npz", "-k", 1)
    assert [each["query"] for each in found] == ["a.jpg", "b.jpg"]


def encoders_of(folder):
    from fashionsearch.index.snapshot import unread_encoder

    return unread_encoder(folder)


def test_a_liked_photo_is_looked_at(shop, capsys):
    (found,) = answer(capsys, "search", shop / "saved", "--like", shop / "3.png", "-k", 1)
    assert found["matches"][0]["id"] == 3


def test_chances_are_told_also_where_the_encoder_stays_unread(shop, tmp_path, capsys):
    """They are a tagger's view of the query, which is read for that."""
    rng = np.random.default_rng(0)
    index = fs.VisualIndex(fs.Tagger.from_pretrained("fashion"), progress=False)
    centres = rng.normal(size=(6, 256))
    kinds = ["Shirts", "Jeans", "Watches", "Heels", "Ties", "Belts"]
    vectors = np.repeat(centres, 20, axis=0) + 3 * rng.normal(size=(120, 256))
    index.add_vectors(vectors, ids=range(120), metadata={"articleType": np.repeat(kinds, 20).tolist()})
    index.calibrate(field="articleType")
    index.save(tmp_path / "index")
    expected = index.search(id=5, k=3)
    (found,) = answer(capsys, "search", tmp_path / "index", "--id", 5, "-k", 3)
    assert [match["probability"] for match in found["matches"]] == pytest.approx(
        expected.probabilities[0].tolist(), abs=1e-3
    )


def test_bad_photos_are_left_out_and_named(shop, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    words = ("search", shop / "saved", bad, shop / "3.png", tmp_path / "gone.jpg", "-k", 1)
    assert run(*words) == 1
    capsys.readouterr()
    assert run(*words, "--skip-bad", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["query"] == str(shop / "3.png")
    assert told.err.count("left out: ") == 2
    assert run("search", shop / "saved", bad, "--skip-bad") == 1
    assert "bad.jpg" in capsys.readouterr().err


def test_a_file_of_vectors_that_is_none_is_one_line(shop, tmp_path, capsys):
    np.savez(tmp_path / "two.npz", embeddings=np.ones((2, 256)), images=["a.jpg"])
    (tmp_path / "torn.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:300])
    np.savez(tmp_path / "one.npz", embeddings=1.0, images=["a.jpg"])
    for name, told in (
        ("two", "it has 2 embeddings and 1 images"),
        ("torn", "File is not a zip file"),
        ("one", ""),
    ):
        assert run("search", shop / "saved", "--vectors", tmp_path / f"{name}.npz") == 1
        assert f"{name}.npz can't be read: {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tag", "--id", 3), "--tag tells what is on a photo"),
        (("photo.jpg", "--vectors", "v.npy"), "photos and --vectors both say"),
        (("--id", 3, "--tagger", "fashion"), "--tagger says what --tag and --towards ask"),
        (("--vectors", "none.npy"), "--vectors none.npy can't be read"),
        (("--id", 99), "no item has the id 99"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, shop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").touch()
    assert run("search", shop / "saved", *arguments) == 1
    assert message in capsys.readouterr().err
