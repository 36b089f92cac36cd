"""What `to_pandas` gives: the same columns of the same kinds whatever was found, and a clear word without pandas."""

import sys
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.results import Audit, Broken, Duplicate, Mislabel, Tags
from fashionsearch.results.findings import Finding
from fashionsearch.results.frames import data_frame


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.fixture
def index():
    index = fs.VisualIndex(dim=2)
    metadata = [
        {"colour": "red", "year": 2012, "sale": True, "id": 7, "price": 9.5},
        {"colour": None, "year": None, "sale": None, "id": 8},
        {},
    ]
    index.add_vectors([[1, 0], [1, 0.5], [0, 1]], ids=["a", "b", "c"], metadata=metadata)
    return index


@pytest.fixture
def tags():
    return Tags(
        value={"kind": np.array(["shirt", None], object)},
        confidence={"kind": np.array([0.98, 0.0])},
        sure={"kind": np.array([True, False])},
        unfamiliar=np.array([False, True]),
        sources=np.array(["a.jpg", None], object),
        threshold=0.95,
        parents={},
    )


def test_matches_have_a_row_each_and_a_column_for_each_field(index):
    matches = index.search_vectors([[1, 0], [0, 1]], k=3)
    frame = matches.to_pandas()
    assert frame["query"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["rank"].tolist() == [0, 1, 2, 0, 1, 2]
    assert frame["id"].tolist() == matches.ids.ravel().tolist()
    np.testing.assert_array_equal(frame["similarity"], matches.similarities.ravel())
    assert frame["probability"].isna().all()
    first = frame.iloc[0]
    assert (first["colour"], first["year"], first["sale"], first["price"]) == ("red", 2012, True, 9.5)
    assert (first["metadata.id"], first["parts.vector"]) == (7, 1.0)
    kinds = dtypes(frame)
    assert (kinds["similarity"], kinds["probability"], kinds["parts.vector"]) == ("float32",) * 3
    assert (kinds["year"], kinds["sale"], kinds["price"]) == ("Int64", "boolean", "float64")
    assert frame[frame["year"] == 2012]["id"].tolist() == ["a", "a"]


def test_an_answer_without_matches_has_the_columns_of_every_answer(index):
    with pytest.warns(errors.DataWarning, match="no item fits"):
        frame = index.search_vectors([[1, 0]], k=3, where={"year": 1900}).to_pandas()
    assert len(frame) == 0
    assert list(frame)[:6] == ["query", "rank", "id", "similarity", "probability", "source"]
    assert dtypes(frame)["similarity"] == "float32"


def test_tags(tags):
    frame = tags.to_pandas()
    assert list(frame) == ["image", "kind", "kind confidence", "kind sure", "unfamiliar", "review"]
    assert frame["image"].tolist() == ["a.jpg", 1]
    assert frame["kind"].isna().tolist() == [False, True]
    assert frame[frame["kind sure"]]["kind"].tolist() == ["shirt"]
    none = Tags(
        {"kind": np.zeros(0, object)},
        {"kind": np.zeros(0)},
        {"kind": np.zeros(0, bool)},
        np.zeros(0, bool),
        np.zeros(0, object),
        0.95,
        {},
    ).to_pandas()
    assert list(none) == list(frame)
    assert dtypes(none)["kind sure"] == dtypes(frame)["kind sure"] == "bool"


def test_an_evaluation_has_a_row_a_class():
    evaluation = fs.metrics.evaluate(
        np.array(["bag", "shoe", "shoe", "bag"]),
        np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.7, 0.3, 0]]),
        np.array(["bag", "shoe", "sock"]),
    )
    rows = evaluation.to_rows()
    assert rows == evaluation.to_dict()["per_class"]
    assert rows[2]["auc"] is None
    frame = evaluation.to_pandas()
    assert list(frame) == ["label", "precision", "recall", "f1", "auc", "support"]
    assert frame["label"].tolist() == ["bag", "shoe", "sock"]
    assert frame["recall"].tolist() == [row.recall for row in evaluation.per_class]
    assert (dtypes(frame)["auc"], dtypes(frame)["support"]) == ("float64", "int64")
    assert frame["auc"].isna().tolist() == [False, False, True]


def test_an_audit_has_the_same_columns_whatever_it_found():
    audit = Audit(
        mislabels=(Mislabel(1, "b.jpg", "kind", "Shirt", "Dress", 0.98),),
        duplicates=(Duplicate(2, "c.jpg", 0, "a.jpg", exact=True, score=1.0),),
    )
    frame = audit.to_pandas()
    assert frame["fault"].tolist() == ["mislabel", "duplicate"]
    assert frame["of"].tolist() == [pd.NA, 0]
    assert frame["exact"].tolist() == [pd.NA, True]
    fewer = Audit(broken=(Broken(0, None, "Blurred", 0.7),)).to_pandas()
    assert list(fewer) == list(Audit().to_pandas()) == list(frame)
    assert dtypes(fewer)["of"] == dtypes(Audit().to_pandas())["of"] == "Int64"


def test_every_column_of_a_finding_is_in_the_frame():
    known = set(Audit().to_pandas())
    assert {field.name for kind in Finding.__args__ for field in fields(kind)} == known - {"fault"}


def test_whole_numbers_that_no_64_bits_hold_stay_what_they_are():
    frame = data_frame([{"a": 2**70}, {}], {"a": None})
    assert frame["a"].tolist() == [2**70, None]


def test_without_pandas_it_says_what_to_do(index, tags, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in (tags, Audit(), index.search_vectors([[1, 0]])):
        with pytest.raises(errors.MissingPackageError, match=r"pip install pandas, or use to_rows\(\)"):
            result.to_pandas()
