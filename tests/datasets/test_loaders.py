"""Folders and lists as users have them, faults and all: mended, or left out by name; never silently dropped."""

import os

import numpy as np
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


# --- load_folder ---


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return folder


def test_class_folders(tmp_path):
    make(
        tmp_path,
        "shoe/b.JPG",
        "shoe/a.png",
        "dress/deep/er/c.webp",
        "dress/d.tiff",
        ".hidden/x.jpg",
        "dress/.DS_Store",
    )
    (tmp_path / "empty").mkdir()
    table = fs.datasets.load_folder(tmp_path)
    assert table["id"].tolist() == ["dress/d.tiff", "dress/deep/er/c.webp", "shoe/a.png", "shoe/b.JPG"]
    assert table["label"].tolist() == ["dress", "dress", "shoe", "shoe"]
    assert table.images[2] == tmp_path / "shoe" / "a.png"
    assert table.report.left_out == ()


def test_what_a_folder_leaves_out(tmp_path):
    root = make(tmp_path / "root", "A/a.jpg", "A/notes.txt", "loose.jpg")
    make(tmp_path, "outside.jpg")
    for name, target in {
        "out": "../../outside.jpg",
        "loop": "loop.jpg",
        "broken": "nowhere",
        "good": "a.jpg",
    }.items():
        (root / "A" / f"{name}.jpg").symlink_to(target)
    (root / "A" / "around").symlink_to(root)
    with pytest.warns(errors.DataWarning, match="left out, first"):
        table = fs.datasets.load_folder(root)
    assert table["id"].tolist() == ["A/a.jpg", "A/good.jpg"]
    reasons = dict(note.split(": ", 1) for note in table.report.left_out)
    assert set(reasons) == {"A/notes.txt", "loose.jpg", "A/out.jpg", "A/loop.jpg", "A/broken.jpg", "A/around"}
    assert reasons["A/out.jpg"].startswith("is a link and leaves")
    assert "can't be followed" in reasons["A/loop.jpg"] or "no file" in reasons["A/loop.jpg"]
    assert reasons["A/broken.jpg"] == "is a link and leads to no file"


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf8(tmp_path, photo):
    (tmp_path / "A").mkdir()
    try:
        (tmp_path / "A" / "\udcff\n.jpg").write_bytes(photo())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    table = fs.datasets.load_folder(tmp_path)
    assert fs.check_images(table.images).failures == ()


@pytest.mark.parametrize("names", [(), ("loose.jpg",), ("A/notes.txt",)])
def test_folders_without_photos(names, tmp_path):
    with pytest.raises(errors.DataError, match="holds no photos"):
        fs.datasets.load_folder(make(tmp_path, *names))
    with pytest.raises(errors.DataError, match="there is no such folder"):
        fs.datasets.load_folder(tmp_path / "nowhere")


@pytest.mark.data
def test_the_real_folder(real_data):
    table = fs.datasets.load_folder(real_data / "clothing-dataset-small" / "train")
    assert len(np.unique(table["label"])) == 10


# --- load_csv ---


def listing(folder, text, *images):
    make(folder, *images)
    path = folder / "photos.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_csv_file(tmp_path):
    text = '\ufeffphoto,kind,note\r\na.png,dress,"two\r\nlines, quoted"\r\n\r\nsub/b.png, shoe ,\r\n'
    path = listing(tmp_path, text, "a.png", "sub/b.png")
    table = fs.datasets.load_csv(path, image_column="photo")
    assert table.columns == ("photo", "kind", "note", "id")
    assert table["kind"].tolist() == ["dress", "shoe"]
    assert table["note"].tolist() == ["two\r\nlines, quoted", ""]
    assert table.images == [tmp_path / "a.png", tmp_path / "sub" / "b.png"]
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "photos.csv")
    assert len(fs.datasets.load_csv(moved, image_column="photo", root=tmp_path)) == 2


def test_rows_a_csv_file_leaves_out(tmp_path):
    bad = [
        "none.png,1",
        "../x.png,2",
        "/etc/passwd,3",
        "a.png",
        "a.png,4,5",
        ",6",
        "a\0b,7",
        "loop,8",
        "x" * 5000 + ",9",
    ]
    path = listing(tmp_path, "\n".join(["image,k", "a.png,0", *bad]), "a.png")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.warns(errors.DataWarning, match="9 left out"):
        table = fs.datasets.load_csv(path)
    assert table["k"].tolist() == ["0"]
    assert [note.split(":")[0] for note in table.report.left_out] == [f"line {line}" for line in range(3, 12)]
    assert table.report.left_out[0] == "line 3: 'none.png': leads to no file"
    assert table.report.left_out[1].startswith("line 4: '../x.png': leaves ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no column 'image'; its columns are missing"),
        ("Image,k\na.png,1\n", r"has no column 'image'; its columns are Image, k. .*Did you mean 'Image'"),
        ("image\n", "no row can be used; the first problem is: it has no rows"),
        ("image\nb.png\n", "no row can be used; the first problem is: line 2: 'b.png'"),
        ("image,k,k\na.png,1,2\n", "columns of the same name"),
        ("image,k\na.png," + "x" * 200_000, "field larger than field limit"),
        ('image,k\na.png,"open\na.png,1\na.png,2\n', "unexpected end of data"),
        ("image,k\na.png,caf\xe9\n".encode("latin-1"), "in UTF-8"),
    ],
)
def test_csv_files_that_cannot_be_used(content, words, tmp_path):
    with pytest.raises(errors.DataError, match=words):
        fs.datasets.load_csv(listing(tmp_path, content, "a.png"))
    with pytest.raises(errors.DataError, match="there is no such file"):
        fs.datasets.load_csv(tmp_path / "nowhere.csv")
