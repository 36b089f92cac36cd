"""The slim installation: it has no torch, tags and searches, and reads what the whole one saved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs

ROOT = Path(__file__).parents[2]
SERVE = """
import importlib.util, json, sys
import fashionsearch as fs
photo, index, tagger, own = sys.argv[1:]
assert importlib.util.find_spec("torch") is None
found = fs.VisualIndex.load(index).search(photo, k=3)
tags = fs.Tagger.load(tagger).tag(photo)
shipped = fs.Tagger.from_pretrained("fashion").tag(photo)
with fs.VisualIndex.open(own, "fashion") as opened:
    opened.add([photo, photo], ids=["a", "b"], metadata=[{"colour": "red"}, {"colour": "blue"}])
    opened.remove(["a"])
    assert opened.search(photo, k=1, where={"colour": "blue"}).ids.tolist() == [["b"]]
    assert opened.search(text="red shoes", k=1).counts.tolist() == [1]
try:
    fs.Classifier("fashion").fit([photo] * 4, ["a", "b", "a", "b"])
except fs.errors.MissingPackageError as error:
    said = str(error)
print(json.dumps([found.ids[0].tolist(), tags.value["articleType"][0], shipped.value["gender"][0], said]))
"""


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    """Return a slim environment, and how many bytes it takes up."""
    folder = tmp_path_factory.mktemp("slim") / "venv"
    made = subprocess.run(
        ["bash", ROOT / "scripts" / "slim.sh", folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert made.returncode == 0, made.stderr
    return folder / "bin", int(made.stdout)


@pytest.mark.usefixtures("graphs")
def test_it_tags_and_searches_what_the_whole_installation_saved(slim, photo, tmp_path):
    programs, size = slim
    assert size < 400e6
    table = fs.datasets.make_catalogue(24, seed=0)
    tagger = fs.Tagger("fashion", progress=False, random_state=0)
    tagger.fit(table.images, {"articleType": table["articleType"]})
    tagger.save(tmp_path / "tagger")
    index = fs.VisualIndex(tagger, progress=False)
    index.add(table.images)
    index.save(tmp_path / "catalogue")
    (tmp_path / "a.jpg").write_bytes(photo(size=(120, 160)))
    arguments = [tmp_path / name for name in ("a.jpg", "catalogue", "tagger", "own")]

    done = subprocess.run(
        [programs / "python", "-W", "error", "-c", SERVE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ids, kind, gender, said = json.loads(done.stdout)
    expected = index.search(tmp_path / "a.jpg", k=3)
    assert ids == expected.ids[0].tolist()
    assert kind == tagger.tag(tmp_path / "a.jpg").value["articleType"][0]
    assert gender in ("Men", "Women", "Boys", "Girls", "Unisex")
    assert said.startswith("Classifier.fit needs torch")

    for words in (
        ["search", "catalogue", "a.jpg", "-k", "2"],
        ["tag", ".", "--out", "tags.csv"],
        ["tag", ".", "--tagger", "tagger", "--out", "own.csv"],
    ):
        command = subprocess.run(
            [programs / "fashionsearch", *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert command.returncode == 0, command.stderr
    assert np.isfinite(expected.similarities).all()
