"""Wherever a column or a table of rows is taken, that of a pandas or polars data frame is, by position and not by label."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.backbones import architectures
from fashionsearch.tagging.state import readable_labels
from fashionsearch.targets import make_targets

N = 24
LABELS = ("masterCategory", "baseColour")


@pytest.fixture(scope="module", autouse=True)
def _pixel_grid():
    @fs.register_backbone("pixel_grid", image_size=32)
    def pixel_grid(weights):
        return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())

    yield
    del architectures._registered["pixel_grid"]


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    """Plain columns of a small shop, whose photos are files."""
    folder = tmp_path_factory.mktemp("shop")
    drawn = fs.datasets.make_catalogue(N, seed=1)
    paths = [str(folder / f"{number}.png") for number in range(N)]
    for path, photo in zip(paths, drawn.images, strict=True):
        Image.fromarray(photo).save(path)
    return {"path": paths, "id": [f"p{n}" for n in range(N)]} | {
        name: drawn[name].tolist() for name in LABELS
    }


def in_pandas(columns):
    """A frame whose rows are labelled backwards, so that a look-up by label gives another row."""
    return pd.DataFrame(columns, index=range(N - 1, -1, -1))


@pytest.fixture(params=[in_pandas, pl.DataFrame], ids=["pandas", "polars"])
def frame(request, columns):
    return request.param(columns)


def kinds_of_text(values):
    yield "pandas text", pd.Series(values)
    yield "pandas objects", pd.Series(values, dtype=object)
    yield "pandas nullable", pd.Series(values, dtype="string")
    yield "pandas categories", pd.Series(values, dtype="category")
    yield "pandas arrow", pd.Series(values, dtype=pd.ArrowDtype(__import__("pyarrow").string()))
    yield "polars text", pl.Series(values)
    yield "polars categories", pl.Series(values, dtype=pl.Categorical)
    yield "polars enum", pl.Series(values, dtype=pl.Enum(sorted({v for v in values if v is not None})))


def classifier(**options):
    return fs.Classifier("pixel_grid", random_state=0, runtime="torch", progress=False, **options)


def tagger(**options):
    return fs.Tagger(
        "pixel_grid", embedding_dim=16, random_state=0, runtime="torch", progress=False, **options
    )


def test_a_classifier_learns_from_columns(frame, columns):
    labels = columns["masterCategory"]
    plain = classifier().fit(columns["path"], labels)
    learned = classifier().fit(frame["path"], frame["masterCategory"])
    np.testing.assert_array_equal(learned.predict_proba(frame["path"]), plain.predict_proba(columns["path"]))
    assert learned.score(frame["path"], frame["masterCategory"]) == plain.score(columns["path"], labels)
    found = learned.evaluate(frame["path"][:20], frame["masterCategory"][:20])
    assert found.labels.tolist() == labels[:20]


@pytest.mark.parametrize("options", [{"epochs": 1, "batch_size": 16}, None], ids=["network", "views"])
def test_rows_are_taken_by_position_where_photos_are_gone_through_again(options, frame, columns):
    def make():
        if options is None:
            return classifier(augmented_views=1)
        return classifier(weights=None, training=fs.FineTuning(**options))

    plain = make().fit(columns["path"], columns["masterCategory"])
    learned = make().fit(frame["path"], frame["masterCategory"])
    np.testing.assert_allclose(
        learned.predict_proba(frame["path"]), plain.predict_proba(columns["path"]), atol=1e-6
    )


def test_labels_of_every_kind_of_text(columns):
    wanted = make_targets(columns["path"], {"kind": columns["masterCategory"]})
    for kind, labels in kinds_of_text(columns["masterCategory"]):
        targets = make_targets(columns["path"], {"kind": labels})
        assert (targets.indices == wanted.indices).all(), kind
        assert targets.classes["kind"].tolist() == ["Accessories", "Apparel", "Footwear"], kind
        assert {type(label) for label in targets.classes["kind"].tolist()} == {str}, kind


def test_nullable_numbers_and_booleans_are_labels(columns):
    for labels, classes in (
        (pd.Series([1, 2] * (N // 2), dtype="Int64"), [1, 2]),
        (pd.Series([True, False] * (N // 2), dtype="boolean"), [False, True]),
        (pl.Series([1, 2] * (N // 2)), [1, 2]),
    ):
        targets = make_targets(columns["path"], {"kind": labels})
        assert targets.classes["kind"].tolist() == classes


def test_missing_labels_are_refused_by_a_classifier_and_unknown_to_a_tagger(columns):
    gaps = [None, *columns["masterCategory"][1:]]
    for kind, labels in kinds_of_text(gaps):
        with pytest.raises(errors.DataError, match="1 of 24 labels are empty, the first at position 0"):
            classifier().fit(columns["path"], labels)
        _, known = readable_labels(columns["path"], {"kind": labels}, "raise")
        targets = make_targets(columns["path"], known, allow_unknown=True)
        assert np.flatnonzero(targets.of("kind") == -1).tolist() == [0], kind
        assert targets.classes["kind"].tolist() == ["Accessories", "Apparel", "Footwear"], kind


def test_a_taggers_labels_are_columns_of_a_frame(frame, columns):
    given = frame[list(LABELS)]
    plain = tagger().fit(columns["path"], {name: columns[name] for name in LABELS})
    learned = tagger().fit(frame["path"], given)
    assert learned.attributes_ == LABELS
    assert (learned.embed(frame["path"]) == plain.embed(columns["path"])).all()
    figures = learned.evaluate(frame["path"], given)
    assert figures["baseColour"].labels.tolist() == columns["baseColour"]
    assert learned.tag(frame["path"]).sources.tolist() == columns["path"]
    learned.correct(frame["path"][:3], frame[["baseColour"]][:3])
    with pytest.raises(errors.InputError, match="'path' is no attribute of this tagger"):
        learned.evaluate(frame["path"], frame[["path"]])
    with pytest.raises(errors.InputError, match="or a data frame of such columns"):
        learned.fit(frame["path"], frame["baseColour"])


def test_photos_that_cannot_be_read_are_left_out_with_their_rows(frame, columns):
    paths = [columns["path"][0], "nowhere.png", *columns["path"][2:]]
    column = type(frame["path"])(paths)
    given = frame[list(LABELS)]
    with pytest.warns(errors.DataWarning, match=r"image 1 \(nowhere.png\)"):
        learned = classifier().fit(column, frame["masterCategory"], on_error="skip")
    with pytest.warns(errors.DataWarning, match=r"image 1 \(nowhere.png\)"):
        figures = learned.evaluate(column, frame["masterCategory"], on_error="skip")
    assert figures.labels.tolist() == [columns["masterCategory"][0], *columns["masterCategory"][2:]]
    with pytest.warns(errors.DataWarning, match=r"image 1 \(nowhere.png\)"):
        kept, labels = readable_labels(column, given, "skip")
    assert len(kept) == len(labels["baseColour"]) == N - 1


def test_an_autoencoder_learns_from_a_column(frame, columns):
    def learned(images):
        encoder = fs.Autoencoder(
            "cnn", latent_dim=4, image_size=32, weights=None, random_state=0, progress=False,
            training=fs.FineTuning(epochs=1, batch_size=16),
        )  # fmt: skip
        return encoder.fit(images).embed(columns["path"])

    np.testing.assert_allclose(learned(frame["path"]), learned(columns["path"]), atol=1e-6)


def test_a_frame_is_not_images_and_a_missing_path_is_named(frame, columns):
    with pytest.raises(errors.InputError, match=r"a data frame is not images; .* frame\['path'\]"):
        fs.check_images(frame)
    for missing in (pd.Series([columns["path"][0], None]), pl.Series([columns["path"][0], None])):
        positions, failures = fs.check_images(missing)
        assert positions.tolist() == [0]
        assert "leave out rows that have none" in failures[0].reason
    assert "leave out rows that have none" in fs.check_images([pd.NA])[1][0].reason


def with_gaps():
    day = datetime.date(2012, 5, 1)
    return {
        "year": [2012, None] * (N // 2),
        "sale": [True, None] * (N // 2),
        "price": [9.5, None] * (N // 2),
        "added": [day, None] * (N // 2),
        "size": ["007", None] * (N // 2),
    }


def gapped(columns):
    numpy_kinds = pd.DataFrame(columns | with_gaps(), index=range(500, 500 + N))
    numpy_kinds["added"] = pd.to_datetime(numpy_kinds["added"])
    yield "numpy", numpy_kinds
    yield "nullable", numpy_kinds.convert_dtypes()
    yield "arrow", numpy_kinds.convert_dtypes(dtype_backend="pyarrow")
    yield "polars", pl.DataFrame(columns | with_gaps())


def test_an_index_takes_paths_ids_and_metadata_from_frames(columns):
    for kind, frame in gapped(columns):
        index = fs.VisualIndex("pixel_grid", progress=False)
        added = index.add(frame["path"], ids=frame["id"], metadata=frame[["baseColour", *with_gaps()]])
        assert list(added.ids) == columns["id"], kind
        item = index.get("p2")
        assert item.source == columns["path"][2], kind
        assert item.metadata == {
            "baseColour": columns["baseColour"][2],
            "year": 2012,
            "sale": True,
            "price": 9.5,
            "added": "2012-05-01",
            "size": "007",
        }, kind
        assert set(index.get("p1").metadata.values()) == {columns["baseColour"][1], None}, kind
        assert index.search(frame["path"][4:6], k=1).ids.ravel().tolist() == ["p4", "p5"], kind
        liked = index.search(like=frame["id"][4:6], exclude=frame["id"][:3], k=N).ids.ravel().tolist()
        assert not {"p0", "p1", "p2"} & set(liked), kind
        where = {"baseColour": frame["baseColour"][:1]}
        found = index.search(frame["path"][0:1], k=3, where=where)[0]
        assert {match.metadata["baseColour"] for match in found} == {columns["baseColour"][0]}, kind
        index.remove(frame["id"][:2])
        assert len(index) == N - 2, kind


def test_ids_may_be_a_frames_index_and_whole_numbers(columns):
    frame = in_pandas(columns)
    index = fs.VisualIndex("pixel_grid", progress=False)
    index.add(frame["path"], ids=frame.index, metadata=frame[["baseColour"]])
    assert index.get(N - 1).metadata == {"baseColour": columns["baseColour"][0]}
    index.add(frame["path"][:1], ids=pd.Series([7], dtype="Int64"))
    index.add(frame["path"][:1], ids=pl.Series([7]))
    index.add(frame["path"][:1], ids=pd.Series([7], dtype="int64[pyarrow]"))
    index.add(frame["path"][:1], ids=pa.chunked_array([[7]]))
    index.remove(pd.Series([7], dtype="int64[pyarrow]"))
    index.add(frame["path"][7:8], ids=pd.Series([7], dtype="int64[pyarrow]"))
    assert type(index.get(7).id) is int
    with pytest.raises(errors.InputError, match="id <NA> is of type NAType"):
        index.add(frame["path"][:1], ids=pd.Series([None], dtype="Int64"))
    with pytest.raises(errors.InputError, match=r"give a list of one mapping an item.*or a data frame"):
        index.add(frame["path"], metadata=frame["baseColour"])
    with pytest.raises(errors.InputError, match="field named 0; a field's name is text"):
        index.add(frame["path"][:1], metadata=pd.DataFrame([["Red"]]))
    assert len(index) == N


def test_vectors_may_be_a_frame_or_a_column_of_vectors():
    wanted = np.array([[1, 0.5], [0.5, 2]], np.float32)
    rows = wanted.tolist()
    for vectors in (
        pd.DataFrame(rows),
        pl.DataFrame(rows, orient="row"),
        pd.Series(rows, index=[8, 9]),
        pd.Series(list(wanted)),
        pl.Series(rows),
        pl.Series(rows, dtype=pl.Array(pl.Float32, 2)),
    ):
        index = fs.VisualIndex(dim=2)
        index.add_vectors(vectors, ids=pd.Series(["a", "b"]))
        assert (index.get("b").vector == wanted[1]).all()
        assert index.search_vectors(vectors, k=1).ids.ravel().tolist() == ["a", "b"]
    with pytest.raises(errors.InputError, match="vectors can't be read"):
        index.add_vectors(pd.Series([[1, 2], [1]]))


def test_titles_and_texts_may_be_columns(monkeypatch):
    monkeypatch.setattr("fashionsearch.words.learning._FEWEST_STEPS", 20)
    names, kinds = ("red", "blue"), ("shirt", "dress", "shoes", "belt", "watch")
    titles = [f"Brand{n % 9} {names[n % 2]} {kinds[n % 5]}" for n in range(99)] + [None]
    index = fs.VisualIndex(dim=4, progress=False)
    index.add_vectors(np.random.default_rng(0).normal(size=(100, 4)))
    index.learn_text(titles)
    wanted = index.search(text=["red shirt", "blue belt"], k=3).ids
    for column in (pd.Series(titles), pd.Series(titles, dtype="string"), pl.Series(titles)):
        index.learn_text(column)
        for texts in (
            pd.Series(["red shirt", "blue belt"], index=[5, 6]),
            pl.Series(["red shirt", "blue belt"]),
        ):
            assert (index.search(text=texts, k=3).ids == wanted).all()


def test_a_table_is_made_of_a_frame(frame, columns):
    table = fs.datasets.Table(frame["path"], frame)
    assert table.images == columns["path"]
    assert table[[3, 1]].images == [columns["path"][3], columns["path"][1]]
    assert table[[3, 1]]["id"].tolist() == ["p3", "p1"]
    found = fs.audit(table, fs.create_backbone("pixel_grid"), attributes="masterCategory", progress=False)
    assert found.sources.tolist() == columns["path"]
