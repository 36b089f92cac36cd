"""One image or many, in any mixture of forms, are read in order and in parallel, and the bad ones named."""

import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

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
        "is not a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF image",
        "the file is empty",
        "there is no such file",
    ]
    text = str(errors.ImageError(failures * 3))
    assert text.startswith(f"image 1 ({tmp_path / 'bad.jpg'}): is not a JPEG")
    assert text.endswith("; and 4 more")
    assert check_images([]).positions.shape == (0,)


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


# --- what is read ahead stays what it was ---


def again(photos, buffer):
    for photo in photos:
        buffer[:] = photo
        yield buffer


@pytest.mark.parametrize("kind", ["array", "tensor", "batch", "bytearray"])
def test_a_buffer_that_is_filled_anew_gives_each_of_its_pictures(kind):
    photos = np.random.default_rng(0).integers(0, 256, (40, 9, 8, 3), dtype=np.uint8)
    stream = again(photos, np.zeros((9, 8, 3), np.uint8))
    if kind == "tensor":
        stream = again(torch.from_numpy(photos).permute(0, 3, 1, 2), torch.zeros(3, 9, 8, dtype=torch.uint8))
    if kind == "batch":
        stream = again(photos[:, None], np.zeros((1, 9, 8, 3), np.uint8))
    if kind == "bytearray":
        files = [encode(Image.fromarray(each), "BMP") for each in photos]
        stream = again(files, bytearray(len(files[0])))
    for read, photo in zip(ordered_map(read_image, iterate(stream)), photos, strict=True):
        np.testing.assert_array_equal(read, photo)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_each_frame_of_an_animation_is_what_it_was(form):
    greys = range(0, 250, 12)
    frames = [Image.new("RGB", (8, 8), (grey, grey, grey)) for grey in greys]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
    sequence = ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    read = [pixels[0, 0, 0] for pixels in ordered_map(read_image, iterate(sequence))]
    assert np.abs(np.int64(read) - list(greys)).max() <= 1


def test_a_picture_that_is_drawn_on_between_is_what_it_was():
    def drawn():
        picture = Image.new("RGB", (4, 4))
        for grey in range(30):
            picture.paste((grey, grey, grey), (0, 0, 4, 4))
            yield picture

    assert [pixels[0, 0, 0] for pixels in ordered_map(read_image, iterate(drawn()))] == list(range(30))


def test_files_closed_behind_their_image_are_read(photo, tmp_path):
    (tmp_path / "a.png").write_bytes(photo("PNG"))

    def opened():
        for _ in range(20):
            with Image.open(tmp_path / "a.png") as image:
                yield image

    assert len(check_images(opened()).positions) == 20


def test_one_lazy_image_many_times(photo):
    data = photo("PNG", size=(300, 300))
    expected = read_image(data)
    for source in (Image.open(io.BytesIO(data)), io.BytesIO(data)):
        for pixels in ordered_map(read_image, [source] * 16):
            np.testing.assert_array_equal(pixels, expected)


def test_images_opened_from_one_file_object_do_not_disturb_each_other(photo):
    frames = [photo("PNG", size=(200, 200), seed=seed) for seed in range(2)]
    file = io.BytesIO(b"".join(frames))
    opened = []
    for _ in range(8):
        file.seek(0)
        opened.append(Image.open(file))
    for pixels in ordered_map(read_image, opened):
        np.testing.assert_array_equal(pixels, read_image(frames[0]))


# --- names ---


def test_a_name_cannot_command_the_terminal(tmp_path):
    name = "a\x1b[31mred\x07\n\u202egpj.jpg"
    (failure,) = check_images([tmp_path / name]).failures
    assert failure.source == str(tmp_path / name)
    for text in (str(failure), str(errors.ImageError([failure]))):
        assert "a\\x1b[31mred\\x07\\n\\u202egpj.jpg" in text
        assert text.isprintable()


def test_names_of_any_language_are_shown_as_they_are():
    (failure,) = check_images(["Kleid für Änne, 赤い　ドレス, платье.jpg"]).failures
    assert str(failure) == "image 0 (Kleid für Änne, 赤い　ドレス, платье.jpg): there is no such file"
    (failure,) = check_images([os.fsdecode(b"gr\xfcn.jpg")]).failures
    assert str(failure).encode().startswith(b"image 0 (gr\\udcfcn.jpg)")


# --- arrays that could be one image or many ---


@pytest.mark.parametrize("stack", [np.zeros((24, 28, 28), np.uint8), torch.zeros(24, 28, 28)])
def test_a_stack_of_greyscale_images_is_refused_with_the_way_to_give_them(stack):
    for use in (count, check_images, lambda images: list(iterate(images))):
        with pytest.raises(
            errors.InputError, match=r"shape \(24, 28, 28\) .* 24 greyscale images, give list\(images\)"
        ):
            use(stack)
    assert count(list(stack)) == len(check_images(list(stack)).positions) == 24
