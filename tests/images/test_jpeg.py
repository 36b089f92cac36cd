"""JPEGs that cameras and phones write are read upright; damage is named, and a small file costs no minutes."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image

from fashionsearch import errors
from fashionsearch.images import jpeg, read_image


@pytest.fixture(scope="module")
def plain():
    return encode(Image.effect_noise((300, 200), 90).convert("RGB"))


def encode(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def slips(data):
    scan = data.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
    table, version = data.index(b"\xff\xdb"), data.index(b"JFIF\0") + 5
    return {
        "odd parameters of the scan": data[: end - 3] + bytes(3) + data[end:],
        "stray bytes between segments": data[:table] + bytes(18) + data[table:],
        "stray bytes before the scan": data[:scan] + b"padding" + data[scan:],
        "JFIF version 0": data[:version] + bytes(2) + data[version + 2 :],
        "all of them": data[:version] + bytes(2) + data[version + 2 : table] + bytes(18) + data[table:scan] + bytes(5)
        + data[scan : end - 3] + bytes(3) + data[end:],
        "a profile that is none": data[:table] + segment(0xE2, b"ICC_PROFILE\0" + bytes(50)) + data[table:],
        "fill bytes": data[:table] + b"\xff\xff\xff" + data[table:],
        "bytes behind the end": data + bytes(100),
    }  # fmt: skip


@pytest.mark.parametrize("slip", list(slips(encode(Image.new("RGB", (8, 8))))))
@pytest.mark.parametrize("at_least", [None, (30, 30)])
def test_slips_that_say_nothing_of_the_picture_cost_nothing(slip, at_least, plain):
    expected = read_image(plain, at_least=at_least)
    np.testing.assert_array_equal(read_image(slips(plain)[slip], at_least=at_least), expected)


def test_damage_beside_a_slip_is_still_damage(plain):
    for odd in slips(plain).values():
        cut = odd[: len(odd) // 2]
        with pytest.raises(errors.ImageError, match="is damaged"):
            read_image(cut)
        with pytest.raises(errors.ImageError, match="is damaged"):
            read_image(cut + b"\xff\xd9")


@pytest.mark.parametrize("megabytes", [0.3, 3])
def test_the_orientation_is_found_however_much_lies_before_it(megabytes):
    data = encode(Image.new("RGB", (60, 40)), exif=exif(6))
    profile = segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)) * int(megabytes * 1e6 / 60_000)
    assert read_image(data[:2] + profile + data[2:]).shape == (60, 40, 3)


@pytest.mark.parametrize("marker", [0xFE, 0xE1, 0xED])
def test_a_comment_that_speaks_of_exif_turns_nothing_and_hides_nothing(marker):
    data = encode(Image.new("RGB", (60, 40)), exif=exif(6))
    for content in (b"see Exif\0\0" + exif(3)[6:], b"Exif\0\0" * (marker != 0xE1) + b"II*\0"):
        assert read_image(data[:2] + segment(marker, content) + data[2:]).shape == (60, 40, 3)


def test_a_picture_without_exif_is_not_turned_by_its_own_bytes():
    data = encode(Image.new("RGB", (60, 40)))
    inside = data[:-2] + b"Exif\0\0" + exif(6)[6:] + data[-2:]
    behind = data + segment(0xE1, exif(6))
    assert jpeg.orientation(inside) == jpeg.orientation(behind) == 1
    assert read_image(behind).shape == (40, 60, 3)


def scans(data, number):
    """Repeat the last scan of a progressive file, as often as asked for."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * number + b"\xff\xd9"


def test_a_small_file_of_a_thousand_scans_is_refused_at_once():
    data = scans(encode(Image.new("RGB", (4000, 3000)), progressive=True), 1010)
    begin = time.thread_time()
    for at_least in (None, (64, 64)):
        with pytest.raises(errors.ImageError, match="comes in more than 100 scans; save it as a JPEG again"):
            read_image(data, at_least=at_least)
    assert time.thread_time() - begin < 1


def test_the_count_of_scans_cannot_be_hidden_from():
    data = encode(Image.new("RGB", (400, 300)), progressive=True)
    last = data.rindex(b"\xff\xda")
    hidden = data[:last] + (segment(0xFE, b"\xff\xd9") + data[last:-2]) * 500 + b"\xff\xd9"
    with pytest.raises(errors.ImageError, match="comes in more than 100 scans"):
        read_image(hidden)


def test_what_phones_append_is_no_scan(plain):
    for data in (plain, encode(Image.new("RGB", (400, 300)), progressive=True)):
        behind = data + b"\xff\xda\0\x08" * 3000
        preview = data[:2] + segment(0xE2, b"\xff\xda\0\x08" * 3000) + data[2:]
        for each in (behind, preview):
            np.testing.assert_array_equal(read_image(each), read_image(data))


def test_a_million_segments_are_refused_at_once(plain):
    data = plain[:2] + segment(0xE5, b"") * 1_000_000 + plain[2:]
    begin = time.thread_time()
    with pytest.raises(errors.ImageError, match="has more than 5,000 segments before its picture"):
        read_image(data)
    assert time.thread_time() - begin < 2


def test_a_photo_of_108_megapixels_is_read(photo):
    data = photo("JPEG", size=(12000, 9000))
    assert read_image(data, at_least=(224, 224)).shape == (1125, 1500, 3)
