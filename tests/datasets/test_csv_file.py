"""CSV files that name photos, as spreadsheets write them."""

import pytest

import fashionsearch as fs
from fashionsearch import errors


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return folder


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


@pytest.mark.parametrize("separator", [";", "\t"])
def test_spreadsheets_separate_columns_otherwise(separator, tmp_path):
    text = (
        "\ufeff" + separator.join(("image", "kind")) + "\n" + separator.join(("a.png", "dress, red")) + "\n"
    )
    table = fs.datasets.load_csv(listing(tmp_path, text, "a.png"))
    assert table["kind"].tolist() == ["dress, red"]


def test_a_name_spelled_otherwise_in_unicode_is_found(tmp_path):
    path = listing(
        tmp_path, "image,kind\ncaf\u00e9.png,caf\u00e9\nx.png,cafe\u0301\n", "cafe\u0301.png", "x.png"
    )
    table = fs.datasets.load_csv(path)
    assert len(table) == 2
    assert set(table["kind"].tolist()) == {"caf\u00e9"}
    assert all(image.is_file() for image in table.images)


def test_a_stray_quote_is_told_where_it_stands(tmp_path):
    path = listing(tmp_path, 'image,kind\na.png,1\na.png,"open\na.png,2\na.png,3\n', "a.png")
    with pytest.raises(errors.DataError, match=r"row that begins at line 3\. .*quotation mark in it"):
        fs.datasets.load_csv(path)
