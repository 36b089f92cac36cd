"""An index's folder: whatever its files hold, with honest hashes, loading gives an index or an error of the tree."""

import copy
import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest
import safetensors.numpy

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.engines import local

DIM = 8
OTHER = [None, -1, 2**70, 1e308, "x", [], {}, True, [[1]]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    with pytest.MonkeyPatch.context() as context:
        context.setattr(local, "_EXACT_BYTES", 4 * DIM * 20)
        index = fs.VisualIndex(dim=DIM, progress=False)
        vectors = np.random.default_rng(0).normal(size=(40, DIM))
        metadata = [{"colour": "red", "n": n} if n % 3 else {"n": n} for n in range(40)]
        index.add_vectors(vectors, ids=[f"i{n}" for n in range(40)], metadata=metadata)
        assert index.has_graph
        index.save(tmp_path_factory.mktemp("saved") / "index")
    return next(tmp_path_factory.getbasetemp().glob("saved*/index"))


def places(value, path=()):
    """Yield the path to each part of a JSON value, of long lists to the first two."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for position in range(min(2, len(value))):
            yield from places(value[position], (*path, position))


def json_variants(content):
    value = json.loads(content)
    for path in places(value):
        for other in OTHER:
            changed = copy.deepcopy(value)
            part = changed
            for key in path[:-1]:
                part = part[key]
            if path:
                part[path[-1]] = other
            else:
                changed = other
            yield json.dumps(changed).encode()


def array_variants(content):
    arrays = safetensors.numpy.load(content)
    for name, array in arrays.items():
        yield safetensors.numpy.save({key: value for key, value in arrays.items() if key != name})
        for other in (
            array.astype(np.float64),
            array[: len(array) // 2].copy(),
            array.reshape(-1).copy(),
            array * 0 - 5,
            array[:0].copy(),
        ):
            yield safetensors.numpy.save({**arrays, name: other})


def other_variants(content):
    return b"", content[: len(content) // 2], bytes(len(content)), 2 * content


VARIANTS = {
    "index.json": json_variants,
    "items.json": json_variants,
    "vectors.safetensors": array_variants,
    "graph.safetensors": array_variants,
    "graph.hnsw": other_variants,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_whatever_a_file_holds_the_error_is_one_of_the_tree(name, saved, tmp_path):
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["files"].keys() == VARIANTS.keys()
    tried = 0
    for content in VARIANTS[name]((saved / manifest["generation"] / name).read_bytes()):
        folder = tmp_path / "index"
        shutil.copytree(saved, folder)
        files = {
            **manifest["files"],
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        }
        (folder / manifest["generation"] / name).write_bytes(content)
        (folder / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.DataWarning)  # a graph that is built again
                index = fs.VisualIndex.load(folder, progress=False)
        except errors.StorageError:
            pass
        else:
            assert index.search_vectors(np.ones(DIM), k=3).counts.tolist() == [3]
            index.add_vectors(np.ones((1, DIM)), ids=["new"])
        shutil.rmtree(folder)
        tried += 1
    assert tried >= 4
