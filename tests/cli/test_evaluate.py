"""`fashionsearch evaluate`: of a classifier, of a saved tagger and of the one that ships; what has no label is left out."""

import json

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.cli import main


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A CSV file of photos with their labels, one of them unknown."""
    folder = tmp_path_factory.mktemp("shop")
    table = fs.datasets.make_catalogue(24, seed=4)
    lines = ["image,masterCategory,articleType,baseColour"]
    for number, photo in enumerate(table.images):
        Image.fromarray(np.asarray(photo)).save(folder / f"{number}.jpg")
        colour = "" if number == 0 else table["baseColour"][number]
        lines.append(
            f"{number}.jpg,{table['masterCategory'][number]},{table['articleType'][number]},{colour}"
        )
    (folder / "products.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "products.csv"


@pytest.mark.parametrize("saved", [True, False])
def test_a_tagger_is_compared_with_every_column_that_it_tags(shop, saved, tmp_path, capsys):
    name = "fashion"
    if saved:
        name = str(tmp_path / "tagger")
        fs.Tagger.from_pretrained("fashion").save(name)
    assert main(["evaluate", name, str(shop), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"masterCategory", "articleType", "baseColour"}
    assert found["articleType"]["n"] == 24
    assert found["baseColour"]["n"] == 23
    tagger = fs.Tagger.from_pretrained("fashion")
    table = fs.datasets.load_csv(shop)
    right = (tagger.predict(table.images)["masterCategory"] == table["masterCategory"]).mean()
    assert found["masterCategory"]["accuracy"] == pytest.approx(right)
    assert main(["evaluate", name, str(shop), "--label", "articleType"]) == 0
    said = capsys.readouterr().out
    assert "articleType" in said
    assert "masterCategory" not in said


def test_a_table_without_what_a_tagger_tags_is_refused(shop, tmp_path, capsys):
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "0.jpg").write_bytes((shop.parent / "0.jpg").read_bytes())
    assert main(["evaluate", "fashion", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "none of the columns that fashion tags (articleType, subCategory" in said


def test_a_folder_called_as_a_shipped_network_is_a_folder(shop, tmp_path, capsys, monkeypatch):
    (tmp_path / "fashion").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "fashion", str(shop)]) == 1
    assert "manifest" in capsys.readouterr().err.lower()
