"""Chances in place of cosines."""

import json

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.chances import NEVER, Calibration, Evidence, first_of_each
from fashionsearch.storage import Fields

KINDS = ("shirt", "shoe", "bag", "hat")


@pytest.fixture(scope="module")
def made():
    """Return unit vectors about one direction a kind, which overlap, and their kinds."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, len(KINDS), 700)
    vectors = np.eye(8)[kinds] + rng.normal(size=(700, 8)) * 0.45
    return vectors.astype(np.float32), np.array(KINDS)[kinds]


@pytest.fixture(scope="module")
def index(made):
    vectors, kinds = made
    index = fs.VisualIndex(dim=8, progress=False)
    index.add_vectors(vectors[:500], metadata={"kind": [*kinds[:499], None]})
    index.calibrate("kind")
    return index


def test_chances_are_as_often_right_as_they_say(index, made):
    vectors, kinds = made
    found = index.search_vectors(vectors[500:], k=10)
    right = np.array(
        [[hit["kind"] == kind for hit in row] for row, kind in zip(found.metadata, kinds[500:], strict=True)]
    )
    chances = found.probabilities
    assert ((chances >= 0) & (chances <= 1)).mean() > 0.99
    assert abs(np.nanmean(chances) - right.mean()) < 0.06
    sure, unsure = chances > 0.9, chances < 0.5
    assert right[sure].mean() > 0.85
    assert right[unsure].mean() < 0.6


def test_an_item_of_no_known_kind_has_no_chance(index):
    own = index.get(499).vector
    found = index.search_vectors(own, k=3)
    place = found.ids[0].tolist().index(499)
    assert np.isnan(found.probabilities[0, place])
    assert 499 not in index.search_vectors(own, k=3, min_probability=0.0).ids[0].tolist()


def test_a_list_keeps_its_promise_and_is_short(index, made):
    vectors, kinds = made
    lists = index.search_vectors(vectors[500:], k=30, coverage=0.9)
    holds = [
        any(hit["kind"] == kind for hit in row[:count])
        for row, count, kind in zip(lists.metadata, lists.counts, kinds[500:], strict=True)
    ]
    assert 0.84 <= np.mean(holds) <= 0.97
    assert lists.counts.max() <= len(KINDS)
    longer = index.search_vectors(vectors[500:], k=30, coverage=0.97)
    assert (longer.counts >= lists.counts).all()


def test_a_promise_is_kept_where_few_are_shown_and_where_they_are_varied(index, made):
    vectors, kinds = made

    def held(**options):
        lists = index.search_vectors(vectors[500:], coverage=0.95, **options)
        assert lists.ids.shape[1] == options["k"]
        return np.mean(
            [
                any(hit["kind"] == kind for hit in row[:count])
                for row, count, kind in zip(lists.metadata, lists.counts, kinds[500:], strict=True)
            ]
        )

    assert held(k=4) >= held(k=30) - 1e-9
    assert held(k=4, diversity=0.7) > 0.85


def test_a_tagger_that_no_longer_tags_the_field_is_not_asked(made):
    vectors, kinds = made

    class Spoken:
        dim = 8

        def embed(self, images):
            return np.stack(
                [np.resize(np.asarray(image, np.float32).mean(axis=(0, 1)) + 1, 8) for image in images]
            )

        def embed_text(self, texts):
            return np.eye(8)[[len(text) % 8 for text in texts]]

    def tagger(attribute):
        return fs.Tagger.zero_shot(Spoken(), {attribute: list(KINDS)})

    index = fs.VisualIndex(tagger("kind"), progress=False)
    index.add_vectors(vectors[:300], metadata={"kind": kinds[:300]})
    index.calibrate("kind")
    index.encoder = tagger("other")
    assert np.isnan(index.search_vectors(vectors[:2], k=3).probabilities).all()
    with pytest.raises(errors.InputError, match="with another tagger"):
        index.search_vectors(vectors[:2], coverage=0.9)
    index.remove(list(index))
    index.encoder = tagger("more")
    assert index._learned == {}


def test_chances_do_not_depend_on_k_or_on_the_page(index, made):
    vectors, _ = made
    long = index.search_vectors(vectors[600:603], k=40)
    assert np.isfinite(long.similarities).all()
    short = index.search_vectors(vectors[600:603], k=4)
    np.testing.assert_allclose(short.probabilities, long.probabilities[:, :4])
    page = index.search_vectors(vectors[600:603], k=4, offset=4, exact=True)
    np.testing.assert_allclose(page.probabilities, long.probabilities[:, 4:8], atol=1e-6)


def test_nothing_is_said_where_there_is_no_such_thing(made):
    vectors, kinds = made
    hats = kinds == "hat"
    index = fs.VisualIndex(dim=8, progress=False)
    index.add_vectors(vectors[~hats], metadata={"kind": kinds[~hats]})
    index.calibrate("kind")
    empty = index.search_vectors(vectors[hats], k=5, coverage=0.9).counts == 0
    others = index.search_vectors(vectors[~hats], k=5, coverage=0.9).counts == 0
    assert others.mean() < 0.04
    assert empty.mean() > 3 * others.mean()
    answered = index.search_vectors(vectors[hats], k=5).counts
    assert (answered == 5).all()  # who doesn't ask for chances gets what is nearest


def test_what_was_learned_is_kept(index, made, tmp_path):
    vectors, _ = made
    expected = index.search_vectors(vectors[500:520], k=5)
    index.save(tmp_path / "saved")
    loaded = fs.VisualIndex.load(tmp_path / "saved")
    np.testing.assert_array_equal(
        loaded.search_vectors(vectors[500:520], k=5).probabilities, expected.probabilities
    )
    with fs.VisualIndex.open(tmp_path / "saved") as opened:
        np.testing.assert_array_equal(
            opened.search_vectors(vectors[500:520], k=5).probabilities, expected.probabilities
        )


def test_the_first_of_each_kind():
    assert first_of_each(np.array([2, 2, -1, 0, 2, 1])).tolist() == [0, 3, 5]
    assert first_of_each(np.zeros(0, np.intp)).tolist() == []


def test_a_list_that_is_never_enough_holds_every_kind(index):
    calibration = index._learned["calibration"]
    never = Calibration(**{**vars(calibration), "needed": np.full(100, NEVER)})
    labels = np.array([0, 0, 1, 1, 2])
    assert never.listed(labels, np.full(5, 0.4), 0.9).tolist() == [0, 2, 4]


def test_evidence_without_items():
    empty = fs.VisualIndex(dim=2).search_vectors([[1, 0]])
    evidence = Evidence.of(empty, 0, "kind")
    assert evidence.shares().tolist() == []


def test_a_damaged_state_is_refused(index):
    config, arrays = index._learned["calibration"].state()
    fields = Fields(json.loads(json.dumps(config)))
    assert Calibration.from_state(fields, arrays).field == "kind"
    for name, worse in (
        ("steps", arrays["steps"][:, ::-1].copy()),
        ("steps", arrays["steps"] * 5),
        ("needed", arrays["needed"][::-1].copy()),
        ("same", arrays["same"][:-1]),
        ("absent", arrays["absent"].astype(np.float32)),
    ):
        with pytest.raises(ValueError, match=r"."):
            Calibration.from_state(fields, {**arrays, name: worse})
    with pytest.raises(errors.CorruptFileError):
        Calibration.from_state(Fields({**fields, "threshold": 2}), arrays)
