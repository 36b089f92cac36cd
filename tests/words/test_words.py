"""Words: learned from titles, they find the photos of what is said; saved, they are the same."""

import subprocess
import sys

import numpy as np
import pytest

from fashionsearch import errors
from fashionsearch.storage import Fields
from fashionsearch.words import Words
from fashionsearch.words.learning import learn_words
from fashionsearch.words.misspelling import misspelt

COLOURS = ("red", "blue", "green", "black", "white", "yellow")
KINDS = ("shirt", "dress", "shoes", "jacket", "trousers", "belt", "watch")
DIM = 24


@pytest.fixture(scope="module")
def shop():
    """Titles of brands, colours and kinds, and vectors that show the last two."""
    rng = np.random.default_rng(0)
    shown = {word: rng.normal(size=DIM) for word in COLOURS + KINDS}
    titles, vectors = [], []
    for number in range(420):
        colour, kind = COLOURS[number % 6], KINDS[number // 6 % 7]
        titles.append(f"Brand{rng.integers(9)} {colour} {kind}")
        vectors.append(shown[colour] + shown[kind] + 0.3 * rng.normal(size=DIM))
    vectors = np.array(vectors, np.float32)
    return titles, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def words(shop):
    return learn_words(*shop, members=2)


def right(words, shop, texts):
    titles, vectors = shop
    _probes, said = words.read(texts)
    scores = said @ words.see(vectors).T
    found = np.argsort(-scores, axis=1)[:, :5]
    return np.mean([[text in titles[place] for place in row] for text, row in zip(texts, found, strict=True)])


def test_short_texts_find_what_they_say(words, shop):
    texts = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
    assert right(words, shop, texts) > 0.9


def test_candidates_lie_about_the_probe(words, shop):
    titles, vectors = shop
    probes = words.embed_text(["red shirt", "black watch"])
    assert probes.shape == (2, DIM)
    assert probes.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-5)
    assert all("red shirt" in titles[place] for place in np.argsort(-(vectors @ probes[0]))[:5])


def test_misspelt_words_are_understood(words, shop):
    rng = np.random.default_rng(0)
    texts = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
    wrong = [misspelt(text, rng, 1.0) for text in texts]
    titles, vectors = shop
    found = np.argsort(-(words.read(wrong)[1] @ words.see(vectors).T), axis=1)[:, 0]
    assert np.mean([text in titles[place] for text, place in zip(texts, found, strict=True)]) > 0.6


@pytest.mark.parametrize("text", ["赤いドレス", "vestido rojo", "👗", "qwrtpsdf"])
def test_a_text_of_any_language_has_an_answer(words, text):
    probes, said = words.read([text])
    assert np.isfinite(probes).all()
    assert np.isfinite(said).all()
    np.testing.assert_allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-5)


def test_the_same_seed_learns_the_same(shop):
    first, second, other = (learn_words(*shop, members=1, random_state=seed) for seed in (3, 3, 4))
    assert (first.table == second.table).all()
    assert first.table.shape != other.table.shape or (first.table != other.table).any()


def test_state_brings_back_the_same(words):
    config, arrays = words.state()
    again = Words.from_state(Fields(config), arrays)
    assert (again.embed_text(["red shirt"]) == words.embed_text(["red shirt"])).all()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("hashes", lambda array: array[::-1].copy()),
        ("table", lambda array: array[:-1]),
        ("center", lambda array: array[:-1]),
        ("basis", lambda array: array * np.float16(np.nan)),
        ("said", lambda array: array.astype(np.float32)),
        ("unbent", lambda array: array[:, :-1]),
    ],
)
def test_a_damaged_state_is_refused(words, name, change):
    config, arrays = words.state()
    with pytest.raises((ValueError, errors.CorruptFileError), match=name):
        Words.from_state(Fields(config), {**arrays, name: change(arrays[name])})


def test_new_words_are_learned_beside_the_known(words, shop):
    titles, vectors = shop
    renamed = [title.replace("shirt", "camisa").replace("dress", "vestido") for title in titles]
    more = learn_words(renamed, vectors, start=words)
    assert set(words.hashes) < set(more.hashes)
    assert (more.basis == words.basis).all()
    found = np.argsort(-(more.read(["red camisa", "red shirt"])[1] @ more.see(vectors).T), axis=1)[:, 0]
    assert all("red shirt" in titles[place] for place in found)


def test_too_few_titles_are_refused(shop):
    with pytest.raises(errors.InputError, match="19 titles differ, and words are learned"):
        learn_words([f"title {number % 19}" for number in range(60)], shop[1][:60])


def test_vectors_that_are_all_the_same_are_refused():
    with pytest.raises(errors.InputError, match="the same vector"):
        learn_words([f"title {number}" for number in range(60)], np.ones((60, DIM), np.float32))


def test_texts_are_embedded_without_torch():
    code = "import sys, fashionsearch.words; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
