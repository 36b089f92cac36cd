"""Any image becomes RGB uint8 by fixed rules, and a bad one is named: never a crash, a hang or a wrong picture."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.images import check_images, decoding, read_image


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
    assert why(data) == "is not a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF image"


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        b"GIF89a",
        b"BM",
        b"MM\0*",
        b"\0\0\0\x1cftypavif",
    ],
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
    assert why(png_header(side, side)) == (
        f"has {side}×{side} pixels, and at most 50,000,000 are read; give a smaller copy, or set "
        f"FASHIONSEARCH_MAX_PIXELS={side**2}"
    )


@pytest.mark.parametrize("side", [14_200, 65_500])
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
        (np.zeros((0, 5, 3), np.uint8), "has shape (0, 5, 3), which holds no pixels"),
        (np.zeros((5, 0)), "has shape (5, 0), which holds no pixels"),
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


def test_user_arrays_are_not_changed():
    rgba = np.full((2, 2, 4), 100, np.uint8)
    read_image(rgba)
    assert (rgba == 100).all()
    picture = Image.new("RGBA", (2, 2))
    read_image(picture)
    assert picture.mode == "RGBA"


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


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_size_stands_in_the_header(form, photo):
    data = photo(form, size=(31, 17))
    assert decoding.size_of(data) == (31, 17)
    for wrong in (b"", b"nothing", data[:5]):
        with pytest.raises(decoding.UnreadableError):
            decoding.size_of(wrong)
