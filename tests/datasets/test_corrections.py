"""The table of tags comes back with its photos, wherever they lie, and with what a person changed."""

import csv

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


def written(path, sources):
    """Write a table of tags of photos that are there, of which every second is corrected."""
    n = len(sources)
    for source in sources:
        if source is not None:
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(b"not looked at yet")
    tags = fs.Tags(
        value={"colour": np.array(["Pink"] * n, object)},
        confidence={"colour": np.full(n, 0.5)},
        sure={"colour": np.zeros(n, bool)},
        unfamiliar=np.zeros(n, bool),
        sources=np.array([None if source is None else str(source) for source in sources], object),
        threshold=0.95,
    )
    tags.to_csv(path)
    edit(path)
    return path


def edit(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows[::2]:
        row["colour"] = "Red"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_photos_anywhere_come_back(tmp_path, monkeypatch):
    inside, outside = tmp_path / "tags" / "photos" / "ä.png", tmp_path / "elsewhere" / "b.png"
    table = written(tmp_path / "tags" / "tags.csv", [inside, inside, outside, outside])
    images, corrections = fs.datasets.load_corrections(table)
    assert [image.resolve() for image in images] == [inside.resolve(), outside.resolve()]
    assert corrections == {"colour": ["Red", "Red"]}
    monkeypatch.chdir(inside.parent)
    assert [image.resolve() for image in fs.datasets.load_corrections("../tags.csv")[0]] == [
        inside.resolve(),
        outside.resolve(),
    ]


def test_relative_paths_start_from_the_working_directory(tmp_path, monkeypatch):
    from pathlib import Path

    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    table = written(
        Path("out/tags.csv"), [Path("photos/a.png"), None, Path("../b.png"), None, Path("out/c.png")]
    )
    with pytest.warns(errors.DataWarning, match="2 left out") as warned:
        images, _ = fs.datasets.load_corrections(table)
    assert warned[0].filename == __file__
    wanted = [tmp_path / "work/photos/a.png", tmp_path / "b.png", tmp_path / "work/out/c.png"]
    assert [image.resolve() for image in images] == [path.resolve() for path in wanted]


def test_a_folder_with_photos_and_their_table_can_be_moved(tmp_path):
    table = written(tmp_path / "shop" / "tags.csv", [tmp_path / "shop" / "photos" / "a.png"])
    moved = (tmp_path / "shop").rename(tmp_path / "archive")
    images, _ = fs.datasets.load_corrections(moved / table.name)
    assert images == [moved / "photos" / "a.png"]
    away = (moved / "tags.csv").rename(tmp_path / "tags.csv")
    assert fs.datasets.load_corrections(away, root=moved)[0] == images


def test_a_link_out_of_the_folder_is_followed(tmp_path):
    real, link = tmp_path / "disk" / "a.png", tmp_path / "shop" / "a.png"
    real.parent.mkdir()
    real.write_bytes(b"not looked at yet")
    link.parent.mkdir()
    link.symlink_to(real)
    table = written(tmp_path / "shop" / "tags.csv", [link])
    assert fs.datasets.load_corrections(table)[0] == [link]


def test_a_relative_path_that_leaves_the_folder_is_not(tmp_path):
    table = written(tmp_path / "shop" / "tags.csv", [tmp_path / "shop" / "a.png"])
    (tmp_path / "secret.png").write_bytes(b"")
    table.write_text(table.read_text(encoding="utf-8").replace("a.png", "../secret.png"), encoding="utf-8")
    with pytest.raises(errors.DataError, match="leaves"):
        fs.datasets.load_corrections(table)
