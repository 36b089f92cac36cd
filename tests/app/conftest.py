"""A catalogue of drawn garments, made once for all tests of the page."""

import shutil
from pathlib import Path

import PIL.Image
import pytest

import fashionsearch as fs
from fashionsearch.app.catalogue import Catalogue
from fashionsearch.app.visit import Visit

COUNT = 30


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Return a folder with photos/ and catalogue/, a saved index of them; nobody changes it."""
    folder = tmp_path_factory.mktemp("drawn")
    table = fs.datasets.make_catalogue(COUNT, seed=0)
    (folder / "photos").mkdir()
    paths = []
    for number, image in enumerate(table.images):
        paths.append(folder / "photos" / f"garment-{number:02}.png")
        PIL.Image.fromarray(image).save(paths[-1])
    columns = {name: table[name].tolist() for name in ("articleType", "baseColour", "productDisplayName")}
    columns["price"] = [5.5 + number for number in range(COUNT)]
    index = fs.VisualIndex("fashion", progress=False)
    index.add(paths, ids=[path.stem for path in paths], metadata=columns)
    index.save(folder / "catalogue")
    return folder


@pytest.fixture
def shop(drawn, tmp_path):
    """Return a copy that a test may change; its items' photos are where they were drawn."""
    return shutil.copytree(drawn, tmp_path / "shop")


@pytest.fixture(scope="session")
def catalogue(drawn):
    """Return the catalogue, only to be looked at."""
    return Catalogue(fs.VisualIndex.load(drawn / "catalogue", progress=False))


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def upload(uploads):
    """Return a function that does what Gradio does with a file that a browser sends."""

    def put(content, name="photo.png"):
        place = uploads / "digest" / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
        return str(place)

    return put


@pytest.fixture
def visit(catalogue, uploads):
    """Return a visit to the catalogue that has begun."""
    begun = Visit(catalogue, uploads)
    begun.act({"do": "start"})
    return begun
