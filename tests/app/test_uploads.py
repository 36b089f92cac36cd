import os

import pytest

from fashionsearch import errors
from fashionsearch.app import uploads as module
from fashionsearch.app.uploads import take


def test_an_upload_is_read_once_and_deleted(uploads, upload):
    path = upload(b"content", "shirt.png")
    assert take(path, uploads) == (b"content", "shirt.png")
    with pytest.raises(errors.InputError, match="uploaded here"):
        take(path, uploads)


def test_nothing_else_is_opened(uploads, upload, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    (uploads / "link").symlink_to(secret)
    beside = tmp_path / "uploads-of-another"
    beside.mkdir()
    (beside / "file").write_text("hidden")
    os.mkfifo(uploads / "pipe")
    named = [secret, uploads / ".." / "secret", uploads / "link", beside / "file", uploads, uploads / "pipe"]
    for path in [*map(str, named), "", "\0", "x" * 10_000, None, 5, ["a"], {"path": str(secret)}]:
        with pytest.raises(errors.InputError, match="uploaded here"):
            take(path, uploads)
    assert secret.read_text() == "hidden"


def test_a_large_file_is_refused_and_deleted(uploads, upload, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    path = upload(b"x" * 11)
    with pytest.raises(errors.InputError, match="give a smaller copy"):
        take(path, uploads)
    assert list(uploads.rglob("*.png")) == []
