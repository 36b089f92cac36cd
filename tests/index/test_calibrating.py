"""Learning what a likeness is worth."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index import calibrating


def clustered(n, *, spread=0.4, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, n)
    return (np.eye(6)[kinds] + rng.normal(size=(n, 6)) * spread).astype(np.float32), kinds.tolist()


class Mean:
    """Embeds a photo by its mean colour."""

    dim = 3

    def embed(self, images):
        return np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) + 1 for image in images])


def test_the_report_says_how_well_chances_hold():
    vectors, kinds = clustered(600)
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(vectors, metadata={"kind": kinds})
    report = index.calibrate("kind")
    assert report.field == "kind"
    assert report.queries == 600
    assert 0.5 < report.precision < 1
    assert report.auc > 0.7
    assert report.calibration_error < 0.08
    assert 1 <= report.length <= 3
    assert report.false_empty <= 0.02
    assert "AUC" in repr(report)
    assert "<table>" in report._repr_html_()


def test_what_is_known_already_is_no_answer_to_itself():
    vectors, kinds = clustered(300)
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(vectors, metadata={"kind": kinds})
    own = calibrating.own_queries(index._engine, "kind", lambda sources: np.zeros(len(sources), dtype=bool))
    found = calibrating._evidence(index._engine, "kind", own, [None] * 300, lambda done: None, lacking=False)
    seen = [float(query.similarities[0]) for query in found]
    assert max(seen) < 0.99999


def test_items_that_the_encoder_learned_from_are_no_queries():
    vectors, kinds = clustered(300)
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(vectors, metadata={"kind": kinds})
    own = calibrating.own_queries(index._engine, "kind", lambda sources: np.arange(len(sources)) % 2 == 0)
    assert len(own.kinds) == 150


def test_photos_and_labels_may_be_given():
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 3, 400)
    photos = [
        np.clip(np.eye(3)[base] * 90 + rng.integers(0, 140, 3), 0, 255).astype(np.uint8)
        * np.ones((4, 4, 3), np.uint8)
        for base in bases
    ]
    index = fs.VisualIndex(Mean(), progress=False)
    index.add(photos[:250], metadata={"kind": bases[:250].tolist()})
    report = index.calibrate("kind", images=photos[250:], labels=[*bases[250:399].tolist(), None])
    assert report.queries == 149
    with pytest.raises(errors.InputError, match="belong together"):
        index.calibrate("kind", images=photos)
    with pytest.raises(errors.InputError, match="'kind' holds 2 values, and there are 3 items"):
        index.calibrate("kind", images=photos[:3], labels=[1, 2])


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ([0, 1] * 20, "are too few to calibrate on"),
        ([1] * 100, "100 queries of 1 kinds"),
        (list(range(100)), "nothing can be learned"),
        ([None] * 100, "0 queries"),
    ],
)
def test_too_little_to_learn_from_is_refused_and_changes_nothing(kinds, reason):
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(clustered(len(kinds))[0], metadata={"kind": kinds})
    with pytest.raises(errors.InputError, match=reason):
        index.calibrate("kind")
    assert np.isnan(index.search_vectors(np.eye(6)[:1]).probabilities).all()


def test_a_field_that_nothing_has_and_distances_are_refused():
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(clustered(100)[0], metadata={"kind": clustered(100)[1]})
    with pytest.raises(errors.InputError, match="calibrate names the field 'type'"):
        index.calibrate("type")
    with pytest.raises(errors.InputError, match="metric='euclidean'"):
        fs.VisualIndex(dim=6, metric="euclidean").calibrate("kind")


def test_a_tagger_of_the_encoder_is_heard():
    shop = fs.datasets.make_catalogue(260, seed=0)
    index = fs.VisualIndex("fashion", progress=False)
    index.add(shop.images, metadata={"articleType": shop["articleType"]})
    index.calibrate("articleType")
    assert index._learned["calibration"].tagged
    found = index.search(shop.images[:3], k=5, min_probability=0.2)
    assert np.isfinite(found.probabilities[0, : found.counts[0]]).all()
