"""A table hands out rows and columns, splits as scikit-learn does, and names what does not fit."""

import datetime

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets import LoadReport, Table


def table_of(n=100, **columns):
    data = {"id": np.arange(n).astype(str), **{name: np.asarray(values) for name, values in columns.items()}}
    return Table([f"{i}.jpg" for i in range(n)], data, name="test")


def ids(table):
    return [int(value) for value in table["id"]]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (slice(3), [0, 1, 2]),
        (slice(None, None, -40), [99, 59, 19]),
        ([5, 5, -1], [5, 5, 99]),
        (np.array([2, 1]), [2, 1]),
        (range(2), [0, 1]),
        (np.arange(100) % 50 == 7, [7, 57]),
        ([], []),
        (np.array([], dtype=int), []),
        (slice(100, 200), []),
    ],
)
def test_rows(key, expected):
    table = table_of(kind=["x"] * 100)
    part = table[key]
    assert isinstance(part, Table)
    assert ids(part) == expected
    assert part.images == [f"{i}.jpg" for i in expected]
    assert len(part) == len(expected)
    assert part.columns == ("id", "kind")
    assert part.name == "test"


@pytest.mark.parametrize(
    "key",
    [
        [100],
        [-101],
        np.ones(3, bool),
        1.5,
        None,
        ("id", "kind"),
        np.zeros((2, 2), int),
        np.array(3),
        {1},
        [0.5],
    ],
)
def test_rows_that_do_not_fit(key):
    with pytest.raises(errors.DataError, match="rows"):
        table_of(kind=["x"] * 100)[key]


def test_single_rows_and_unknown_columns():
    table = table_of(baseColour=["red"] * 100)
    for key in (5, np.int64(5)):
        with pytest.raises(errors.DataError, match=r"for one row write table\[5:6\]"):
            table[key]
    with pytest.raises(
        errors.DataError,
        match=r"no column 'basecolour'; the columns are id, baseColour. Did you mean 'baseColour'",
    ):
        table["basecolour"]
    with pytest.raises(errors.DataError, match=r"pass table\.images"):
        list(table)


def test_columns_need_one_value_an_image():
    with pytest.raises(errors.DataError, match=r"column 'x' has shape \(3,\), and there are 2 images"):
        Table(["a", "b"], {"x": np.array(["1", "2", "3"])})
    with pytest.raises(errors.DataError, match="column 'x' has shape"):
        Table(["a", "b"], {"x": np.zeros((2, 2))})
    assert Table(["a", "b"], {"x": ["1", "2"]})[1:]["x"].tolist() == ["2"]


def test_metadata_for_an_index():
    table = table_of(3, year=["2012", "", "2013"], season=["Fall", "", "2012"], sale=["True", "false", ""])
    assert table.metadata == {
        "id": ["0", "1", "2"],
        "year": [2012, None, 2013],
        "season": ["Fall", None, "2012"],
        "sale": [True, False, None],
    }
    assert table["year"].tolist() == ["2012", "", "2013"]
    assert table["year"].dtype.kind == "U"


class Frame(dict):
    """What pandas' and polars' frames have in common: `columns`, and a column by its name."""

    columns = property(list)


def test_columns_of_a_data_frame_keep_their_kinds():
    frame = Frame(
        sale=np.array([True, False, True]),
        size=np.array([38.0, np.nan, 40.0]),
        price=np.array([9.5, np.nan, 10], np.float32),
        added=np.array(["2012-05-01", "NaT", "2013-01-01"], "M8[ns]"),
        colour=["red", None, float("nan")],
        code=["007", "12", "3"],
    )
    table = Table(["a", "b", "c"], frame)
    assert table.metadata == {
        "sale": [True, False, True],
        "size": [38, None, 40],
        "price": [9.5, None, 10.0],
        "added": ["2012-05-01", None, "2013-01-01"],
        "colour": ["red", None, None],
        "code": ["007", "12", "3"],
    }
    assert {column: table[column].tolist() for column in table.columns} == {
        "sale": ["True", "False", "True"],
        "size": ["38", "", "40"],
        "price": ["9.5", "", "10.0"],
        "added": ["2012-05-01", "", "2013-01-01"],
        "colour": ["red", "", ""],
        "code": ["007", "12", "3"],
    }
    with pytest.raises(errors.DataError, match="field 'x' holds b'red'"):
        Table(["a"], {"x": [b"red"]})
    with pytest.raises(errors.DataError, match="data is a list; give a mapping of columns or a data frame"):
        Table(["a"], [["x"]])


def test_rows_of_a_table_keep_the_kinds_of_its_columns():
    table = table_of(3, size=["38", "40", "XL"], year=["2012", "", "2013"])
    assert table[:2].metadata["size"] == ["38", "40"], "text, as in the whole table"
    assert table[[2, 0]].metadata["year"] == [2013, 2012]


def test_a_filter_finds_what_a_csv_file_holds(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not looked at")
    (tmp_path / "photos.csv").write_text(
        "image,sale,price,added\na.png,True,9.5,2012-05-01\na.png,False,,2013-01-01 10:30\na.png,True,20,\n"
    )
    table = fs.datasets.load_csv(tmp_path / "photos.csv")
    index = fs.VisualIndex(dim=2)
    index.add_vectors(np.ones((3, 2)), metadata=table.metadata)
    for where, expected in (
        ({"sale": True}, [0, 2]),
        ({"sale": "true"}, [0, 2]),
        ({"price": {"lt": 10}}, [0]),
        ({"price": None}, [1]),
        ({"price": "20"}, [2]),
        ({"added": {"gte": "2013"}}, [1]),
        ({"added": {"lt": np.datetime64("2013-01-01")}}, [0]),
        ({"added": datetime.date(2012, 5, 1)}, [0]),
    ):
        matches = index.search_vectors([1, 1], k=3, where=where)
        assert sorted(match.id for match in matches[0]) == expected, where


@pytest.mark.parametrize(("test", "validation", "seed"), [(0.2, 0.2, 42), (0.1, 0.35, 0), (0.333, 0.5, 7)])
def test_split_is_train_test_split_twice(test, validation, seed):
    parts = table_of().split(test=test, validation=validation, seed=seed)
    rest, test_rows = train_test_split(np.arange(100), test_size=test, random_state=seed)
    train_rows, validation_rows = train_test_split(rest, test_size=validation, random_state=seed)
    for part, rows in zip(parts, (train_rows, validation_rows, test_rows), strict=True):
        assert ids(part) == rows.tolist()


@pytest.mark.data
def test_split_of_the_real_data(real_data):
    table = fs.datasets.load_fashion_products(real_data / "fashion-product-images-small")
    assert len(table) == 12_000
    assert table.report == LoadReport()
    first = table[:5000]
    parts = first.split(test=0.2, validation=0.2, seed=42)
    assert [len(part) for part in parts] == [3200, 800, 1000]
    rest, test_rows = train_test_split(np.asarray(first["id"]), test_size=0.2, random_state=42)
    train_rows, validation_rows = train_test_split(rest, test_size=0.2, random_state=42)
    for part, rows in zip(parts, (train_rows, validation_rows, test_rows), strict=True):
        assert part["id"].tolist() == rows.tolist()


def test_nothing_held_out():
    train, validation, test = table_of().split(test=0, validation=0)
    assert ids(train) == list(range(100))
    assert len(validation) == len(test) == 0


def test_stratified_parts_keep_proportions():
    kinds = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    parts = table_of(kind=kinds).split(test=0.2, validation=0.25, stratify="kind")
    for part, expected in zip(parts, ([36, 18, 6], [12, 6, 2], [12, 6, 2]), strict=True):
        assert np.unique(part["kind"], return_counts=True)[1].tolist() == expected
    rest, _ = train_test_split(np.arange(100), test_size=0.2, random_state=42, stratify=kinds)
    train, _ = train_test_split(rest, test_size=0.25, random_state=42, stratify=kinds[rest])
    assert ids(parts[0]) == train.tolist()


def test_classes_too_small_to_stratify_are_all_named():
    table = table_of(kind=["a"] * 90 + ["b"] * 8 + ["lone", ""])
    with pytest.raises(
        errors.DataError, match=r"can't stratify the test part by 'kind'.*'' \(1\), 'lone' \(1\)"
    ):
        table.split(stratify="kind")
    many = table_of(kind=np.repeat(np.arange(25), 4).astype(str))
    with pytest.raises(errors.DataError, match="25 classes don't fit a test part of 10 of 100 rows"):
        many.split(test=0.1, stratify="kind")


def test_groups_stay_together():
    products = np.repeat(np.arange(25), 4).astype(str)
    parts = table_of(product=products).split(test=0.2, validation=0.25, group="product")
    seen = [set(part["product"]) for part in parts]
    assert [len(products) for products in seen] == [15, 5, 5]
    assert len(set.union(*seen)) == 25
    assert sorted(i for part in parts for i in ids(part)) == list(range(100))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": 1}, r"test=1 is not a fraction in \[0, 1\)"),
        ({"test": -0.1}, "is not a fraction"),
        ({"test": 1000}, "is not a fraction"),
        ({"test": float("nan")}, "is not a fraction"),
        ({"test": "0.2"}, "is not a fraction"),
        ({"validation": None}, "validation=None is not a fraction"),
        ({"test": 0.999}, "leaves a part empty"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": "x"}, "seed='x'"),
        ({"seed": 2**32}, "seed="),
        ({"stratify": "none"}, "no column 'none'"),
        ({"group": "none"}, "no column 'none'"),
        ({"stratify": "id", "group": "id"}, "can't both hold"),
        ({"group": "one"}, "column 'one' has 1 distinct values"),
        ({"group": "two", "test": 0.6}, "column 'two' has 2 distinct values"),
        ({"group": "two", "test": 0.3, "validation": 0.3}, "column 'two' has 1 distinct values"),
    ],
)
def test_splits_that_cannot_be(options, words):
    table = table_of(one=["x"] * 100, two=["x"] * 50 + ["y"] * 50)
    with pytest.raises(errors.DataError, match=words):
        table.split(**options)


def test_seeds_matter_and_none_is_random():
    table = table_of()
    assert ids(table.split(seed=1)[2]) == ids(table.split(seed=np.int64(1))[2]) != ids(table.split(seed=2)[2])
    assert len(table.split(seed=None)[2]) == 20


def test_empty_tables():
    empty = table_of()[:0]
    with pytest.raises(errors.DataError, match="leaves a part empty"):
        empty.split()
    assert "0 rows" in repr(empty)
    assert "test: 0 rows" in repr(empty.overview())


def test_overview_counts_rows_sizes_and_colours(tmp_path):
    red, grey = np.zeros((4, 6, 3), np.uint8), np.full((5, 5), 128, np.uint8)
    red[..., 0] = 255
    images = [red, red, grey, tmp_path / "missing.jpg"]
    data = {"kind": np.array(["dress", "dress", "", "shoe"]), "id": np.array(list("abcd"))}
    overview = Table(images, data, name="wardrobe").overview()
    assert overview.rows == overview.sampled == 4
    assert overview.classes["kind"] == {"dress": 2, "": 1, "shoe": 1}
    assert overview.sizes == {(6, 4): 2, (5, 5): 1}
    assert overview.grey == 1
    np.testing.assert_allclose(overview.colours.sum(axis=1), 1)
    assert overview.colours[0, 31] == pytest.approx(2 / 3)
    assert overview.colours[1, 0] == pytest.approx(2 / 3)
    assert overview.colours[:, 16] == pytest.approx([1 / 3] * 3)
    assert [failure.position for failure in overview.failures] == [3]
    text = repr(overview)
    for words in (
        "wardrobe: 4 rows",
        "1 are grey and 1 can't be read",
        "6×4",
        "(unknown)",
        "50.0 %",
        "there is no such file",
    ):
        assert words in text
    assert "<table>" in overview._repr_html_()


def test_overview_of_a_sample():
    table = fs.datasets.make_catalogue(30)
    assert table.overview(sample=7).sampled == 7
    assert repr(table.overview(sample=7, seed=1)) == repr(table.overview(sample=7, seed=1))
    with pytest.raises(errors.DataError, match="sample=0 must be at least 1"):
        table.overview(sample=0)


def test_columns_of_many_values_are_left_out_of_the_overview():
    table = Table(
        [np.zeros((2, 2, 3), np.uint8)] * 600,
        {"id": np.arange(600).astype(str), "kind": np.array(list("abcdef") * 100)},
    )
    assert list(table.overview().classes) == ["kind"]
    letters = Table([np.zeros((2, 2, 3), np.uint8)] * 20, {"k": np.array([f"k{i}" for i in range(20)])})
    assert "… and 8 more" in repr(letters.overview())


def test_html_is_escaped():
    table = Table([np.zeros((2, 2, 3), np.uint8)], {"<b>": np.array(["<script>"])}, name="<i>")
    for text in (table._repr_html_(), table.overview()._repr_html_()):
        assert "<script>" not in text
        assert "<b>" not in text
        assert "<i>" not in text
    assert "&lt;script&gt;" in table._repr_html_()


def test_reports_print_ten_lines_of_each_kind():
    report = LoadReport(repaired=("one",), left_out=tuple(f"line {i}" for i in range(12)))
    assert str(report).startswith("1 rows repaired, 12 left out\n  repaired: one\n  left out: line 0")
    assert str(report).endswith("left out: … and 2 more")
