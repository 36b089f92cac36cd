"""Each format is read right or refused with the reason, and a small file can't ask for gigabytes."""

import io
import itertools
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from PIL import Image, features

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.images import check_images, decoding, read_image

# --- TIFF: files made by hand, so that their values are known ---

LAYOUTS = {  # name: photometric, channels, is the last one alpha
    "grey": (1, 1, False), "white is zero": (0, 1, False), "RGB": (2, 3, False), "RGBA": (2, 4, True),
    "grey and alpha": (1, 2, True), "CMYK": (5, 4, False),
}  # fmt: skip


def tiff(values, layout, *, apart, order, tile, predictor, compressed):
    photometric, channels, alpha = LAYOUTS[layout]
    height, width, _ = values.shape
    planes = [values[:, :, [c]] for c in range(channels)] if apart else [values]
    parts = []
    for plane in planes:
        if tile:
            padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            corners = itertools.product(range(0, height, tile), range(0, width, tile))
            parts += [padded[y : y + tile, x : x + tile] for y, x in corners]
        else:
            parts.append(plane)
    if predictor == 2:
        parts = [np.diff(part, axis=1, prepend=part.dtype.type(0)) for part in parts]
    data = [part.astype(values.dtype.newbyteorder(order)).tobytes() for part in parts]
    if compressed:
        data = [zlib.compress(each) for each in data]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bits = 8 * values.dtype.itemsize
    tags = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [8 if compressed else 1], 262: [photometric],
        277: [channels], 284: [2 if apart else 1], 317: [predictor], 339: [kind] * channels,
    }  # fmt: skip
    tags |= {322: [tile], 323: [tile]} if tile else {278: [height]}
    tags |= {338: [2]} if alpha else {}
    offsets, lengths = (324, 325) if tile else (273, 279)
    tags[lengths], tags[offsets] = [len(each) for each in data], [0] * len(data)
    head = 8 + 2 + 12 * len(tags) + 4
    start = head + sum(4 * len(tag) for tag in tags.values() if len(tag) > 1)
    tags[offsets] = list(itertools.accumulate([len(each) for each in data[:-1]], initial=start))
    entries, beyond = b"", b""
    for tag in sorted(tags):
        packed = struct.pack(f"{order}{len(tags[tag])}I", *tags[tag])
        if len(tags[tag]) > 1:
            packed, beyond = struct.pack(f"{order}I", head + len(beyond)), beyond + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(tags[tag])) + packed
    first = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return first + entries + bytes(4) + beyond + b"".join(data)


def truth(values, layout):
    photometric, _, alpha = LAYOUTS[layout]
    full = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    scaled = values.astype(np.float64) / full
    if photometric == 0:
        scaled = 1 - scaled
    if photometric == 5:
        rgb = (1 - scaled[..., :3]) * (1 - scaled[..., 3:])
    elif alpha:
        rgb = scaled[..., :-1] * scaled[..., -1:] + 1 - scaled[..., -1:]
    else:
        rgb = scaled
    return 255 * np.broadcast_to(rgb, (*values.shape[:2], 3))


def is_right(pixels, values, layout):
    if values.dtype == np.int16:  # signed values are whole numbers from 0 to 65535 here
        return (pixels == np.round(values / 257)).all()
    # Pillow cuts the lower half of 16-bit channels off, before it lays them on white or mixes inks.
    allowed = 1 if values.shape[2] in (1, 3) else 2.5
    return np.abs(pixels - truth(values, layout)).max() <= allowed


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f2", "f4", "f8"])
def test_a_tiff_is_read_right_or_refused(dtype, layout):
    random = np.random.default_rng(0)
    shape = (20, 23, LAYOUTS[layout][1])
    values = (
        random.random(shape) if dtype[0] == "f" else random.integers(0, 2 ** (8 * int(dtype[1]) - 1), shape)
    )
    values = values.astype(dtype)
    read = 0
    for apart, order, tile, (predictor, compressed) in itertools.product(
        {False, shape[2] > 1}, "<>", (None, 16), ((1, False), (1, True), (2, True))
    ):
        if predictor == 2 and dtype[0] == "f":
            continue
        options = {
            "apart": apart,
            "order": order,
            "tile": tile,
            "predictor": predictor,
            "compressed": compressed,
        }
        data = tiff(values, layout, **options)
        for failure in check_images([data]).failures:
            assert "damaged" not in failure.reason, options
            break
        else:
            read += 1
            assert is_right(read_image(data), values, layout), options
    if (dtype, layout) in {("u1", name) for name in LAYOUTS} | {
        ("u2", "grey"), ("u2", "white is zero"), ("u2", "RGB"), ("u2", "RGBA"), ("u2", "CMYK"), ("f4", "grey"),
    }:  # fmt: skip
        assert read >= 3


def test_a_tiff_that_pillow_does_not_know_says_what_to_do():
    values = np.zeros((4, 4, 3), np.float32)
    data = tiff(values, "RGB", apart=False, order="<", tile=None, predictor=1, compressed=False)
    with pytest.raises(
        errors.ImageError, match="is a TIFF of a kind that Pillow doesn't read, such as colours of 32 bits"
    ):
        read_image(data)


# --- AVIF and HEIC ---


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_upright_with_its_transparency():
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.effect_noise((60, 40), 50).convert("RGB")
    data = encode(noise, "AVIF", quality=100, exif=exif)
    assert read_image(data).shape == (60, 40, 3)
    assert np.abs(read_image(data).astype(int) - np.rot90(np.array(noise), -1)).mean() < 4
    clear = read_image(encode(Image.new("RGBA", (16, 16), (255, 0, 0, 0)), "AVIF"))
    assert clear.min() >= 253
    with pytest.raises(errors.ImageError, match="is damaged"):
        read_image(data[:-200])


def encode(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def ftyp(*brands):
    content = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", 8 + len(content)) + b"ftyp" + content + bytes(100)


@pytest.mark.parametrize(
    "brands", [(b"heic", b"mif1", b"heic"), (b"mif1", b"heic"), (b"heix",), (b"msf1", b"hevc")]
)
def test_a_heic_photo_names_the_package_that_reads_it(brands):
    with pytest.raises(errors.ImageError, match=r"is a HEIC photo, which .* pillow-heif"):
        read_image(ftyp(*brands))


def test_a_film_is_no_photo():
    with pytest.raises(errors.ImageError, match="is not a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF image"):
        read_image(ftyp(b"isom", b"mp41"))


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.avif", "A.JPEG"])
def test_files_of_these_names_are_listed_as_photos(name, tmp_path, photo):
    (tmp_path / "dresses").mkdir()
    (tmp_path / "dresses" / name).write_bytes(photo())
    assert len(fs.datasets.load_folder(tmp_path).images) == 1


# --- small files that ask for much ---


def webp(chunk, content):
    return (
        b"RIFF"
        + struct.pack("<I", 12 + len(content))
        + b"WEBP"
        + chunk
        + struct.pack("<I", len(content))
        + content
    )


WEBPS = {
    "extended": webp(b"VP8X", bytes(4) + (16383).to_bytes(3, "little") * 2),
    "animated": webp(b"VP8X", b"\2" + bytes(3) + (16383).to_bytes(3, "little") * 2 + b"ANIM" + bytes(10)),
    "lossy": webp(b"VP8 ", b"\x30\1\0\x9d\1\x2a" + struct.pack("<HH", 16383, 16383) + bytes(20)),
    "lossless": webp(b"VP8L", b"\x2f" + (16383 | 16383 << 14).to_bytes(4, "little") + bytes(20)),
}


@pytest.mark.parametrize("kind", list(WEBPS))
def test_a_webp_header_cannot_ask_for_gigabytes(kind):
    with pytest.raises(
        errors.ImageError, match=r"has 1638[34]×1638[34] pixels, and at most 50,000,000 are read"
    ):
        read_image(WEBPS[kind])


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0"}])
def test_the_size_of_a_webp_is_read_as_pillow_reads_it(options):
    for size in ((1, 1), (37, 5), (300, 2)):
        for mode in ("RGB", "RGBA"):
            picture = Image.effect_noise(size, 90).convert(mode)
            assert decoding.formats.webp_size(encode(picture, "WEBP", **options)) == size


def test_the_limit_can_be_raised(monkeypatch):
    data = encode(Image.new("1", (2000, 1000)), "PNG")
    monkeypatch.setenv("FASHIONSEARCH_MAX_PIXELS", "1999999")
    with pytest.raises(
        errors.ImageError,
        match=r"at most 1,999,999 are read; .* set FASHIONSEARCH_MAX_PIXELS=2000000",
    ):
        read_image(data)
    with pytest.raises(errors.ImageError, match="2000×1000"):
        read_image(Image.open(io.BytesIO(data)))
    assert read_image(Image.new("1", (2000, 1000))).shape == (1000, 2000, 3)  # in memory already
    monkeypatch.setenv("FASHIONSEARCH_MAX_PIXELS", "2000000")
    assert read_image(data).shape == (1000, 2000, 3)


BOMBS = """
    import resource, struct, sys, time, warnings, zlib
    from PIL import Image
    from fashionsearch.images import check_images

    warnings.simplefilter("ignore")

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    idat = chunk(b"IDAT", zlib.compress(bytes(2))) + chunk(b"IEND", b"")
    text = chunk(b"zTXt", b"a\\0\\0" + zlib.compress(bytes(100_000_000), 9))
    png = b"\\x89PNG\\r\\n\\x1a\\n"
    gif = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\\2\\2L\\1\\0"
    tags = b"".join(struct.pack("<HHII", 40_000 + n % 20_000, 1, 900_000, 8) for n in range(20_000))
    big = b"".join(struct.pack(">HHQQ", 40_000 + n % 20_000, 1, 900_000, 8) for n in range(20_000))
    bombs = {
        "png text": png + ihdr + text * 100 + idat,
        "png profile": png + ihdr + chunk(b"iCCP", b"a\\0\\0" + zlib.compress(bytes(500_000_000), 9)) + idat,
        "png chunks": png + ihdr + chunk(b"tEXt", b"a\\0b") * 100_000 + idat,
        "gif frames": gif + frame * 100_000 + b";",
        "gif comments": gif + b"!\\xfe" + (b"\\xff" + bytes(255)) * 20_000 + b"\\0" + frame + b";",
        "tiff tags": b"II*\\0" + struct.pack("<IH", 8, 20_000) + tags + bytes(1_000_000),
        "big tiff tags": b"MM\\0+" + struct.pack(">HHQQ", 8, 0, 16, 20_000) + big + bytes(1_000_000),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, data in bombs.items():
        begin = time.process_time()
        check_images([data])
        seconds = time.process_time() - begin
        print(name, len(data), round(seconds, 2), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource")
def test_what_lies_beside_the_picture_costs_neither_minutes_nor_gigabytes():
    command = [sys.executable, "-c", textwrap.dedent(BOMBS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        seconds, megabytes = line.split()[-2:]
        assert float(seconds) < 10, done.stdout
        assert int(megabytes) < 500, done.stdout
    assert len(done.stdout.splitlines()) == 7


# --- what is not the image's fault ---


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError(), OSError(24, "Too many open files"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "lazy"])
def test_memory_that_ran_out_is_no_damage(error, form, photo, monkeypatch):
    def fails(*_, **__):
        raise error

    data = photo("JPEG" if form == "JPEG" else "PNG")
    image = Image.open(io.BytesIO(data)) if form == "lazy" else data
    if form == "JPEG":
        monkeypatch.setattr(decoding.jpeg.simplejpeg, "decode_jpeg", fails)
    else:
        monkeypatch.setattr(Image.Image, "convert", fails)
    with pytest.raises(type(error)) as caught:
        check_images([image])
    assert not isinstance(caught.value, errors.FashionSearchError)
