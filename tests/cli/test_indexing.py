"""The commands of an index whose items are on a server."""

import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.cli import main


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        Image.fromarray(rng.integers(0, 256, (48, 36, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def place(tmp_path):
    return ["--engine", "qdrant", "--url", f"file:{tmp_path / 'qdrant'}", "--collection", "items"]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_photos_are_indexed_on_a_server_kept_in_step_and_searched(photos, place, tmp_path, capsys):
    out = tmp_path / "shop"
    assert run("index", photos, "--out", out, *place) == 0
    assert "4 photos in" in capsys.readouterr().out
    assert run("search", out, photos / "b.png", "-k", 1) == 0
    assert "b.png" in capsys.readouterr().out.splitlines()[1]
    (photos / "a.png").unlink()
    assert run("index", photos, "--out", tmp_path / "synced", "--sync", *place[:-1], "synced") == 0
    assert "3 photos in" in capsys.readouterr().out
    (photos / "b.png").unlink()
    assert run("index", photos, "--out", tmp_path / "synced", "--sync", *place[2:-1], "synced") == 0
    assert "2 photos in" in capsys.readouterr().out


def test_an_index_is_copied_to_a_server_and_back(photos, place, tmp_path, capsys):
    assert run("index", photos, "--out", tmp_path / "here") == 0
    for copied in ("4 of 4", "0 of 4"):
        assert run("index-copy", tmp_path / "here", tmp_path / "shop", *place) == 0
        assert f"{copied} items copied" in capsys.readouterr().out
    assert run("index-copy", tmp_path / "shop", tmp_path / "back") == 0
    assert "4 of 4 items copied" in capsys.readouterr().out
    with fs.VisualIndex.open(tmp_path / "back", read_only=True) as back:
        assert back.engine == "hnsw"
        assert len(back) == 4
    assert run("search", tmp_path / "shop", photos / "c.png", "-k", 1, "--url", place[3]) == 0
    assert "c.png" in capsys.readouterr().out


def test_what_was_learned_is_copied_to_a_server_and_back(place, tmp_path, capsys):
    table = fs.datasets.make_catalogue(60, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(table.images, metadata=table.metadata)
    index.calibrate("masterCategory")
    index.save(tmp_path / "here")
    assert run("index-copy", tmp_path / "here", tmp_path / "shop", *place) == 0
    assert run("index-copy", tmp_path / "shop", tmp_path / "back") == 0
    with fs.VisualIndex.open(tmp_path / "back", read_only=True) as back:
        assert "calibration" in back.learned
    capsys.readouterr()


def test_what_does_not_fit_is_told(photos, place, tmp_path, capsys):
    for arguments, told in (
        (
            ["index", photos, "--out", tmp_path / "x", "--url", "http://127.0.0.1:9"],
            "url= is for the engines",
        ),
        (["index", photos, "--out", tmp_path / "x", "--engine", "qdrant"], "url=None"),
        (
            ["index", photos, "--out", tmp_path / "x", "--sync", "--engine", "qdrant"],
            "keeps them on a server",
        ),
    ):
        assert run(*arguments) == 1
        assert told in capsys.readouterr().err
    assert run("index", photos, "--out", tmp_path / "here") == 0
    capsys.readouterr()
    assert run("index-copy", tmp_path / "here", tmp_path / "y", *place[2:]) == 1
    assert "--engine" in capsys.readouterr().err
    assert run("search", tmp_path / "here", photos / "a.png", "--url", "http://127.0.0.1:9") == 1
    assert "url=" in capsys.readouterr().err


def test_a_key_goes_to_a_server_that_was_named_and_to_no_other(monkeypatch):
    from fashionsearch.cli.inputs import key_of

    monkeypatch.setenv("QDRANT_API_KEY", "hush")
    assert key_of("http://127.0.0.1:9") == "hush"
    assert key_of(None) is None


def test_photos_are_embedded_in_shards_and_then_indexed(photos, place, tmp_path, capsys):
    assert run("embed", photos, "--out", tmp_path / "shards", "--shard-size", 3) == 0
    assert "4 photos embedded in 2 shards" in capsys.readouterr().out
    assert run("embed", photos, "--out", tmp_path / "shards", "--shard-size", 3) == 0
    assert "0 photos embedded in 2 shards, 4 were there" in capsys.readouterr().out
    for out, options in ((tmp_path / "here", []), (tmp_path / "shop", place)):
        for added in (4, 0):
            assert run("index", tmp_path / "shards", "--out", out, *(options if added else options[2:])) == 0
            assert f"{added} of 4 photos added" in capsys.readouterr().out
        assert run("search", out, photos / "c.png", "-k", 1) == 0
        assert "c.png" in capsys.readouterr().out


def test_an_index_learns_words_and_is_searched_by_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 20)
    shop = fs.datasets.make_catalogue(40, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    titles = [
        f"{one} {two} {number % 7}"
        for number, (one, two) in enumerate(zip(shop["baseColour"], shop["articleType"], strict=False))
    ]
    index.add(shop.images, metadata={"title": titles})
    out = tmp_path / "shop"
    index.save(out)
    assert run("search", out) == 1
    assert "name a photo, or give --text" in capsys.readouterr().err
    assert run("learn-text", out, "--titles", "titel") == 1
    assert "titel" in capsys.readouterr().err
    assert run("learn-text", out, "--titles", "title") == 0
    assert "words learned" in capsys.readouterr().out
    photo = tmp_path / "photo.png"
    Image.fromarray(shop.images[0]).save(photo)
    for options in ((), (photo, "--text-weight", 0.3), ("--text-match",)):
        assert run("search", out, *options, "--text", "red shirt", "-k", 2) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == (str(photo) if photo in options else "red shirt")
        assert len(lines) == 3


def test_chances_and_attributes_are_asked_for(tmp_path, capsys):
    shop = fs.datasets.make_catalogue(160, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(shop.images, metadata={"articleType": shop["articleType"]})
    index.save(tmp_path / "catalogue")
    photo = tmp_path / "photo.png"
    Image.fromarray(shop.images[0]).save(photo)
    assert run("search", tmp_path / "catalogue", photo, "--coverage", 0.95) == 1
    assert "call index.calibrate" in capsys.readouterr().err
    assert run("calibrate", tmp_path / "catalogue") == 0
    assert "AUC of the chances" in capsys.readouterr().out
    assert run("search", tmp_path / "catalogue", photo, "--min-probability", 0.01, "--json") == 0
    matches = json.loads(capsys.readouterr().out)["matches"]
    assert all(0 <= match["probability"] <= 1 for match in matches)
    assert run("search", tmp_path / "catalogue", "--towards", "baseColour=Red", "-k", 2) == 0
    assert capsys.readouterr().out.startswith("baseColour=Red\n")


def test_an_opened_folder_holds_the_photos_that_it_is_given_and_no_others(photos, tmp_path, capsys):
    network = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)
    out = tmp_path / "opened"
    with fs.VisualIndex.open(out, network, progress=False) as index:
        index.add([photos / "a.png", photos / "b.png"], ids=["a.png", "old"], metadata=[{"kind": "x"}] * 2)
    (photos / "bad.png").write_bytes(b"none")
    assert run("index", photos, "--out", out) == 1
    assert "bad.png" in capsys.readouterr().err
    assert run("index", photos, "--out", out, "--skip-bad", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["added"]), told["removed"], told["items"]) == (4, ["old"], 4)
    assert told["left_out"][0]["source"].endswith("bad.png")
    with fs.VisualIndex.open(out, read_only=True) as index:
        assert "old" not in index
        assert index.get("a.png").metadata.get("kind") != "x"
    assert run("index", photos, "--out", out, "--skip-bad", "--metric", "euclidean") == 1
    assert "was made with metric='cosine'" in capsys.readouterr().err
    assert run("index", photos, "--out", out, "--skip-bad", "--encoder", "fashion") == 1
    assert "vectors of 'cnn'" in capsys.readouterr().err
