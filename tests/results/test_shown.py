"""What a cell of a notebook may end with: it is a table, and no name in it is ever HTML."""

import warnings

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, results
from fashionsearch.compression.optimize import Trial
from fashionsearch.images.inputs import ImageCheck
from fashionsearch.results.audit import Audit
from fashionsearch.results.shown import ShowsFields, fields_table
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.taxonomy import Taxonomy
from fashionsearch.tuning.candidates import Candidate

EVIL = "<script>alert('x')</script>"
FAILURE = errors.ImageFailure(0, EVIL, EVIL)


def index():
    made = fs.VisualIndex(dim=2, progress=False)
    made.add_vectors([[1, 0], [0, 1]], ids=[EVIL, "b"], metadata=[{EVIL: EVIL}, {EVIL: "c"}])
    return made


def evaluation():
    return fs.metrics.evaluate(
        np.array([EVIL, "tie"]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([EVIL, "tie"]), min_support=5
    )


def session():
    made = index().session()
    made.next(2)
    made.like(EVIL)
    return made


SHOWN = {
    "Added": lambda: results.Added((EVIL,), (FAILURE,)),
    "Broken": lambda: results.Broken(0, EVIL, EVIL, 1.0),
    "ClassRow": lambda: results.ClassRow(EVIL, 1.0, 1.0, 1.0, 1.0, 3),
    "Duplicate": lambda: results.Duplicate(1, EVIL, 0, EVIL, True, 1.0),
    "Evaluation": evaluation,
    "Fidelity": lambda: results.Fidelity(5, 0.9, 0.9, 0.9),
    "History": lambda: results.History(({EVIL: 1.0},)),
    "Item": lambda: index().get(EVIL),
    "Leak": lambda: results.Leak(1, EVIL, EVIL, 0, EVIL, EVIL, EVIL, 1.0),
    "Match": lambda: index().search_vectors([1, 0], k=1)[0][0],
    "Matches": lambda: index().search_vectors([1, 0], k=1),
    "Mislabel": lambda: results.Mislabel(0, EVIL, EVIL, EVIL, EVIL, 0.9),
    "Sharded": lambda: results.Sharded(EVIL, 1, 1, 0, (FAILURE,)),
    "Synced": lambda: results.Synced((EVIL,), (), (), 0, (FAILURE,)),
    "VisualIndex": index,
    "Session": session,
    "Table": lambda: fs.datasets.make_catalogue(3),
    "ImageCheck": lambda: ImageCheck(np.zeros(0, np.int64), (FAILURE,)),
    "Preprocess": lambda: fs.Preprocess((8, 8)),
    "FineTuning": lambda: fs.FineTuning(teacher=EVIL),
    "Augmentation": lambda: fs.Augmentation(),
    "MetricLearning": lambda: fs.MetricLearning(attributes={EVIL: 1}),
    "LinearHead": lambda: LinearHead(np.zeros((2, 3), np.float32), np.zeros(2, np.float32)),
    "Taxonomy": lambda: Taxonomy({EVIL: "b"}, {EVIL: np.zeros(2, np.int64)}),
    "Classifier": lambda: fs.Classifier(EVIL),
    "Tagger": lambda: fs.Tagger(EVIL),
    "Autoencoder": lambda: fs.Autoencoder(EVIL),
    "Backbone": lambda: fs.create_backbone("fashion", progress=False),
}


@pytest.mark.parametrize("name", SHOWN)
def test_it_is_a_table_and_escaped(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DataWarning)
        html = SHOWN[name]()._repr_html_()
    assert html.startswith("<")
    assert "<table" in html
    assert "<script" not in html.lower()


def test_every_result_shows_itself():
    """A class that is added to the results without a view fails here."""
    offered = [getattr(results, name) for name in results.__all__]
    classes = [each for each in offered if isinstance(each, type)]
    assert len(classes) > 20
    assert [each.__name__ for each in classes if not hasattr(each, "_repr_html_")] == []
    others = (fs.Backbone, fs.VisualIndex, fs.Preprocess, fs.Optimization, fs.Tuning, Audit, Trial, Candidate)
    for each in others:
        assert hasattr(each, "_repr_html_"), each


def test_values_are_shown_in_short():
    html = fields_table(EVIL, [(EVIL, EVIL * 100), ("array", np.zeros((2, 3), np.float32)), ("tiny", 1e-9)])
    assert "<script" not in html
    assert html.count("alert") < 10
    assert "(2, 3) float32" in html
    assert "1.0e-09" in html


def test_names_of_fields_may_be_given():
    class Shelf(ShowsFields):
        _view = ("name",)
        name, secret = "shoes", "not shown"

    html = Shelf()._repr_html_()
    assert "shoes" in html
    assert "not shown" not in html
