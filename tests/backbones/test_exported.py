"""Graphs that are saved beside weights: what they give, and what is said where there can be none."""

import json
import subprocess
import sys

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.backbones import exported

HEAVY = ["torch", "timm", "torchvision", "lightning", "sklearn", "scipy", "pandas", "onnx", "matplotlib"]
USES = """
import json, sys
import numpy as np
import fashionsearch as fs
folder, heavy = sys.argv[1], sys.argv[2].split()
photos = np.load(f"{folder}/photos.npy")
tagger = fs.Tagger.load(f"{folder}/tagger", progress=False)
index = fs.VisualIndex.load(f"{folder}/index", progress=False)
index.search(photos[:2], k=3, where={"kind": "a"}, like=[0], diversity=0.2)
index.search(id=0, k=2)
index.save(f"{folder}/again")
with fs.VisualIndex.open(f"{folder}/again", progress=False) as opened:
    opened.add(photos[:1], ids=[99])
    opened.remove([99])
    found = opened.search(photos[:1], k=1).ids.tolist()
tags = tagger.tag(photos)
kinds = tagger.predict(photos)["kind"].tolist()
print(json.dumps([found, tags.value["kind"].tolist(), kinds, tagger.embed(photos).tolist(), tagger.identity(),
                  sorted(set(heavy) & sys.modules.keys())]))
"""


@pytest.mark.usefixtures("graphs")
def test_a_taggers_graph_gives_embeddings_and_familiarity_and_no_torch_is_imported(tmp_path):
    photos = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)
    kinds = ["a", "b", "c"] * 4
    tagger = fs.Tagger("cnn", weights=None, image_size=32, embedding_dim=8, progress=False, random_state=0,
                       training=fs.FineTuning(epochs=1))  # fmt: skip
    tagger.fit(photos, {"kind": kinds})
    tagger.save(tmp_path / "tagger")
    index = fs.VisualIndex(tagger, progress=False)
    index.add(photos, metadata={"kind": kinds})
    index.save(tmp_path / "index")
    np.save(tmp_path / "photos.npy", photos)
    done = subprocess.run(
        [sys.executable, "-c", USES, tmp_path, " ".join(HEAVY)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, tags, predicted, embedded, identity, heavy = json.loads(done.stdout)
    assert heavy == []
    assert found == [[0]]
    assert tags == tagger.tag(photos).value["kind"].tolist()
    assert predicted == tagger.predict(photos)["kind"].tolist()
    np.testing.assert_allclose(embedded, tagger.embed(photos), atol=1e-4)
    assert identity == json.loads(json.dumps(tagger.identity()))


@pytest.mark.usefixtures("graphs")
def test_a_network_that_cannot_be_exported_is_saved_without(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "_MOST", 1000)
    backbone = fs.create_backbone("cnn", weights=None, random_state=0, progress=False).variant(
        origin="trained"
    )
    with pytest.warns(errors.DataWarning, match=r"saved without backbone\.onnx.*its weights have 0\.0 GB"):
        backbone.save(tmp_path / "large")
    assert not list(tmp_path.rglob("*.onnx"))
    assert fs.Backbone.load(tmp_path / "large", progress=False).ready is None
