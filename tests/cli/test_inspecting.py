"""`fashionsearch info` and `facets`: what a folder holds, read without its network."""

import json

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch.cli import main

pytestmark = pytest.mark.usefixtures("shared_cache")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def told(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def network():
    return fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)


def test_an_index_is_described_saved_and_opened(network, tmp_path, capsys):
    index = fs.VisualIndex(network, progress=False)
    vectors = np.random.default_rng(0).normal(size=(9, 256))
    index.add_vectors(vectors, metadata={"colour": ["red", "blue", None] * 3})
    index.save(tmp_path / "saved")
    index.save(tmp_path / "opened")
    fs.VisualIndex.open(tmp_path / "opened").close()
    for kind, name in (("index", "saved"), ("opened index", "opened")):
        found = told(capsys, "info", tmp_path / name)
        assert (found["kind"], found["items"], found["fields"]) == (kind, 9, ["colour"])
        assert (found["encoder"], found["dim"], found["learned"]) == ("cnn (backbone)", 256, [])
        assert told(capsys, "info", tmp_path / name, "--health")["health"]["recall"] == 1.0
        facets = told(capsys, "facets", tmp_path / name, "colour", "--where", "colour=red,blue")
        assert facets == {
            "field": "colour",
            "values": [{"value": "red", "count": 3}, {"value": "blue", "count": 3}],
        }
    assert run("facets", tmp_path / "saved", "color") == 1
    assert "Did you mean 'colour'" in capsys.readouterr().err
    assert run("info", tmp_path / "saved") == 0
    assert "encoder     cnn (backbone)\n" in capsys.readouterr().out


def test_models_are_described(network, tmp_path, capsys):
    network.save(tmp_path / "network")
    photos = fs.datasets.make_catalogue(30, seed=0, size=(24, 32))
    fs.Classifier(network, progress=False).fit(photos.images, photos["masterCategory"]).save(
        tmp_path / "classifier"
    )
    found = told(capsys, "info", tmp_path / "network")
    assert (found["kind"], found["network"], found["image size"]) == ("backbone", "cnn", "32×32")
    found = told(capsys, "info", tmp_path / "classifier")
    assert found["classes"] == ["Accessories", "Apparel", "Footwear"]
    found = told(capsys, "info", "fashion")
    assert found["attributes"]["gender"] == 5
    assert run("info", tmp_path / "network", "--health") == 1
    assert "--health measures an index" in capsys.readouterr().err
