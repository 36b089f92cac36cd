"""Folders of class folders, with and without train/ and test/ above them."""

import os

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return folder


def test_class_folders(tmp_path):
    make(
        tmp_path,
        "shoe/b.JPG",
        "shoe/a.png",
        "dress/deep/er/c.webp",
        "dress/d.tiff",
        ".hidden/x.jpg",
        "dress/.DS_Store",
    )
    (tmp_path / "empty").mkdir()
    table = fs.datasets.load_folder(tmp_path)
    assert table["id"].tolist() == ["dress/d.tiff", "dress/deep/er/c.webp", "shoe/a.png", "shoe/b.JPG"]
    assert table["label"].tolist() == ["dress", "dress", "shoe", "shoe"]
    assert table.images[2] == tmp_path / "shoe" / "a.png"
    assert table.report.left_out == ()


def test_what_a_folder_leaves_out(tmp_path):
    root = make(tmp_path / "root", "A/a.jpg", "A/notes.txt", "loose.jpg")
    make(tmp_path, "outside.jpg")
    for name, target in {
        "out": "../../outside.jpg",
        "loop": "loop.jpg",
        "broken": "nowhere",
        "good": "a.jpg",
    }.items():
        (root / "A" / f"{name}.jpg").symlink_to(target)
    (root / "A" / "around").symlink_to(root)
    with pytest.warns(errors.DataWarning, match="left out, first"):
        table = fs.datasets.load_folder(root)
    assert table["id"].tolist() == ["A/a.jpg", "A/good.jpg"]
    reasons = dict(note.split(": ", 1) for note in table.report.left_out)
    assert set(reasons) == {"A/notes.txt", "loose.jpg", "A/out.jpg", "A/loop.jpg", "A/broken.jpg", "A/around"}
    assert reasons["A/out.jpg"].startswith("is a link and leaves")
    assert "can't be followed" in reasons["A/loop.jpg"] or "no file" in reasons["A/loop.jpg"]
    assert reasons["A/broken.jpg"] == "is a link and leads to no file"


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf8(tmp_path, photo):
    (tmp_path / "A").mkdir()
    try:
        (tmp_path / "A" / "\udcff\n.jpg").write_bytes(photo())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    table = fs.datasets.load_folder(tmp_path)
    assert fs.check_images(table.images).failures == ()


@pytest.mark.parametrize("names", [(), ("loose.jpg",), ("A/notes.txt",)])
def test_folders_without_photos(names, tmp_path):
    with pytest.raises(errors.DataError, match="holds no photos"):
        fs.datasets.load_folder(make(tmp_path, *names))
    with pytest.raises(errors.DataError, match="there is no such folder"):
        fs.datasets.load_folder(tmp_path / "nowhere")


@pytest.mark.data
def test_the_real_folder(real_data):
    table = fs.datasets.load_folder(real_data / "clothing-dataset-small" / "train")
    assert len(np.unique(table["label"])) == 10


def test_train_and_test_folders_are_parts_and_not_classes(tmp_path):
    root = make(tmp_path, "train/shoe/a.png", "train/dress/b.png", "test/shoe/c.png", "Val/dress/deep/d.png")
    table = fs.datasets.load_folder(root)
    assert dict(zip(table["id"].tolist(), table["label"].tolist(), strict=True)) == {
        "train/shoe/a.png": "shoe",
        "train/dress/b.png": "dress",
        "test/shoe/c.png": "shoe",
        "Val/dress/deep/d.png": "dress",
    }
    assert table["split"].tolist() == ["validation", "test", "train", "train"]
    assert "split" not in fs.datasets.load_folder(root / "train").columns
    assert "split" not in fs.datasets.load_folder(root, labelled=False).columns


def test_a_training_folder_alone_is_a_part_too(tmp_path):
    table = fs.datasets.load_folder(make(tmp_path, "train/shoe/a.png", "train/dress/b.png"))
    assert table["label"].tolist() == ["dress", "shoe"]
    assert table["split"].tolist() == ["train", "train"]


def test_a_photo_outside_the_classes_of_a_part_is_left_out_by_name(tmp_path):
    root = make(tmp_path, "train/shoe/a.png", "test/shoe/b.png", "test/loose.png")
    with pytest.warns(errors.DataWarning, match=r"test/loose\.png: lies in no class folder"):
        assert len(fs.datasets.load_folder(root)) == 2


def test_parts_without_classes_are_refused_with_a_way_to_load_them(tmp_path):
    root = make(tmp_path, "train/a.png", "test/b.png")
    with pytest.raises(errors.DataError, match=r"holds no photos in class folders .*labelled=False"):
        fs.datasets.load_folder(root)
    assert len(fs.datasets.load_folder(root, labelled=False)) == 2


def test_parts_beside_classes_are_refused(tmp_path):
    root = make(tmp_path, "train/shoe/a.png", "test/shoe/b.png", "shoe/c.png")
    with pytest.raises(errors.DataError, match=r"holds test/, train/ beside shoe/, .*such as .*test"):
        fs.datasets.load_folder(root)


def test_a_toy_train_is_a_class(tmp_path):
    table = fs.datasets.load_folder(make(tmp_path, "train/a.png", "car/b.png", "plane/c.png"))
    assert table["label"].tolist() == ["car", "plane", "train"]


def test_one_folder_around_the_classes_is_told(tmp_path):
    root = make(tmp_path, "images/shoe/a.png", "images/dress/b.png")
    with pytest.warns(errors.DataWarning, match=r"one class folder 'images'.*load .*images$"):
        fs.datasets.load_folder(root)


def test_two_spellings_of_a_name_are_one_class(tmp_path):
    table = fs.datasets.load_folder(make(tmp_path, "caf\u00e9/a.png", "cafe\u0301/b.png", "x/c.png"))
    assert sorted(set(table["label"].tolist())) == ["caf\u00e9", "x"]


def test_the_reason_why_nothing_is_left_is_said(tmp_path):
    root = make(tmp_path / "root", "A/notes.txt")
    (root / "A" / "a.jpg").symlink_to("../../outside.jpg")
    make(tmp_path, "outside.jpg")
    with pytest.raises(
        errors.DataError, match=r"holds no photos in class folders \(2 .*a\.jpg: is a link and leaves"
    ):
        fs.datasets.load_folder(root)
