import os

import PIL.Image

from fashionsearch.app.pictures import Pictures
from fashionsearch.index.photos import Photos


def test_pictures_are_kept_and_made_anew_where_a_file_has_changed(tmp_path):
    pictures, path = Pictures(Photos(None), most=2), tmp_path / "a.png"
    PIL.Image.new("RGB", (600, 300), "red").save(path)
    first = pictures.of("a", str(path))
    assert first.startswith("data:image/jpeg;base64,")
    assert pictures.of("a", str(path)) is first
    PIL.Image.new("RGB", (300, 300), "blue").save(path)
    os.utime(path, (1, 1))
    assert pictures.of("a", str(path)) != first
    for name in "bcd":
        PIL.Image.new("RGB", (30, 30), "green").save(tmp_path / f"{name}.png")
        pictures.of(name, str(tmp_path / f"{name}.png"))
    assert len(pictures._kept) == 2


def test_what_is_no_photo_has_no_picture(tmp_path):
    (tmp_path / "words.txt").write_text("root:x:0:0")
    os.mkfifo(tmp_path / "pipe")
    pictures = Pictures(Photos(None))
    for source in (
        None,
        str(tmp_path),
        str(tmp_path / "words.txt"),
        str(tmp_path / "pipe"),
        "gone.png",
        "a\0b",
    ):
        assert pictures.of("a", source) is None


def test_a_folder_of_photos_is_never_left(tmp_path):
    (tmp_path / "photos").mkdir()
    for path in (tmp_path / "secret.png", tmp_path / "photos" / "a.png"):
        PIL.Image.new("RGB", (30, 30), "red").save(path)
    pictures = Pictures(Photos(tmp_path / "photos"))
    assert pictures.of("a", None) is not None
    assert pictures.of("../secret", str(tmp_path / "secret.png")) is None
    assert pictures.of("/etc/passwd", "/etc/passwd") is None


def test_no_file_is_opened_where_none_may_be(tmp_path):
    PIL.Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    assert Pictures(None).of("a", str(tmp_path / "a.png")) is None
