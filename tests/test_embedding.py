"""The data flow: lazily, in order, in bounded memory, and never through the network twice with a cache."""

import io
import itertools
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.cache import EmbeddingCache
from fashionsearch.embedding import Pipeline

PREPROCESS = fs.Preprocess((4, 4))


class Means:
    """A runtime that returns each photo's mean colours, and remembers what it was asked to do."""

    name = "means"

    def __init__(self, most=10**9, error=None):
        self.most, self.error = most, error or torch.OutOfMemoryError("CUDA out of memory")
        self.batches, self.expected = [], []

    def expect(self, images):
        self.expected.append(images)

    def run(self, pixels):
        self.batches.append(len(pixels))
        if len(pixels) > self.most:
            raise self.error
        return pixels.mean((1, 2)).astype(np.float32)

    @property
    def images(self):
        return sum(n for n in self.batches if n <= self.most)


def pipeline(runtime=None, batch_size=4, fingerprint="f", preprocess=PREPROCESS):
    return Pipeline(
        runtime or Means(), preprocess, dim=3, fingerprint=fingerprint, batch_size=batch_size, progress=False
    )


def grey(level):
    return np.full((4, 4, 3), level, np.uint8)


def together(batches):
    batches = list(batches)
    return (
        np.concatenate([batch.positions for batch in batches]).tolist(),
        np.concatenate([batch.vectors for batch in batches])[:, 0].tolist(),
        [failure for batch in batches for failure in batch.failures],
    )


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fashionsearch-decode")]


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks are fastest on one, and by far where other programs keep the cores busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cache(tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    yield cache
    cache.close()


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone(
        "cnn", weights=None, image_size=16, random_state=0, runtime="torch", batch_size=4
    )


# Order, batches and laziness.


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 33])
@pytest.mark.parametrize("lazy", [False, True])
def test_rows_come_in_order(n, lazy):
    photos = [grey(level) for level in range(n)]
    runtime = Means()
    batches = list(pipeline(runtime).batches(iter(photos) if lazy else photos))
    assert [len(batch.positions) for batch in batches] == [4] * (n // 4) + [n % 4] * bool(n % 4)
    assert runtime.batches == [len(batch.positions) for batch in batches]
    assert runtime.expected == [0 if lazy else n]
    for batch in batches:
        assert (batch.positions.dtype, batch.vectors.dtype) == (np.int64, np.float32)
        assert batch.vectors.shape == (len(batch.positions), 3)
    if n:
        assert together(batches) == (list(range(n)), list(range(n)), [])


def test_slow_photos_do_not_change_the_order(monkeypatch):
    from fashionsearch.images import decoding

    decode = decoding.decode

    def sometimes_slow(image, **options):
        time.sleep(0.02 if image[0, 0, 0] % 3 == 0 else 0)
        return decode(image, **options)

    monkeypatch.setattr(decoding, "decode", sometimes_slow)
    assert together(pipeline().batches([grey(level) for level in range(20)]))[1] == list(range(20))


def test_nothing_is_embedded_as_nothing(backbone):
    for nothing in ([], (), iter([]), np.zeros((0, 9, 9, 3), np.uint8)):
        embeddings = backbone.embed(nothing)
        assert (embeddings.shape, embeddings.dtype) == ((0, 256), np.float32)
        assert list(backbone.embed_batches(nothing)) == []


def test_a_generator_is_read_a_little_ahead():
    read = itertools.count()

    def endless():
        for level in read:
            yield grey(level % 200)

    stream = pipeline().batches(endless())
    for done in range(1, 30):
        batch = next(stream)
        assert batch.positions.tolist() == list(range(4 * done - 4, 4 * done))
        so_far = next(read)
        assert so_far + 1 - done <= 4 * done + 2 * 4 + 1, "read further ahead than two batches"
        assert so_far + 1 - done >= 4 * done
    stream.close()


def test_stopping_early_leaves_no_threads():
    before = threads()

    def endless():
        yield from (grey(level % 256) for level in itertools.count())

    started = time.perf_counter()
    stream = pipeline().batches(endless())
    for batch in stream:
        if batch.positions[0] >= 8:
            break
    stream.close()
    assert time.perf_counter() - started < 3
    assert threads() == before


def test_an_error_leaves_no_threads(tmp_path):
    before = threads()

    def of_the_program():
        yield grey(1)
        raise ZeroDivisionError("in the caller's own generator")

    with pytest.raises(ZeroDivisionError):
        list(pipeline().batches(of_the_program()))
    with pytest.raises(errors.ImageError):
        list(pipeline().batches([grey(1)] * 30 + [tmp_path / "missing.jpg"] + [grey(1)] * 30))
    with pytest.raises(errors.InputError):
        list(pipeline().batches(7))
    assert threads() == before


def test_two_streams_of_one_pipeline_do_not_disturb_each_other():
    runtime = Means(most=2)
    shared = pipeline(runtime, batch_size=8)
    first, second = (
        shared.batches([grey(level) for level in range(start, start + 30)]) for start in (0, 100)
    )
    with pytest.warns(errors.DataWarning):
        pairs = list(itertools.zip_longest(first, second))
    ones, others = (together(batch for batch in batches if batch) for batches in zip(*pairs, strict=True))
    assert ones[1] == list(range(30))
    assert others[1] == list(range(100, 130))


# Images that can't be read.


def test_an_image_that_cannot_be_read_stops_and_is_named(backbone, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    photos = [grey(1)] * 9 + [tmp_path / "text.jpg", tmp_path / "missing.jpg"]
    with pytest.raises(errors.ImageError, match=r"image 9 \(.*text\.jpg\): is not a JPEG") as caught:
        backbone.embed(iter(photos))
    assert [failure.position for failure in caught.value.failures] == [9]


def test_skipping_lists_positions_and_reasons_and_keeps_the_order(tmp_path):
    photos = [grey(level) for level in range(12)]
    photos[0] = tmp_path / "missing.jpg"
    photos[5] = b""
    photos[6] = grey(9).astype(np.float32)
    photos[11] = 7
    positions, values, failures = together(pipeline().batches(photos, on_error="skip"))
    assert positions == values == [1, 2, 3, 4, 7, 8, 9, 10]
    assert [failure.position for failure in failures] == [0, 5, 6, 11]
    reasons = ["there is no such file", "the file is empty", "in [0, 1]", "is not an image"]
    for failure, reason in zip(failures, reasons, strict=True):
        assert reason in failure.reason
    assert failures[0].source.endswith("missing.jpg")


def test_pieces_of_failures_alone_have_the_width_of_the_others(tmp_path, backbone):
    missing = [tmp_path / f"{i}.jpg" for i in range(70)]
    batches = list(backbone.embed_batches(missing, on_error="skip"))
    assert sum(len(batch.failures) for batch in batches) == 70
    assert {batch.vectors.shape for batch in batches} == {(0, backbone.dim)}
    mixed = list(backbone.embed_batches([*missing, grey(1)], on_error="skip"))
    assert np.concatenate([batch.vectors for batch in mixed]).shape == (1, backbone.dim)


def test_failures_do_not_pile_up_in_memory(tmp_path):
    stream = pipeline(batch_size=2).batches([tmp_path / "missing.jpg"] * 200, on_error="skip")
    assert len(next(stream).failures) <= 2 * 16
    stream.close()


@pytest.mark.parametrize("word", ["skp", "ignore", None, True])
def test_on_error_is_one_of_two_words(word, backbone):
    with pytest.raises(errors.InputError, match=f"on_error={word!r} is neither 'raise' nor 'skip'"):
        list(backbone.embed_batches([grey(1)], on_error=word))


def test_sources_are_the_paths(tmp_path):
    Image.fromarray(grey(7)).save(tmp_path / "seven.png")
    path = tmp_path / "seven.png"
    (batch,) = pipeline().batches([path, grey(1), str(path), path.read_bytes()])
    assert batch.sources == (str(path), None, str(path), None)


# Forms of images.


def test_forms_of_one_image_give_one_embedding(backbone, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    with path.open("rb") as file, Image.open(path) as opened:
        forms = [
            photo,
            path,
            str(path),
            path.read_bytes(),
            file,
            io.BytesIO(path.read_bytes()),
            opened,
            photo / 255.0,
            torch.from_numpy(photo).permute(2, 0, 1),
            torch.from_numpy(photo / 255.0).permute(2, 0, 1),
        ]
        expected = backbone.embed(photo)
        assert expected.shape == (1, 256)
        for form in forms:
            got = backbone.embed(form)
            assert got.shape == (1, 256)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            backbone.embed(forms), np.repeat(expected, len(forms), axis=0), rtol=1e-4, atol=1e-5
        )
    for batch in (np.stack([photo, photo]), torch.from_numpy(np.stack([photo, photo])).permute(0, 3, 1, 2)):
        assert backbone.embed(batch).shape == (2, 256)


# Memory.


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("MPS backend out of memory")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("most", [1, 2, 3, 5, 7])
def test_out_of_memory_goes_on_with_smaller_batches(most, error):
    runtime = Means(most, error)
    small = pipeline(runtime, batch_size=8)
    with pytest.warns(
        errors.DataWarning, match="out of memory with 8 images a batch.* A batch_size of 4 or less"
    ) as warned:
        got, again = (together(small.batches([grey(level) for level in range(29)])) for _ in range(2))
    assert got == again == (list(range(29)), list(range(29)), [])
    assert len(warned) == 1
    fits = {1: 1, 2: 2, 3: 2, 5: 4, 7: 4}[most]
    assert runtime.images == 58, "an image was embedded twice"
    failed = [n for n in runtime.batches if n > most]
    assert failed == [n for n in (8, 4, 2) if n > most], "what did not fit was tried again"
    assert max(n for n in runtime.batches if n <= most) == fits


def test_one_image_that_does_not_fit_is_an_error():
    with pytest.warns(errors.DataWarning), pytest.raises(torch.OutOfMemoryError):
        list(pipeline(Means(most=0)).batches([grey(1)] * 4))
    with pytest.raises(torch.OutOfMemoryError):  # without a warning, which would be an error
        list(pipeline(Means(most=0), batch_size=1).batches([grey(1)] * 4))


def test_other_errors_are_not_taken_for_memory():
    runtime = Means(2, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(pipeline(runtime).batches([grey(1)] * 4))
    assert runtime.batches == [4]


# The cache.


def test_what_is_cached_is_not_run_again(cache):
    photos = [grey(level) for level in range(10)]
    first, second = Means(), Means()
    expected = together(pipeline(first).batches(photos, cache=cache))
    assert together(pipeline(second).batches(photos, cache=cache)) == expected
    assert (first.images, second.images) == (10, 0)


def test_hits_and_misses_keep_the_order(cache, tmp_path):
    list(pipeline().batches([grey(level) for level in range(0, 40, 3)], cache=cache))
    runtime = Means()
    photos = [grey(level) for level in range(40)]
    photos[6] = photos[7] = tmp_path / "missing.jpg"
    positions, values, failures = together(pipeline(runtime).batches(photos, on_error="skip", cache=cache))
    assert positions == values == [level for level in range(40) if level not in (6, 7)]
    assert runtime.images == 40 - 14 - 1
    assert [failure.position for failure in failures] == [6, 7]


def test_a_photo_is_known_by_its_bytes_and_not_by_its_path(cache, tmp_path, photo):
    path, copy = tmp_path / "a.jpg", tmp_path / "b.jpg"
    path.write_bytes(photo(seed=1))
    copy.write_bytes(photo(seed=1))
    runtime = Means()
    model = pipeline(runtime)
    first = together(model.batches([path], cache=cache))
    assert together(model.batches(copy, cache=cache)) == first
    with path.open("rb") as file:
        assert together(model.batches([file, str(path), path.read_bytes()], cache=cache))[1] == first[1] * 3
    assert runtime.images == 1
    path.write_bytes(photo(seed=2))
    assert together(model.batches([path], cache=cache)) != first
    assert runtime.images == 2
    path.unlink()
    with pytest.raises(errors.ImageError):
        list(model.batches([path], cache=cache))


def test_the_same_new_photo_twice_is_right_twice(cache):
    assert together(pipeline().batches([grey(3), grey(4), grey(3)], cache=cache))[1] == [3, 4, 3]


def test_a_cached_row_of_another_length_is_not_used(cache):
    model = pipeline()
    list(model.batches([grey(3)], cache=cache))
    ((key,),) = cache._connection.execute("SELECT key FROM checked_embeddings").fetchall()
    cache.put({key: np.ones(2, np.float32)})
    assert together(model.batches([grey(3), grey(5)], cache=cache))[1] == [3, 5]


def layers(kind):
    return torch.nn.Sequential(kind(2), torch.nn.Flatten())


def test_everything_that_decides_an_embedding_is_in_the_key(cache):
    photos = [np.random.default_rng(seed).integers(0, 256, (20, 16, 3), dtype=np.uint8) for seed in range(3)]
    size = fs.Preprocess((8, 8))
    linear = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 12))
    other_weights = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 12)
    )
    models = [
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), size),
        fs.Backbone(
            layers(torch.nn.AdaptiveMaxPool2d), size
        ),  # no weights at all: the layers tell them apart
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), fs.Preprocess((8, 8), mean=(0, 0, 0))),
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), fs.Preprocess((8, 8), std=(1, 1, 1))),
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), fs.Preprocess((8, 9))),
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), fs.Preprocess((8, 8), interpolation="nearest")),
        fs.Backbone(layers(torch.nn.AdaptiveAvgPool2d), fs.Preprocess((8, 8), resize="crop")),
        fs.Backbone(linear, size),
        fs.Backbone(other_weights, size),
        fs.Backbone(linear, size, precision="bf16"),
    ]
    alone = [model.embed(photos) for model in models]
    for model, expected in zip(models, alone, strict=True):
        assert np.array_equal(model.embed(photos, cache=cache), expected)
        assert np.array_equal(model.embed(photos, cache=cache), expected)
    ((rows,),) = cache._connection.execute("SELECT count(*) FROM checked_embeddings").fetchall()
    assert rows == len(photos) * len(models)


def test_batch_size_and_a_saved_copy_share_the_cache(backbone, cache, tmp_path, monkeypatch):
    photos = [grey(level) for level in (10, 90, 200)]
    expected = backbone.embed(photos, cache=cache)
    backbone.save(tmp_path / "saved")
    again = fs.Backbone.load(tmp_path / "saved", runtime="torch", batch_size=2)
    monkeypatch.setattr(again._open()[1], "run", lambda _: pytest.fail("the network was run"))
    assert np.array_equal(again.embed(photos, cache=cache), expected)


def test_a_failing_cache_stops_nothing(cache, tmp_path):
    cache._connection.execute("DROP TABLE checked_embeddings")
    with pytest.warns(errors.DataWarning, match="embeddings are not cached") as warned:
        got = together(pipeline().batches([grey(level) for level in range(9)], cache=cache))
    assert got[1] == list(range(9))
    assert len(warned) == 1


def test_nothing_is_cached_unless_asked(backbone, monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(tmp_path / "cache"))
    backbone.embed([grey(1)])
    assert not (tmp_path / "cache").exists()


# Precision.


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("fp16", 0.02)])
def test_half_precision_is_close(precision, tolerance):
    photos = [np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8) for seed in range(3)]
    options = {"image_size": 32, "runtime": "torch", "progress": False}
    full = fs.create_backbone("efficientnet_lite0", **options).embed(photos)
    half = fs.create_backbone("efficientnet_lite0", precision=precision, **options)
    got = half.embed(photos)
    assert (got.dtype, half.precision) == (np.float32, precision)
    off = np.linalg.norm(got - full, axis=1) / np.linalg.norm(full, axis=1)
    assert 0 < off.max() < tolerance


def test_automatic_precision_on_the_cpu_is_full():
    assert fs.create_backbone("cnn", weights=None, image_size=16, device="cpu").precision == "fp32"


# Where the time goes.


def test_the_time_of_each_stage_is_reported(cache, photo):
    class Slow(Means):
        def run(self, pixels):
            time.sleep(0.05)
            return super().run(pixels)

    model = pipeline(Slow(), preprocess=fs.Preprocess((224, 224)))
    photos = [photo(size=(600, 500), seed=seed) for seed in range(8)]
    seconds = [batch.seconds for batch in model.batches(photos, cache=cache)]
    assert len(seconds) == 2
    for stage in seconds:
        assert stage.model >= 0.05
        assert 0 < stage.decoding < 1
        assert 0 < stage.resizing < 1
    known = [batch.seconds for batch in model.batches(photos, cache=cache)]
    assert sum(stage.model for stage in known) < 0.01
    assert sum(stage.resizing for stage in known) == 0


def test_a_single_photo_starts_no_threads(photo):
    seen = []

    class Watching(Means):
        def run(self, pixels):
            seen.append(len(threads()))
            return super().run(pixels)

    before = len(threads())
    model = pipeline(Watching())
    for form in (photo(), [photo()], grey(3)):
        assert [len(batch.positions) for batch in model.batches(form)] == [1]
    assert seen == [before] * 3


# Buffers that are filled anew.


def refilled_array():
    buffer = np.zeros((4, 4, 3), np.uint8)
    for level in range(60):
        buffer[:] = level
        yield buffer


def refilled_batches():
    buffer = np.zeros((6, 4, 4, 3), np.uint8)
    for first in range(0, 60, 6):
        buffer[:] = np.arange(first, first + 6)[:, None, None, None]
        yield buffer


def refilled_tensor():
    for array in refilled_array():
        yield torch.from_numpy(array).permute(2, 0, 1)


def refilled_bytes(view=lambda buffer: buffer):
    encoded = [io.BytesIO() for _ in range(60)]
    for level, file in enumerate(encoded):
        Image.fromarray(grey(level)).save(file, "BMP")
    buffer = bytearray(encoded[0].getvalue())
    for file in encoded:
        buffer[:] = file.getvalue()
        yield view(buffer)


def refilled_file():
    file = io.BytesIO()
    for encoded in refilled_bytes():
        file.seek(0)
        file.write(encoded)
        yield file


def closed_files():
    for encoded in refilled_bytes():
        with io.BytesIO(encoded) as file:
            yield file


def frames():
    file = io.BytesIO()
    pictures = [Image.fromarray(grey(level)) for level in range(60)]
    pictures[0].save(file, "TIFF", save_all=True, append_images=pictures[1:])
    return ImageSequence.Iterator(Image.open(file))


class Refilled:
    """A collection that gives the same buffer for each photo."""

    def __init__(self):
        self.buffer = np.zeros((4, 4, 3), np.uint8)

    def __len__(self):
        return 60

    def __iter__(self):
        for level in range(60):
            self.buffer[:] = level
            yield self.buffer


@pytest.mark.parametrize(
    "photos",
    [
        refilled_array,
        refilled_batches,
        refilled_tensor,
        refilled_bytes,
        lambda: refilled_bytes(memoryview),
        refilled_file,
        closed_files,
        frames,
        Refilled,
    ],
)
def test_a_buffer_that_is_filled_anew_gives_each_of_its_photos(photos):
    assert together(pipeline().batches(photos()))[1] == list(range(60))


def test_arrays_in_a_list_are_not_copied():
    photos = [grey(1), grey(2)]
    assert [one is other for one, other in zip(fs.images.iterate(photos), photos, strict=True)] == [True] * 2


# What the network returns.


def test_nan_and_infinity_are_never_returned():
    class Overflows(Means):
        def run(self, pixels):
            rows = super().run(pixels)
            rows[rows[:, 0] > 5, 1] = np.inf
            return rows

    photos = [grey(level) for level in (1, 9, 2, 7)]
    with pytest.raises(errors.InputError, match=r"NaN or infinity for image 1 \(no path\), 3 \(no path\)"):
        list(pipeline(Overflows()).batches(photos))


def test_an_embedding_in_the_cache_that_is_not_finite_is_a_miss(cache):
    photos = [grey(3)]
    list(pipeline().batches(photos, cache=cache))
    (key,) = (row[0] for row in cache._connection.execute("SELECT key FROM checked_embeddings"))
    cache.put({key: np.full(3, np.nan, np.float32)})
    assert together(pipeline().batches(photos, cache=cache))[1] == [3]


def test_photos_of_the_networks_size_start_no_threads(monkeypatch):
    started = []
    monkeypatch.setattr("fashionsearch.images.ordered_map", lambda *rest, **_: started.append(rest))
    runtime = Means()
    pipeline = Pipeline(runtime, PREPROCESS, dim=3, fingerprint="", batch_size=8, progress=False)
    photos = [np.full((4, 4, 3), value, np.uint8) for value in (10, 200, 30)]
    (batch,) = pipeline.batches(photos)
    assert not started
    assert batch.vectors[:, 0].argsort().tolist() == [0, 2, 1]
