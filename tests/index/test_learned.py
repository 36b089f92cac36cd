"""What was learned, kept in folders."""

import json

import numpy as np
import pytest

from fashionsearch import errors, storage
from fashionsearch.index import learned
from fashionsearch.index.clicks import ClickMetric
from fashionsearch.index.whitening import Whitening


@pytest.fixture
def parts():
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    metric = ClickMetric(np.eye(4, dtype=np.float32)[:3], np.array([2, 1, 0], np.float32), in_use=True)
    return {part.name: part for part in (Whitening.fitted(vectors), metric)}


def test_parts_come_back(parts, tmp_path):
    assert learned.kept(tmp_path) == {}
    learned.keep(tmp_path, parts)
    found = learned.kept(tmp_path)
    assert list(found) == ["whitening", "clicks"]
    for name, part in found.items():
        assert type(part) is type(parts[name])
        config, arrays = part.state()
        expected, as_arrays = parts[name].state()
        assert config == expected
        assert all(np.array_equal(arrays[key], as_arrays[key]) for key in as_arrays)
    learned.keep(tmp_path, {"whitening": parts["whitening"]})
    assert list(learned.kept(tmp_path)) == ["whitening"]


def test_a_folder_that_was_written_before_there_were_any_has_none(tmp_path):
    storage.save(tmp_path / "old", "index", {"index.json": storage.write_json({})})
    assert learned.read(storage.open_saved(tmp_path / "old")) == {}


def saved_with(tmp_path, parts, **changed):
    files = {
        **learned.writers(parts),
        **{name.replace("__", "."): writer for name, writer in changed.items()},
    }
    storage.save(tmp_path / "it", learned.FOLDER, files)
    return storage.open_saved(tmp_path / "it")


def test_what_is_not_what_was_written_is_told(parts, tmp_path):
    unknown = {"learned__json": storage.write_json({"names": ["dreams"]})}
    with pytest.raises(errors.CorruptFileError, match="'dreams' that was learned, not one of"):
        learned.read(saved_with(tmp_path, parts, **unknown))
    files = learned.writers(parts)
    files["learned-clicks.safetensors"] = storage.write_arrays(
        {"axes": np.eye(4, dtype=np.float32), "weights": -np.ones(4, np.float32)}
    )
    storage.save(tmp_path / "it", learned.FOLDER, files)
    with pytest.raises(errors.CorruptFileError, match="learned-clicks is damaged: a weight is below 0"):
        learned.read(storage.open_saved(tmp_path / "it"))
    files |= learned.writers(parts) | {"learned-clicks.json": storage.write_json({"in_use": "yes"})}
    storage.save(tmp_path / "it", learned.FOLDER, files)
    with pytest.raises(errors.CorruptFileError, match="in_use"):
        learned.read(storage.open_saved(tmp_path / "it"))


def test_files_are_json_and_safetensors(parts, tmp_path):
    saved = saved_with(tmp_path, parts)
    assert {name.rsplit(".")[-1] for name in saved.files} == {"json", "safetensors"}
    assert json.loads(json.dumps(saved.json("learned.json"))) == {"names": ["whitening", "clicks"]}


def test_names_that_are_no_list_of_texts_are_damage(parts, tmp_path):
    for names in (5, "words", [["clicks"]], [3]):
        with pytest.raises(errors.CorruptFileError, match=r"'names' is .* a list"):
            learned.read(saved_with(tmp_path, parts, learned__json=storage.write_json({"names": names})))
