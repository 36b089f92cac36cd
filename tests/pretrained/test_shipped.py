"""The files that ship: their sizes, what they hold, and what happens where one is damaged or another's."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, pretrained
from fashionsearch.backbones import weights
from fashionsearch.backbones.ready import ReadyNetwork

FOLDER = Path(pretrained.__file__).parent


@pytest.fixture
def folder(tmp_path):
    for name in ("fashion.safetensors", "fashion.onnx"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def test_the_files_are_as_small_as_promised():
    assert (FOLDER / "fashion.safetensors").stat().st_size <= 8_000_000
    assert (FOLDER / "fashion.onnx").stat().st_size <= 200_000


def test_the_file_holds_what_belongs_to_the_network():
    shipped = pretrained.open_shipped("fashion")
    assert [attribute["name"] for attribute in shipped.config["attributes"]] == [
        "articleType", "subCategory", "masterCategory", "baseColour", "gender", "usage", "season",
    ]  # fmt: skip
    assert shipped.config["parents"] == {"articleType": "subCategory", "subCategory": "masterCategory"}
    learned = shipped.arrays["learned"]
    assert learned.dtype == np.uint64
    assert (np.diff(learned.astype(object)) > 0).all()
    assert len(learned) > 20_000
    assert all(np.isfinite(array).all() for array in shipped.network.values())


def test_there_is_no_other():
    with pytest.raises(errors.WeightsError, match=r"'fasion'.*Did you mean 'fashion'"):
        pretrained.open_shipped("fasion")
    with pytest.raises(errors.WeightsError, match="those that do are fashion"):
        fs.Tagger.from_pretrained("name")  # with a slash it would be a repository of the hub


@pytest.mark.parametrize("file", ["fashion.safetensors", "fashion.onnx"])
def test_a_damaged_file_is_told_before_anything_is_made_of_it(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(errors.CorruptFileError, match=rf"{file} is not the file that ships.*install"):
        pretrained.graph_of("fashion", folder)


def test_a_swapped_or_missing_file_is_told(folder):
    shutil.copy(folder / "fashion.onnx", folder / "fashion.safetensors")
    with pytest.raises(errors.CorruptFileError, match="its SHA-256 differs"):
        pretrained.open_shipped("fashion", folder)
    (folder / "fashion.safetensors").unlink()
    with pytest.raises(errors.CorruptFileError, match=r"can't be read: No such file.*install"):
        pretrained.open_shipped("fashion", folder)


def test_both_ways_give_the_same_answers():
    table = fs.datasets.make_catalogue(24, seed=3)
    graph = fs.Tagger.from_pretrained("fashion", progress=False)
    torch = fs.Tagger.from_pretrained("fashion", runtime="torch", progress=False)
    assert (graph.backbone_.runtime, torch.backbone_.runtime) == ("onnx", "torch")
    np.testing.assert_allclose(graph.embed(table.images), torch.embed(table.images), atol=2e-4)
    ours, theirs = graph.tag(table.images), torch.tag(table.images)
    for name in graph.attributes_:
        assert ours.value[name].tolist() == theirs.value[name].tolist()
        np.testing.assert_allclose(ours.confidence[name], theirs.confidence[name], atol=2e-3)
    np.testing.assert_array_equal(ours.unfamiliar, theirs.unfamiliar)


def test_the_weights_are_known_without_torch_by_the_hash_that_torch_gives():
    ready = ReadyNetwork.shipped("fashion")
    assert ready.weights_hash == weights.weights_hash(ready.make())


def test_tagging_imports_no_torch_and_opens_no_connection():
    program = (
        "import json, socket, sys\n"
        "def refuse(*_): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "import numpy as np\n"
        "import fashionsearch as fs\n"
        "photos = np.random.default_rng(0).integers(0, 256, (2, 80, 60, 3), dtype=np.uint8)\n"
        "tags = fs.Tagger.from_pretrained('fashion').tag(photos)\n"
        "vectors = fs.create_backbone('fashion').embed(photos)\n"
        "heavy = {'torch', 'timm', 'torchvision', 'lightning', 'sklearn', 'scipy'} & sys.modules.keys()\n"
        "print(json.dumps([len(tags), vectors.shape, sorted(heavy)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [2, [2, 256], []]
