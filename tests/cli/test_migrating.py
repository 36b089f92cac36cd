"""`fashionsearch migrate`: another encoder for a folder, gone on with, and gone back from."""

import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import cli


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "cnn"
    fs.create_backbone("cnn", weights=None, image_size=32).save(folder)
    return folder


@pytest.fixture
def catalogue(tmp_path, encoder):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, photo in enumerate(fs.datasets.make_catalogue(8, seed=0, size=(24, 32)).images):
        Image.fromarray(photo).save(photos / f"{number}.png")
    folder = tmp_path / "catalogue"
    assert cli.main(["index", str(photos), "--out", str(folder), "--encoder", str(encoder), "--sync"]) == 0
    return folder


def test_there_and_back_and_there_for_good(catalogue, tmp_path, capsys):
    assert cli.main(["migrate", str(catalogue), "--encoder", "fashion", "--keep-old"]) == 0
    assert "8 photos embedded again; the old vectors are kept" in capsys.readouterr().out
    with fs.VisualIndex.open(catalogue, read_only=True) as index:
        assert index.encoder.name == "fashion"
    assert cli.main(["migrate", str(catalogue), "--rollback"]) == 0
    with fs.VisualIndex.open(catalogue, read_only=True) as index:
        assert index.encoder.name == "cnn"
    assert cli.main(["migrate", str(catalogue), "--encoder", "fashion"]) == 0
    with fs.VisualIndex.open(catalogue, read_only=True) as index:
        assert (index.encoder.name, index.migration, len(index)) == ("fashion", None, 8)
    assert cli.main(["migrate", str(catalogue), "--rollback"]) == 1
    assert "isn't being migrated" in capsys.readouterr().err


def test_photos_that_are_gone(catalogue, tmp_path, capsys):
    (tmp_path / "photos" / "3.png").unlink()
    assert cli.main(["migrate", str(catalogue), "--encoder", "fashion"]) == 1
    told = capsys.readouterr().err
    assert "3.png: there is no file" in told
    assert "1 photos are missing" in told
    assert cli.main(["migrate", str(catalogue), "--encoder", "fashion", "--translate"]) == 0
    with fs.VisualIndex.open(catalogue, read_only=True) as index:
        assert (index.migration, len(index)) == (None, 8)
