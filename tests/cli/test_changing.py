"""The commands that change an index: saved, opened or on a server, whatever its ids are."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.cli import main


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        Image.fromarray(rng.integers(0, 256, (48, 36, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def network():
    return fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)


def made(kind, photos, network, folder):
    """Return the folder of an index of two photos, and the options that name its server."""
    options = []
    metadata = {"kind": ["shirt", "hat"], "year": [2012, 2013]}
    if kind == "opened":
        index = fs.VisualIndex.open(folder, network, progress=False)
    elif kind == "saved":
        index = fs.VisualIndex(network, progress=False)
    else:
        url = f"file:{folder}-qdrant"
        options = ["--url", url, "--collection", "items"]
        index = fs.VisualIndex(network, engine="qdrant", url=url, collection="items", progress=False)
    index.add([photos / "a.png", photos / "b.png"], ids=["a.png", "b.png"], metadata=metadata)
    if kind != "opened":
        index.save(folder)
    index.close()
    return folder, options


@pytest.fixture(params=["saved", "opened", "server"])
def place(request, photos, network, tmp_path):
    return made(request.param, photos, network, tmp_path / "catalogue")


@pytest.fixture
def catalogue(photos, network, tmp_path):
    return made("opened", photos, network, tmp_path / "catalogue")[0]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def held(folder, options=()):
    """Return id -> metadata of an index."""
    opened = fs.VisualIndex.open
    with fs.VisualIndex.load(folder, url=options[1]) if options else opened(folder, read_only=True) as index:
        return {item: dict(index.get(item).metadata) for item in index}


def test_items_are_added_updated_and_removed(place, photos, capsys):
    folder, options = place
    assert run("add", folder, photos / "c.png", photos / "d.png", *options) == 0
    assert "2 photos added, 4 in" in capsys.readouterr().out
    assert run("update", folder, "c.png", "kind=shoe", "year=2014", "sold=true", *options) == 0
    assert "kind='shoe', year=2014, sold=True" in capsys.readouterr().out
    assert run("remove", folder, "a.png", "d.png", "a.png", *options) == 0
    assert "2 items removed, 2 left in" in capsys.readouterr().out
    assert held(folder, options) == {
        "b.png": {"kind": "hat", "year": 2013},
        "c.png": {"kind": "shoe", "year": 2014, "sold": True},
    }
    assert run("search", folder, photos / "c.png", "-k", 1, *options[:2]) == 0
    assert "c.png" in capsys.readouterr().out.splitlines()[1]


def test_an_unknown_id_changes_nothing(place, capsys):
    folder, options = place
    manifest = (folder / "manifest.json").read_bytes()
    for arguments in (["remove", folder, "a.png", "none"], ["update", folder, "none", "kind=shoe"]):
        assert run(*arguments, *options) == 1
        assert "no item has the id 'none'; the index holds 2" in capsys.readouterr().err
    assert (folder / "manifest.json").read_bytes() == manifest, "a saved one stays one"
    if not options and b'"index"' in manifest:
        assert list(fs.VisualIndex.load(folder)) == ["a.png", "b.png"]
    else:
        assert list(held(folder, options)) == ["a.png", "b.png"]


def test_what_was_done_is_told_as_json(catalogue, photos, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"none")
    assert run("add", catalogue, photos / "c.png", tmp_path / "bad.png", "--json", "--skip-bad") == 0
    told = capsys.readouterr()
    done = json.loads(told.out)
    assert (done["added"], done["items"]) == (["c.png"], 3)
    assert done["left_out"][0]["source"].endswith("bad.png")
    assert "left out:" in told.err
    assert run("update", catalogue, "c.png", "price=19.5", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"id": "c.png", "metadata": {"price": 19.5}}
    assert run("remove", catalogue, "c.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": ["c.png"], "items": 2}


def test_values_are_of_the_kind_that_the_item_has(catalogue, capsys):
    assert run("update", catalogue, "a.png", "kind=2012", "year=2020", "size=38", "code=007", "note=a=b") == 0
    assert run("update", catalogue, "b.png", "kind=", "year= 1e3 ") == 0
    assert held(catalogue) == {
        "a.png": {"kind": "2012", "year": 2020, "size": 38, "code": "007", "note": "a=b"},
        "b.png": {"kind": None, "year": 1000.0},
    }


def test_ids_come_from_a_file_or_standard_input(catalogue, photos, tmp_path, monkeypatch, capsys):
    assert run("add", catalogue, photos) == 0
    (tmp_path / "ids.txt").write_text("\ufeffa.png\n\n b.png \n", encoding="utf-8")
    assert run("remove", catalogue, "--ids", tmp_path / "ids.txt") == 0
    assert list(held(catalogue)) == ["c.png", "d.png"]
    monkeypatch.setattr("sys.stdin", (tmp_path / "more.txt").open("w+"))
    sys.stdin.write("c.png\n")
    sys.stdin.seek(0)
    assert run("remove", catalogue, "--ids", "-") == 0
    sys.stdin.close()
    assert list(held(catalogue)) == ["d.png"]


def test_a_table_gives_ids_and_metadata(catalogue, photos, tmp_path, capsys):
    (tmp_path / "more.csv").write_text("file,sku,colour\nc.png,s1,red\nd.png,s2,blue\n")
    table = (tmp_path / "more.csv", "--image-column", "file", "--image-root", photos, "--id-column", "sku")
    assert run("add", catalogue, *table) == 0
    assert held(catalogue)["s2"] == {
        "id": "d.png",
        "file": "d.png",
        "sku": "s2",
        "colour": "blue",
    }
    assert list(held(catalogue)) == ["a.png", "b.png", "s1", "s2"]


def test_ids_that_are_numbers_are_given_as_numbers(photos, network, tmp_path, capsys):
    with fs.VisualIndex.open(tmp_path / "c", network, progress=False) as index:
        index.add([photos / "a.png", photos / "b.png"], ids=[7, -8])
    (tmp_path / "more.csv").write_text("image,id\nc.png,9\n")
    assert run("add", tmp_path / "c", tmp_path / "more.csv", "--image-root", photos) == 0
    assert run("update", tmp_path / "c", "9", "n=1") == 0
    assert run("remove", tmp_path / "c", "--", "-8") == 0
    assert list(held(tmp_path / "c")) == [7, 9]
    capsys.readouterr()
    for arguments, told in (
        (
            ["remove", tmp_path / "c", "seven"],
            "no item has the id 'seven'; the index holds 2; ids here are of type int",
        ),
        (["add", tmp_path / "c", photos / "d.png"], "this index's ids are of type int"),
    ):
        assert run(*arguments) == 1
        assert told in capsys.readouterr().err


def test_what_does_not_fit_is_told(catalogue, photos, tmp_path, capsys):
    (tmp_path / "none.txt").write_text("\n")
    for arguments, told in (
        (["remove", catalogue], "there is no id to remove"),
        (["remove", catalogue, "--ids", tmp_path / "none.txt"], "there is no id to remove"),
        (["remove", catalogue, "--ids", tmp_path / "missing"], "can't be read"),
        (["remove", tmp_path, "a.png"], "holds nothing saved"),
        (["update", catalogue, "a.png", "kind"], "'kind' is not FIELD=VALUE"),
        (["update", catalogue, "a.png", "kind=a", "kind=b"], "'kind' is set twice"),
        (["add", catalogue, tmp_path / "missing.png"], "there is no such file"),
        (["add", catalogue, photos / "a.png", photos / "a.png"], "occurs twice"),
        (["remove", catalogue, "a.png", "--url", "http://127.0.0.1:9"], "holds its items itself"),
    ):
        assert run(*arguments) == 1, arguments
        assert told in capsys.readouterr().err
    assert list(held(catalogue)) == ["a.png", "b.png"]
    with fs.VisualIndex.open(catalogue):
        assert run("remove", catalogue, "a.png") == 1
    assert "is open for writing elsewhere" in capsys.readouterr().err


def test_an_index_of_vectors_alone_takes_no_photos(photos, tmp_path, capsys):
    with fs.VisualIndex.open(tmp_path / "c", dim=2) as index:
        index.add_vectors([[1, 0]], ids=["a"])
    assert run("update", tmp_path / "c", "a", "n=1") == 0
    assert run("add", tmp_path / "c", photos / "a.png") == 1
    assert "this index has no encoder to add photos" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["saved", "opened"])
def test_removing_and_updating_load_no_network(kind, photos, network, tmp_path):
    folder, _ = made(kind, photos, network, tmp_path / "catalogue")
    program = (
        "import sys; from fashionsearch.cli import main; code = main(sys.argv[1:]); "
        "print({'torch', 'onnxruntime', 'torchvision', 'scipy'} & set(sys.modules)); sys.exit(code)"
    )

    def loaded(*arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[-1]

    assert loaded("remove", folder, "none") == "set()"
    assert loaded("update", folder, "a.png", "n=1") == "set()"
    assert loaded("remove", folder, "a.png") == "set()"
    with fs.VisualIndex.open(folder, read_only=True) as index:
        assert index.encoder.name == network.name, "which is kept with the rest"
        assert index.search(photos / "b.png", k=1).ids.tolist() == [["b.png"]]
