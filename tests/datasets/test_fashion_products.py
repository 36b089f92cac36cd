"""Folders and lists as users have them, faults and all: mended, or left out by name; never silently dropped."""

import os

import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets.fashion_products import COLUMNS

HEADER = ",".join(COLUMNS)


def row(identity, name="A name"):
    return f"{identity},Men,Apparel,Topwear,Shirts,Red,Fall,2011,Casual,{name}"


def kaggle(folder, *rows, images=range(1, 10), header=HEADER, end="\n"):
    (folder / "images").mkdir(parents=True)
    for identity in images:
        (folder / "images" / f"{identity}.jpg").write_bytes(b"not looked at")
    text = end.join([header, *rows, ""])
    (folder / "styles.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def load(folder):
    """Load a table that leaves rows out, with the warning that says so."""
    with pytest.warns(errors.DataWarning, match="left out, first .*; table.report names each") as caught:
        table = fs.datasets.load_fashion_products(folder)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return table


# --- load_fashion_products ---


def test_a_clean_copy(tmp_path):
    table = fs.datasets.load_fashion_products(
        kaggle(tmp_path / "fashion", row(3), row(1, ""), row(2, '"quoted, name"'))
    )
    assert table["id"].tolist() == ["3", "1", "2"]
    assert table.images == [tmp_path / "fashion" / "images" / f"{i}.jpg" for i in (3, 1, 2)]
    assert table["productDisplayName"].tolist() == ["A name", "", "quoted, name"]
    assert table.columns == COLUMNS
    assert table["year"].dtype.kind == "U"
    assert table.name == "fashion"
    assert table.report == fs.datasets.LoadReport()


def test_unquoted_commas_are_mended(tmp_path):
    eleven = (
        "1,Unisex,Footwear,Flip Flops,Flip Flops,Navy Blue,Spring,2013,Casual,Converse Navy Blue Liv, Laugh"
    )
    twelve = "2" + eleven[1:] + ", Love Flip-flops"
    table = fs.datasets.load_fashion_products(kaggle(tmp_path, eleven, twelve, row(3)))
    assert table["productDisplayName"].tolist() == [
        "Converse Navy Blue Liv, Laugh",
        "Converse Navy Blue Liv, Laugh, Love Flip-flops",
        "A name",
    ]
    assert table["usage"].tolist() == ["Casual"] * 3
    assert [note.split(":")[0] for note in table.report.repaired] == ["line 2 (id 1)", "line 3 (id 2)"]


def test_rows_that_cannot_be_used_are_named(tmp_path):
    folder = kaggle(
        tmp_path / "data",
        row(1),
        row(39403),
        row(1, "again"),
        row("../images/2"),
        row("../../x"),
        row("/etc/passwd"),
        row(".."),
        row("a\\b"),
        row(""),
        "4,Men,Apparel",
        "",
        "   ",
        row(5),
        row(6),
        row(7),
        images=[1, 2, 4, 5],
    )
    (tmp_path / "outside.jpg").touch()
    (folder / "images" / "6.jpg").symlink_to(tmp_path / "outside.jpg")
    (folder / "images" / "7.jpg").symlink_to("5.jpg")
    table = load(folder)
    assert table["id"].tolist() == ["1", "5", "7"]
    expected = {
        3: "id 39403 has no image file 39403.jpg",
        4: "id 1 occurs before",
        5: "id '../images/2' leaves the images folder",
        6: "id '../../x' leaves the images folder",
        7: "id '/etc/passwd' leaves the images folder",
        8: "id .. has no image file ...jpg",
        9: "id 'a\\\\b' leaves the images folder",
        10: "has no id",
        11: "has 3 fields and 10 are needed",
        15: f"id 6: 6.jpg is a link and leaves {folder / 'images'}",
    }
    assert sorted(table.report.left_out) == sorted(
        f"line {line}: {reason}" for line, reason in expected.items()
    )


def test_odd_files_in_images(tmp_path):
    folder = kaggle(tmp_path, row(1), row(2), row(3), row(4), images=[1])
    (folder / "images" / "2.jpg").mkdir()
    (folder / "images" / "3.jpg").symlink_to("3.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "images" / "4.jpg")
    assert load(folder)["id"].tolist() == ["1"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks(end, mark, tmp_path):
    table = fs.datasets.load_fashion_products(kaggle(tmp_path, row(1), row(2), header=mark + HEADER, end=end))
    assert table["id"].tolist() == ["1", "2"]
    assert table["productDisplayName"].tolist() == ["A name", "A name"]


def test_bytes_that_are_not_utf8(tmp_path):
    folder = kaggle(tmp_path, row(1, "NAME"), row(2, "Café"))
    listing = folder / "styles.csv"
    listing.write_bytes(listing.read_bytes().replace(b"NAME", b"Caf\xe9\0"))
    table = fs.datasets.load_fashion_products(folder)
    assert table["productDisplayName"].tolist() == ["Caf\ufffd", "Café"]
    assert "not UTF-8" in table.report.repaired[0]


def test_a_quote_that_is_not_closed_is_named(tmp_path):
    rows = [row(1), row(2, '"Open'), row(3), row(4, '"closed by this"'), row(5), row(6, 'a 5" heel')]
    table = load(kaggle(tmp_path, *rows))
    assert table["id"].tolist() == ["1", "5", "6"]
    assert table["productDisplayName"][-1] == 'a 5" heel'
    assert table.report.left_out == ("lines 3 to 5: a quote is not closed, so 3 rows run together",)


def test_a_name_over_two_lines(tmp_path):
    table = fs.datasets.load_fashion_products(kaggle(tmp_path, row(1, '"two\nlines"'), row(2)))
    assert table["productDisplayName"].tolist() == ["two\nlines", "A name"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "its columns are missing, and id, gender"),
        ("id,image\n1,a.jpg\n", "its columns are id, image, and id, gender.*load_csv"),
        (HEADER + "\n", "the file has no rows"),
        (
            HEADER + "\n" + row(77) + "\n",
            "none of its 1 rows can be used; the first problem is: line 2: id 77",
        ),
        ("x" * 200_000, "line 1: field larger than field limit"),
        (HEADER + "\n" + row(1, "x" * 200_000), "line 2: field larger than field limit.*mend or remove"),
        ("\ufffe" + HEADER, "its columns are"),
    ],
)
def test_listings_that_cannot_be_used(content, words, tmp_path):
    folder = kaggle(tmp_path)
    (folder / "styles.csv").write_text(content, encoding="utf-8")
    with pytest.raises(errors.DataError, match=words) as caught:
        fs.datasets.load_fashion_products(folder)
    assert len(str(caught.value)) < 1500


def test_missing_parts(tmp_path):
    with pytest.raises(
        errors.DataError, match=r"styles\.csv: there is no such file; give the folder that holds"
    ):
        fs.datasets.load_fashion_products(tmp_path)
    (tmp_path / "styles.csv").write_text(HEADER)
    with pytest.raises(
        errors.DataError, match=r"images: there is no such folder; unpack images/ beside styles\.csv"
    ):
        fs.datasets.load_fashion_products(str(tmp_path))
