import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionsearch import Preprocess, errors
from fashionsearch.service.failures import RefusedError
from fashionsearch.service.photos import checked_size, prepared, prepared_aside, shown

FORMS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]


@pytest.mark.parametrize("form", FORMS)
def test_the_size_is_read_from_the_header(form: str, photo: Callable[..., bytes]) -> None:
    data = photo(form, size=(48, 32))
    assert checked_size(data, 48 * 32) == 48 * 32
    with pytest.raises(RefusedError, match="48×32 pixels") as told:
        checked_size(data, 48 * 32 - 1)
    assert told.value.status == 422


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"/etc/passwd"]
)
def test_what_is_no_photo_is_refused(data: bytes) -> None:
    with pytest.raises(errors.ImageError):
        checked_size(data, 100)


def test_a_photo_is_made_as_the_library_makes_it(photo: Callable[..., bytes]) -> None:
    preprocess, data = Preprocess((16, 16)), photo("PNG", size=(40, 40))
    assert np.array_equal(prepared(data, None, preprocess), preprocess.read(data))
    assert np.array_equal(prepared_aside(data, None, preprocess), preprocess.read(data))
    part = prepared(data, [0, 0, 0.5, 1], None)
    assert part.shape == (40, 20, 3)
    assert np.array_equal(part, prepared(data, None, None)[:, :20])


def test_only_photos_in_the_folder_are_shown(tmp_path: Path) -> None:
    folder, outside = tmp_path / "photos", tmp_path / "secret.jpg"
    folder.mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "JPEG")
    for path in (outside, folder / "a.jpg"):
        path.write_bytes(picture.getvalue())
    (folder / "link.jpg").symlink_to(outside)
    (folder / "notes.txt").write_text("secret")
    assert shown(folder, "a.jpg", None) == (picture.getvalue(), "image/jpeg")
    assert shown(folder, "a", None)[1] == "image/jpeg"
    assert shown(folder, 7, "/elsewhere/a.jpg")[1] == "image/jpeg"
    for item in (
        "../secret.jpg",
        str(outside),
        "link.jpg",
        "notes.txt",
        "nothing",
        "a.jpg\0",
        "",
        "x" * 5000,
    ):
        with pytest.raises(RefusedError) as told:
            shown(folder, item, str(outside))
        assert told.value.status == 404
