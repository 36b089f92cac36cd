"""Where the photos of items are."""

from pathlib import Path

import pytest

from fashionsearch import errors
from fashionsearch.index.photos import Photos


def test_in_a_folder_by_name(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "7.png", "sub/b.jpg", "source.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (tmp_path / "secret.jpg").write_bytes(b"")
    photos = Photos(folder)
    assert photos.find("a.jpg", None) == folder / "a.jpg"
    assert photos.find("a", None) == folder / "a.jpg"
    assert photos.find(7, None) == folder / "7.png"
    assert photos.find("sub/b.jpg", None) == folder / "sub/b.jpg"
    assert photos.find("x", "/gone/source.jpg") == folder / "source.jpg"
    for outside in ("../secret.jpg", "../secret", str(tmp_path / "secret.jpg"), "sub", "none"):
        with pytest.raises(LookupError, match="has no photo of its name"):
            photos.find(outside, None)
    assert not photos.are_given


def test_given_or_where_they_were_added_from(tmp_path):
    assert Photos({"a": 5}).find("a", None) == 5
    assert Photos({"a": 5}).are_given
    with pytest.raises(LookupError, match="photos= has none of it"):
        Photos({"a": 5}).find("b", None)
    (tmp_path / "a.jpg").write_bytes(b"")
    assert Photos(None).find("a", str(tmp_path / "a.jpg")) == tmp_path / "a.jpg"
    with pytest.raises(LookupError, match="there is no file"):
        Photos(None).find("a", str(tmp_path / "b.jpg"))
    with pytest.raises(LookupError, match="without a path"):
        Photos(None).find("a", None)
    with pytest.raises(errors.InputError, match="neither a mapping"):
        Photos(3)


def test_a_name_that_no_file_can_have_is_not_there(tmp_path, monkeypatch):
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(LookupError, match="has no photo of its name"):
            Photos(tmp_path).find(name, None)
        with pytest.raises(LookupError, match="there is no file"):
            Photos(None).find("a", str(tmp_path / name))

    def forbidden(path):
        raise PermissionError(path)

    (tmp_path / "a.jpg").write_bytes(b"")
    monkeypatch.setattr(Path, "is_file", forbidden)
    with pytest.raises(LookupError, match="there is no file"):
        Photos(None).find("a", str(tmp_path / "a.jpg"))
