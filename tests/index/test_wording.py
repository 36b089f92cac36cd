"""What an index knows of words: what it learned, what its encoder knows, what ships, and what it refuses."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors

COLOURS, KINDS, DIM = ("red", "blue", "green", "black"), ("shirt", "dress", "shoes", "belt", "watch"), 16
PAIRS = [(COLOURS[n % 4], KINDS[n // 4 % 5]) for n in range(160)]
TITLES = [f"Brand{n % 9} {colour} {kind}" for n, (colour, kind) in enumerate(PAIRS)]


class Colours:
    """An encoder of mean colours, which knows three words."""

    dim = 3

    def embed(self, images):
        return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) / 255 + 0.01 for image in images])

    def embed_text(self, texts):
        return [[0.01 + (name in text) for name in ("red", "green", "blue")] for text in texts]


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 60)


def shown():
    rng = np.random.default_rng(0)
    vectors = {word: rng.normal(size=DIM) for word in COLOURS + KINDS}
    return np.array([vectors[a] + vectors[b] + 0.2 * rng.normal(size=DIM) for a, b in PAIRS], np.float32)


def filled(**options):
    index = fs.VisualIndex(dim=DIM, progress=False, **options)
    index.add_vectors(shown(), metadata={"title": TITLES, "number": list(range(160))})
    return index


def test_what_was_learned_is_saved_and_loaded(tmp_path):
    index = filled()
    index.learn_text("title")
    wanted = index.search(text=["red shirt", "black watch"], k=5)
    index.save(tmp_path / "saved")
    found = fs.VisualIndex.load(tmp_path / "saved").search(text=["red shirt", "black watch"], k=5)
    assert (found.ids == wanted.ids).all()
    with fs.VisualIndex.open(tmp_path / "opened", dim=DIM, progress=False) as opened:
        index.copy_to(opened)
        opened.learn_text("title")
    with fs.VisualIndex.open(tmp_path / "opened", progress=False, read_only=True) as opened:
        assert (opened.search(text=["red shirt", "black watch"], k=5).ids == wanted.ids).all()
        with pytest.raises(errors.StorageError, match="read_only"):
            opened.learn_text("title")
    names = b"".join(path.read_bytes() for path in (tmp_path / "saved").rglob("learned-words.*"))
    assert b"shirt" not in names.lower()


def test_titles_may_be_given_for_the_items_and_some_unknown():
    index = filled()
    index.learn_text([None if number % 7 == 0 else title for number, title in enumerate(TITLES)])
    assert "red shirt" in TITLES[index.search(text="red shirt", k=1).ids[0, 0]]


def test_titles_of_other_photos_are_learned_from():
    rng = np.random.default_rng(0)
    base = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
    names = list(base) * 20
    photos = [np.clip(rng.normal(base[name], 9, (8, 8, 3)), 0, 255).astype(np.uint8) for name in names]
    titles = [f"{name} thing {number % 10}" for number, name in enumerate(names)]
    index = fs.VisualIndex(Colours(), progress=False)
    index.add(photos[:9])
    assert names[index.search(text="red", k=1).ids[0, 0]] == "red"  # the encoder's own words
    index.learn_text(titles, photos)
    assert names[index.search(text="a blue thing", k=1).ids[0, 0]] == "blue"
    assert set(index.search(photos[0], text="blue", k=1)[0][0].parts) == {"photo", "text"}
    assert index.search(photos[:2], text=["red", "blue"], k=2).ids.shape == (2, 2)
    with pytest.raises(errors.InputError, match="2 texts and 3 photos"):
        index.search(photos[:3], text=["red", "blue"])
    with pytest.raises(errors.InputError, match="2 texts and 1 photos"):
        index.search(photos[0], text=["red", "blue"])
    for weight, alone in ((0, {"images": photos[0]}), (1, {"text": "blue"})):
        both = index.search(photos[0], text="blue", text_weight=weight, k=9)
        assert both.ids.tolist() == index.search(**alone, k=9).ids.tolist()


@pytest.mark.parametrize(
    ("titles", "images", "message"),
    [
        ("titel", None, "'titel'"),
        ("number", None, "is a int; titles are text"),
        (TITLES[:9], None, "9 titles and 160 items"),
        (["one"] * 160, None, "1 titles differ, and words are learned from at least 20"),
        ([7] * 160, None, "is a int"),
        (TITLES, ["a.jpg"], "no encoder to embed images"),
        (["word " * 10_000] * 160, None, "10,000 words"),
    ],
)
def test_titles_that_cannot_be_learned_from_change_nothing(titles, images, message):
    index = filled()
    index.learn_text("title")
    before = index.search(text="red shirt").ids
    with pytest.raises(errors.InputError, match=message):
        index.learn_text(titles, images)
    assert (index.search(text="red shirt").ids == before).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a text"),
        (" ", "is empty"),
        (["red", " "], "is empty"),
        ("word " * 10_000, "10,000 words"),
        ([7], "is a int"),
        ([], "neither a text"),
        (7, "neither a text"),
    ],
)
def test_what_is_no_text_is_refused(text, message):
    index = filled()
    index.learn_text("title")
    with pytest.raises(errors.InputError, match=message):
        index.search(text=text)


def test_words_are_compared_by_the_cosine_alone():
    index = filled(metric="euclidean")
    index.learn_text("title")
    with pytest.raises(errors.InputError, match="metric='cosine'"):
        index.search(text="red shirt")


def test_fashion_knows_words_before_anything_was_learned():
    shop = fs.datasets.make_catalogue(60, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(shop.images)
    found = index.search(text="shoes", k=5).ids[0].astype(int)
    assert found.shape == (5,)
    tagger = fs.VisualIndex(fs.Tagger.from_pretrained("fashion", progress=False), progress=False)
    tagger.add(shop.images)
    assert (tagger.search(text="shoes", k=5).ids[0] == found).all()
