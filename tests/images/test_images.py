"""Any image becomes RGB uint8 by fixed rules, and a bad one is named: never a crash, a hang or a wrong picture."""

import io
import os
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.images import check_images, count, iterate, ordered_map, read_image, thumbnail_uri


def encode(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def why(image):
    with pytest.raises(errors.ImageError) as caught:
        read_image(image, position=7)
    (failure,) = caught.value.failures
    assert failure.position == 7
    assert str(caught.value).startswith("image 7 (")
    return failure.reason


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


# --- forms ---


def test_every_encoded_form_gives_the_same_pixels(pixels, tmp_path):
    data = encode(Image.fromarray(pixels), "PNG")
    path = tmp_path / "a photo ü\n.png"
    path.write_bytes(data)
    handle = io.BytesIO(data)
    handle.read(10)
    with path.open("rb") as file:
        forms = [str(path), path, data, bytearray(data), memoryview(data), handle, file, Image.open(path)]
        for form in forms:
            np.testing.assert_array_equal(read_image(form), pixels)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.uint8([[0, 128, 255]]), [0, 128, 255]),
        (np.uint8([[[0], [128], [255]]]), [0, 128, 255]),
        (np.uint16([[0, 32896, 65535, 256]]), [0, 128, 255, 1]),
        (np.float32([[0, 0.5, 1]]), [0, 128, 255]),
        (np.float16([[0, 0.5, 1]]), [0, 128, 255]),
        (np.float64([[0, 0, 0]]), [0, 0, 0]),
        (np.array([[False, True]]), [0, 255]),
        (np.float64([[1 / 255, 254 / 255]]), [1, 254]),
    ],
)
def test_arrays_of_each_dtype(array, expected):
    result = read_image(array)
    assert result.dtype == np.uint8
    assert result.shape == (1, len(expected), 3)
    for channel in range(3):
        assert result[0, :, channel].tolist() == expected


def test_colour_arrays_and_tensors(pixels):
    np.testing.assert_array_equal(read_image(pixels), pixels)
    np.testing.assert_array_equal(read_image(pixels[:, ::-1]), pixels[:, ::-1])
    np.testing.assert_array_equal(read_image(pixels / 255.0), pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for form in (
        tensor,
        tensor.float() / 255,
        tensor.double() / 255,
        (tensor.float() / 255).requires_grad_(),
    ):
        np.testing.assert_array_equal(read_image(form), pixels)
    np.testing.assert_array_equal(read_image(tensor[:1])[..., 2], pixels[..., 0])
    np.testing.assert_array_equal(read_image(tensor[0])[..., 2], pixels[..., 0])
    assert read_image(torch.ones(3, 2, 2, dtype=torch.bfloat16)).min() == 255


def test_transparency_is_laid_on_white():
    half_red = np.uint8([[[255, 0, 0, 128], [0, 0, 255, 0], [0, 255, 0, 255]]])
    expected = [[255, 127, 127], [255, 255, 255], [0, 255, 0]]
    tensor = torch.from_numpy(half_red).permute(2, 0, 1)
    for form in (half_red, tensor, Image.fromarray(half_red), encode(Image.fromarray(half_red), "PNG")):
        assert read_image(form)[0].tolist() == expected


def forms_of_several(pixels):
    batch = np.stack([pixels] * 3)
    single = list(batch)
    tensors = torch.from_numpy(batch).permute(0, 3, 1, 2)
    return {
        "array batch": batch,
        "tensor batch": tensors,
        "list": single,
        "tuple": tuple(single),
        "generator": (image for image in single),
        "list holding a batch": [pixels, batch[:2]],
        "mixture": [pixels, encode(Image.fromarray(pixels), "PNG"), tensors[0]],
        "two batches": [batch[:1], tensors[1:]],
    }


@pytest.mark.parametrize("form", list(forms_of_several(np.zeros((2, 2, 3), np.uint8))))
def test_several_images(form, pixels):
    several = forms_of_several(pixels)[form]
    assert count(several) == (None if form == "generator" else 3)
    result = [read_image(image) for image in iterate(several)]
    assert len(result) == 3
    for image in result:
        np.testing.assert_array_equal(image, pixels)


def test_one_image_is_one_image(pixels):
    for single in (
        pixels,
        pixels[..., 0],
        torch.zeros(3, 4, 4),
        "a.jpg",
        Path("a.jpg"),
        b"x",
        io.BytesIO(),
        Image.new("L", (1, 1)),
    ):
        assert len(list(iterate(single))) == count(single) == 1


def test_arrays_of_paths(tmp_path, photo):
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for path in paths:
        path.write_bytes(photo())
    for array in (np.array([str(path) for path in paths]), np.array(paths, dtype=object)):
        assert check_images(array).positions.tolist() == [0, 1, 2]
        assert count(array) == 3


# --- formats ---


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied_as_pillow_does(form, orientation):
    blocks = np.kron(np.random.default_rng(1).integers(0, 256, (4, 5, 1)), np.ones((8, 8, 3))).astype(
        np.uint8
    )
    exif = Image.Exif()
    exif[0x010E] = "a description, so that the orientation is not the first entry"
    exif[0x0112] = orientation
    data = encode(Image.fromarray(blocks), form, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.array(ImageOps.exif_transpose(opened).convert("RGB")).astype(int)
    if orientation in (5, 6, 7, 8):
        assert expected.shape == (40, 32, 3)
    for image in (data, Image.open(io.BytesIO(data))):
        result = read_image(image)
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= 4  # decoders of JPEG differ by a little


def test_exif_orientation_set_by_hand():
    picture = Image.new("RGB", (6, 4))
    picture.getexif()[0x0112] = 6
    assert read_image(picture).shape == (6, 4, 3)


@pytest.mark.parametrize("big_endian", [False, True])
def test_exif_of_both_byte_orders(big_endian):
    order = ">" if big_endian else "<"
    tiff = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(f"{order}IHHHIHH", 8, 1, 0x0112, 3, 1, 8, 0)
    data = encode(Image.new("RGB", (6, 4)), "JPEG", exif=b"Exif\0\0" + tiff)
    assert read_image(data).shape == (6, 4, 3)


CORRUPT_EXIF = [
    b"Exif\0\0",
    b"Exif\0\0garbage",
    b"Exif\0\0II*\0\xff\xff\xff\x7f",
    b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0e\x01\x02\0\xff\0\0\0\xff\xff\0\0",
    b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
]


@pytest.mark.parametrize("exif", CORRUPT_EXIF)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_corrupt_exif_block_costs_nothing(exif, form, pixels):
    data = encode(Image.fromarray(pixels), form, exif=exif)
    assert read_image(data).shape == pixels.shape  # warnings are errors in these tests
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, while the caller opens it
        opened = Image.open(io.BytesIO(data))
    assert read_image(opened).shape == pixels.shape


def test_a_damaged_exif_block_still_turns_the_photo_if_its_orientation_is_whole():
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x0e\x01\x02\0\xff\0\0\0\xff\xff\0\0"
    )
    assert read_image(encode(Image.new("RGB", (6, 4)), "JPEG", exif=exif)).shape == (6, 4, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_greyscale_of_every_format(form):
    grey = np.full((8, 8), 77, dtype=np.uint8)
    result = read_image(encode(Image.fromarray(grey), form))
    assert result.shape == (8, 8, 3)
    assert np.abs(result.astype(int) - 77).max() <= 1


def test_palettes_with_and_without_transparency():
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 10, 20, 30, 40, 250])
    picture.putpixel((1, 0), 1)
    assert read_image(encode(picture, "PNG"))[0].tolist() == [[200, 10, 20], [30, 40, 250]]
    for transparency, expected in (
        (1, [[200, 10, 20], [255] * 3]),
        (b"\x80\xff", [[227, 132, 137], [30, 40, 250]]),
    ):
        data = encode(picture, "PNG", transparency=transparency)
        assert read_image(data)[0].tolist() == expected
        assert read_image(Image.open(io.BytesIO(data)))[0].tolist() == expected
    assert read_image(encode(picture, "GIF", transparency=1))[0].tolist() == [[200, 10, 20], [255] * 3]


def test_grey_with_alpha_and_a_transparent_colour():
    assert read_image(_grey_alpha())[0].tolist() == [
        [127] * 3,
        [255] * 3,
    ]
    keyed = encode(Image.fromarray(np.uint8([[[1, 2, 3], [4, 5, 6]]])), "PNG", transparency=(1, 2, 3))
    assert read_image(keyed)[0].tolist() == [[255] * 3, [4, 5, 6]]


def _grey_alpha():
    picture = Image.new("LA", (2, 1))
    picture.putpixel((0, 0), (0, 128))
    picture.putpixel((1, 0), (9, 0))
    return encode(picture, "PNG")


def test_webp_with_alpha():
    data = encode(Image.new("RGBA", (4, 4), (255, 0, 0, 128)), "WEBP", lossless=True)
    assert read_image(data)[0, 0].tolist() == [255, 127, 127]


def test_cmyk_jpeg():
    result = read_image(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(result[8, 8].astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    wide = np.uint16([[0, 257 * 100, 65535]])
    for image in (data := encode(Image.fromarray(wide), form), Image.open(io.BytesIO(data))):
        assert read_image(image)[0, :, 1].tolist() == [0, 100, 255]


def test_thirty_two_bit_modes():
    assert read_image(Image.fromarray(np.int32([[0, 257 * 9]])))[0, 1].tolist() == [9, 9, 9]
    assert read_image(Image.fromarray(np.float32([[0, 0.2]])))[0, 1].tolist() == [51, 51, 51]
    assert "outside [0, 65535]" in why(Image.fromarray(np.int32([[-1, 5]])))


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        data = encode(
            frames[0],
            form,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if form == "WEBP" else {}),
        )
        assert read_image(data)[0, 0].tolist() == [255, 0, 0]


def test_other_pillow_modes():
    assert read_image(Image.new("1", (2, 2), 1)).min() == 255
    assert read_image(Image.new("HSV", (2, 2), (0, 255, 255)))[0, 0].tolist() == [255, 0, 0]
    assert read_image(Image.new("RGBa", (1, 1), (0, 0, 0, 0)))[0, 0].tolist() == [255, 255, 255]


# --- faults ---


def test_missing_empty_folder_fifo_and_odd_paths(tmp_path):
    assert why(tmp_path / "none.jpg") == why("") == "there is no such file"
    (tmp_path / "empty.jpg").touch()
    assert why(tmp_path / "empty.jpg") == why(b"") == why(io.BytesIO()) == "the file is empty"
    assert why(tmp_path).startswith("is a folder; list its files")
    assert why("a\0b.jpg").startswith("can't be opened")
    assert why("x" * 5000).startswith("can't be opened")
    (tmp_path / "loop").symlink_to("loop")
    assert why(tmp_path / "loop").startswith("can't be opened")
    assert "regular file" in why("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    assert why(tmp_path / "fifo.jpg") == "is not a regular file (a FIFO, socket or device)"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path, photo):
    path = tmp_path / "secret.jpg"
    path.write_bytes(photo())
    path.chmod(0)
    assert why(path) == "can't be opened: Permission denied"


def test_file_objects_that_fail():
    closed = io.BytesIO(b"x")
    closed.close()
    assert why(closed) == "can't be read: I/O operation on closed file."
    assert why(io.StringIO("x")) == "the file object is open as text; open it with mode 'rb'"


ENCODINGS = {
    "JPEG": {},
    "progressive JPEG": {"progressive": True},
    "PNG": {},
    "WEBP": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "LZW TIFF": {"compression": "tiff_lzw"},
}


# Pillow warns of what it sees in a cut TIFF before it gives up.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_truncated_files_are_errors(encoding, photo):
    data = photo(encoding.split()[-1], size=(160, 120), **ENCODINGS[encoding])
    read_image(data)
    for percent in range(10, 96, 5):
        assert why(data[: len(data) * percent // 100]).startswith("is damaged: ")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_zeroed_blocks_is_an_error(progressive):
    noise = np.random.default_rng(2).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), "JPEG", quality=90, progressive=progressive)
    for start in range(len(data) // 4, len(data) - 5000, len(data) // 8):
        holed = data[:start] + bytes(4096) + data[start + 4096 :]
        assert why(holed).startswith("is damaged: ")


def test_a_truncated_file_opened_by_the_user():
    data = encode(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)), "PNG"
    )
    assert why(Image.open(io.BytesIO(data[:3000]))).startswith("is damaged: ")


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b"%PDF-1.4\n",
        b"P6 1 1 255 abc",
        b"\0" * 100,
        b"\xff",
    ],
)
def test_what_is_not_an_image(data):
    assert why(data) == "is not a JPEG, PNG, WebP, GIF, BMP or TIFF image"


@pytest.mark.parametrize(
    "head", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM", b"MM\0*"]
)
@pytest.mark.parametrize("tail", [b"", b"\0" * 40, bytes(range(256))])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_signature_alone_is_damage(head, tail):
    reason = why(head + tail)
    assert reason.startswith(("is damaged: ", "has "))


def png_header(width, height):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_460, 13_000, 20_000, 2**30])
def test_a_png_bomb_is_refused_before_it_is_decoded(side):
    assert f"has {side}×{side} pixels; give a copy that has 1 to 89,478,485" == why(png_header(side, side))


@pytest.mark.parametrize("side", [13_000, 65_500])
def test_a_jpeg_bomb_is_refused_before_it_is_decoded(side, photo):
    data = bytearray(photo())
    place = data.find(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", side, side)
    assert why(bytes(data)).startswith(f"has {side}×{side} pixels")


def test_a_gif_bomb_is_refused():
    frame = b"," + struct.pack("<HHHHB", 0, 0, 9, 9, 0) + b"\x02\x01\0\0;"
    assert why(b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + frame).startswith(
        "has 65535×65535 pixels"
    )


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2), 1.01), "float values from 1.01 to 1.01"),
        (np.full((2, 2), -0.01), "float values from -0.01"),
        (np.array([[0.5, np.nan]]), "float values from nan to nan"),
        (np.array([[0.5, np.inf]]), "to inf"),
        (np.full((2, 2, 3), 200.0), "divide by 255"),
        (np.zeros((3, 20, 20), np.uint8), "transpose(1, 2, 0) makes it fit"),
        (
            np.zeros((20, 20, 2), np.uint8),
            "has shape (20, 20, 2), and an (H, W, 3) or (H, W) array is needed",
        ),
        (np.zeros(5, np.uint8), "has shape (5,)"),
        (np.array(5, np.uint8), "has shape ()"),
        (np.zeros((0, 5, 3), np.uint8), "has 5×0 pixels"),
        (np.zeros((5, 0)), "has 0×5 pixels"),
        (np.zeros((4, 4), np.int64), "has dtype int64"),
        (np.zeros((4, 4), complex), "has dtype complex128"),
        (np.zeros((4, 4), object), "has dtype object"),
        (np.zeros((1, 2, 4, 4, 3), np.uint8), "has shape (1, 2, 4, 4, 3)"),
        (torch.zeros(20, 20, 3), "channel-first"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "has dtype int64"),
        (torch.full((3, 2, 2), 255.0), "divide by 255"),
    ],
)
def test_arrays_that_are_not_images(array, words):
    assert words in why(array)


@pytest.mark.parametrize("thing", [None, 5, 1.5, {}, {"a": "b.jpg"}, object()])
def test_what_is_no_image_at_all(thing):
    with pytest.raises(errors.InputError, match="is not an image; give a path"):
        list(iterate(thing))
    assert why(thing).startswith("is not an image; give a path")
    assert [failure.position for failure in check_images([thing]).failures] == [0]


@pytest.mark.parametrize("array", [np.array("a.jpg"), np.array(None), np.zeros((2, 2, 2, 4, 4, 3))])
def test_arrays_of_the_wrong_depth_are_named(array):
    with pytest.raises(errors.ImageError, match="has shape"):
        [read_image(image) for image in iterate(array)]


def test_a_table_is_not_images():
    with pytest.raises(errors.InputError, match=r"pass table\.images"):
        check_images(fs.datasets.make_catalogue(3))


def test_errors_name_position_and_file(tmp_path, photo):
    (tmp_path / "good.jpg").write_bytes(photo())
    (tmp_path / "bad.jpg").write_bytes(b"no")
    images = [
        tmp_path / "good.jpg",
        tmp_path / "bad.jpg",
        np.zeros((4, 4, 3), np.uint8),
        b"",
        tmp_path / "none.jpg",
    ]
    positions, failures = check_images(images)
    assert positions.tolist() == [0, 2]
    assert [failure.position for failure in failures] == [1, 3, 4]
    assert failures[0].source == str(tmp_path / "bad.jpg")
    assert [failure.reason for failure in failures] == [
        "is not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
        "the file is empty",
        "there is no such file",
    ]
    text = str(errors.ImageError(failures * 3))
    assert text.startswith(f"image 1 ({tmp_path / 'bad.jpg'}): is not a JPEG")
    assert text.endswith("; and 4 more")
    assert check_images([]).positions.shape == (0,)


def test_user_arrays_are_not_changed():
    rgba = np.full((2, 2, 4), 100, np.uint8)
    read_image(rgba)
    assert (rgba == 100).all()
    picture = Image.new("RGBA", (2, 2))
    read_image(picture)
    assert picture.mode == "RGBA"


def test_thumbnails_never_fail(photo):
    assert thumbnail_uri(photo()).startswith("data:image/jpeg;base64,")
    assert thumbnail_uri("nowhere.jpg").startswith("data:image/jpeg;base64,")


# --- ordered_map ---


def test_a_long_generator_is_read_lazily_and_in_order():
    read = 0

    def numbers():
        nonlocal read
        for number in range(100_000):
            read += 1
            yield number

    furthest = 0
    for place, result in enumerate(ordered_map(lambda number: 2 * number, numbers(), ahead=16)):
        assert result == 2 * place
        furthest = max(furthest, read - place)
    assert place == 99_999
    assert furthest <= 16


def test_check_images_reads_a_generator():
    tiny = np.zeros((1, 1, 3), np.uint8)
    assert len(check_images(tiny for _ in range(2000)).positions) == 2000


def test_an_early_close_stops_promptly():
    done = []
    threads = threading.active_count()

    def slow(number):
        time.sleep(0.02)
        done.append(number)

    stream = ordered_map(slow, range(100_000), ahead=64)
    next(stream)
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 2
    assert len(done) < 30
    assert threading.active_count() == threads


def test_errors_of_the_work_and_of_the_items_come_through():
    def items():
        yield 1
        raise KeyError("mine")

    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda number: 1 / number, [1, 0, 1]))
    with pytest.raises(KeyError, match="mine"):
        list(ordered_map(lambda number: number, items()))


# --- the real photos ---


@pytest.mark.data
def test_real_photos_are_accepted(real_data):
    paths = sorted(real_data.rglob("*.jpg"))[::8]
    assert len(paths) > 1500
    assert check_images(paths).failures == ()


# --- scaling while decoding ---


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((1200, 900), (300, 225)),  # a quarter, twice 100 px and more
        ((400, 500), (200, 250)),
        ((399, 500), (399, 500)),  # too small to halve
        ((3000, 300), (3000, 300)),  # its short side is
    ],
)
def test_a_large_jpeg_is_decoded_smaller(size, decoded, photo):
    data = photo("JPEG", size=size)
    assert read_image(data, at_least=(100, 80)).shape[1::-1] == decoded
    assert read_image(data).shape[1::-1] == size


def test_scaling_while_decoding_changes_little(photo):
    preprocess = fs.Preprocess((64, 48))
    data = photo("JPEG", size=(1200, 900), quality=95)
    fast, full = preprocess.read(data).astype(int), preprocess.resized(read_image(data)).astype(int)
    assert np.abs(fast - full).max() <= 3


def test_a_large_jpeg_is_scaled_upright(photo):
    picture = Image.open(io.BytesIO(photo("JPEG", size=(800, 1200))))
    picture.getexif()[0x0112] = 6
    assert read_image(encode(picture, "JPEG", exif=picture.getexif()), at_least=(50, 50)).shape[0] < 200


def test_a_damaged_large_jpeg_is_an_error(photo):
    data = photo("JPEG", size=(1200, 900))
    with pytest.raises(errors.ImageError, match="is damaged"):
        read_image(data[: len(data) // 2], at_least=(64, 64))
