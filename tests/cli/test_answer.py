"""Every command's result as JSON and as CSV: nothing else on standard output, and it parses."""

import argparse
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.cli import main
from fashionsearch.cli.answer import Answer, flat, plain, show
from fashionsearch.cli.parser import make_parser

pytestmark = pytest.mark.usefixtures("shared_cache")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """80 drawn garments and a table of them, an index, a classifier and a saved backbone."""
    root = tmp_path_factory.mktemp("shop")
    table = fs.datasets.make_catalogue(80, seed=1, size=(32, 40))
    rows = ["image,masterCategory,baseColour,title"]
    for position, image in enumerate(table.images):
        Image.fromarray(image).save(root / f"{position}.png")
        kind, colour = table["masterCategory"][position], table["baseColour"][position]
        rows.append(f"{position}.png,{kind},{colour},{colour} {table['articleType'][position]}")
    (root / "products.csv").write_text("\n".join(rows))
    network = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)
    network.save(root / "network")
    index = fs.VisualIndex(network, progress=False)
    paths = [root / f"{position}.png" for position in range(80)]
    metadata = {name: table[name] for name in ("masterCategory", "baseColour")}
    index.add(paths, ids=[path.name for path in paths], metadata=metadata)
    index.save(root / "catalogue")
    learned = fs.Classifier(network, progress=False).fit(paths, table["masterCategory"])
    learned.save(root / "classifier")
    return root


def rows_of(printed):
    rows = list(csv.reader(io.StringIO(printed), strict=True))
    assert len({len(row) for row in rows}) == 1, "every row has the header's columns"
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def object_of(printed):
    assert printed.count("\n") == 1
    return json.loads(printed, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def commands(shop, folder):
    """Return the words of every command that answers, and a field of its JSON and a column of its CSV."""
    table, catalogue = shop / "products.csv", folder / "catalogue"
    network = ("--encoder", shop / "network")
    return {
        "index": (["index", table, *network, "--out", catalogue], "items", "change"),
        "index, opened": (["index", table, *network, "--out", folder / "open"], "removed", "id"),
        "sync": (["index", table, *network, "--out", folder / "sync", "--sync"], "kept", "change"),
        "add": (["add", catalogue, shop / "0.png"], "added", "id"),
        "update": (["update", catalogue, "0.png", "price=3"], "metadata", "metadata.price"),
        "remove": (["remove", catalogue, "0.png"], "removed", "change"),
        "facets": (["facets", catalogue, "baseColour"], "values", "count"),
        "search": (["search", catalogue, shop / "1.png"], "matches", "metadata.baseColour"),
        "index-copy": (["index-copy", catalogue, folder / "copy"], "copied", "of"),
        "info": (["info", catalogue], "kind", "encoder"),
        "health": (["info", catalogue, "--health"], "health", "health.recall"),
        "info, classifier": (["info", shop / "classifier"], "classes", "embedding"),
        "calibrate": (["calibrate", catalogue, "--field", "masterCategory"], "auc", "precision"),
        "learn-text": (["learn-text", catalogue, "--titles", "title"], "field", "items"),
        "migrate": (
            ["migrate", catalogue, "--encoder", shop / "classifier", "--photos", shop],
            "report",
            "report.recall",
        ),
        "embed": (["embed", table, *network, "--out", folder / "v.npz"], "dim", "embeddings"),
        "tag": (["tag", shop / "0.png"], "photos", "articleType"),
        "tag to a table": (["tag", shop / "0.png", "--out", folder / "tags.csv"], "review", "image"),
        "train": (
            ["train", table, "--out", folder / "classifier"],
            "evaluation",
            "support",
        ),
        "evaluate": (["evaluate", shop / "classifier", table], "accuracy", "precision"),
        "evaluate, tagger": (["evaluate", "fashion", table], "masterCategory", "attribute"),
        "audit": (
            ["audit", table, *network, "--attributes", "masterCategory", "--out", folder / "audit"],
            "findings",
            "fault",
        ),
        "optimize": (["optimize", table, *network, "--max-loss", 0.9], "best", "runtime"),
        "export": (["export", shop / "network", "--out", folder / "served"], "folder", "format"),
    }


SLOW = (
    "demo",
    "explain",
)  # drawn and trained by networks of torch: the same mechanism, tested in their own files


def test_every_command_that_answers_is_read_by_programs(shop, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fashionsearch.auditing.out_of_fold._ROUNDS", 1)
    monkeypatch.setattr(fs.VisualIndex, "learn_text", lambda *_, **__: None)
    monkeypatch.setattr("fashionsearch.compression.optimize._SECONDS", 0.01)
    monkeypatch.setattr("fashionsearch.compression.optimize._SHARES", ())
    monkeypatch.setattr("fashionsearch.compression.optimize._runtimes", lambda given: ["torch"])
    monkeypatch.setattr("fashionsearch.compression.optimize._lower_precisions", lambda given: ())
    network = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)
    fs.VisualIndex.open(tmp_path / "open", network).close()
    answers = []

    def kept(answer, options):
        answers.append(answer)
        show(answer, options)

    monkeypatch.setattr("fashionsearch.cli.show", kept)
    for name, (arguments, field, column) in commands(shop, tmp_path).items():
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0, name
        found = object_of(capsys.readouterr().out)
        assert field in found, (name, found)
        rows = rows_of(shown(answers[-1], capsys, csv=True))  # the same answer, which was long to come by
        assert rows, name
        assert column in rows[0], (name, rows[0])


def test_every_command_is_among_them(shop, tmp_path):
    parser = make_parser()
    choices = next(each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    answering = {name for name, each in choices.items() if "--json" in each._option_string_actions}
    assert answering == {words[0] for words, _, _ in commands(shop, tmp_path).values()} | set(SLOW)
    assert all("--csv" in choices[name]._option_string_actions for name in answering)


def test_json_and_csv_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["facets", "catalogue", "colour", "--json", "--csv"])
    assert stop.value.code == 2
    assert "argument --csv: not allowed with argument --json" in capsys.readouterr().err


def test_what_is_told_on_the_way_goes_to_standard_error(shop, tmp_path, capsys):
    for form in ("--json", "--csv"):
        words = ["train", shop / "products.csv", "--out", tmp_path / "c", form]
        assert main([*map(str, words)]) == 0
        told = capsys.readouterr()
        assert "80 photos, 0 without masterCategory left out" in told.err
        assert object_of(told.out) if form == "--json" else rows_of(told.out)


def shown(answer, capsys, **options):
    show(answer, argparse.Namespace(**{"json": False, "csv": False, **options}))
    return capsys.readouterr().out


def test_an_answer_has_one_content_in_three_forms(capsys):
    answer = Answer(
        "one\x1b item", {"id": "é", "recall": float("nan"), "metadata": {"sold": True, "a": None}}
    )
    assert shown(answer, capsys) == "one\\x1b item\n"
    wanted = {"id": "é", "recall": None, "metadata": {"sold": True, "a": None}}
    assert json.loads(shown(answer, capsys, json=True)) == wanted
    assert shown(answer, capsys, csv=True) == "id,recall,metadata.sold,metadata.a\né,,true,\n"
    empty = Answer("", [], [], ("id", "change"))
    assert shown(empty, capsys) == shown(empty, capsys, json=True) == ""
    assert shown(empty, capsys, csv=True) == "id,change\n"
    rows = Answer("", {}, [{"a": 'x,"y"'}, {"b": [1, 2]}])
    assert shown(rows, capsys, csv=True) == 'a,b\n"x,""y""",\n,"[1, 2]"\n'


def test_values_of_every_kind_are_plain():
    given = {1: np.float32("inf"), "n": np.array([1, 2]), "s": {3}, "path": io.__class__, "b": np.bool_(True)}
    assert plain(given) == {"1": None, "n": [1, 2], "s": [3], "path": str(io.__class__), "b": True}
    assert flat({"a": {"b": {"c": 1}}}) == {"a.b.c": 1}
