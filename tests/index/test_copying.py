"""Items from one index to another: what is copied, what is left, and what goes on."""

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import cli, errors
from fashionsearch.index import copying

VECTORS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


@pytest.fixture
def source():
    index = fs.VisualIndex(dim=6, progress=False)
    index.add_vectors(VECTORS, ids=[f"p{n}" for n in range(50)], metadata=[{"n": n} for n in range(50)])
    return index


def content(index):
    return [(item, index.get(item).vector.tobytes(), dict(index.get(item).metadata)) for item in index]


@pytest.mark.parametrize("engine", ["hnsw", "faiss", "exact", "opened"])
def test_everything_is_copied_once(source, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "_AT_ONCE", 7)
    if engine == "opened":
        target = fs.VisualIndex.open(tmp_path / "c", dim=6, progress=False)
    else:
        target = fs.VisualIndex(dim=6, engine=engine, progress=False)
    assert source.copy_to(target) == 50
    assert content(target) == content(source)
    assert source.copy_to(target) == 0
    source.update("p3", {"n": True})
    source.remove("p4")
    source.add_vectors(VECTORS[:1], ids=["p5"])
    assert source.copy_to(target) == 2
    assert "p4" in target, "what is there beside stays"
    assert target.get("p3").metadata == {"n": True}
    target.close()


def test_an_interrupted_copy_goes_on(source, monkeypatch):
    monkeypatch.setattr(copying, "_AT_ONCE", 10)
    target = fs.VisualIndex(dim=6, progress=False)
    upsert, calls = target._engine.upsert, []

    def interrupted(rows):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        upsert(rows)

    with monkeypatch.context() as patch:
        patch.setattr(target._engine, "upsert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source.copy_to(target)
    assert len(target) == 20
    assert source.copy_to(target) == 30
    assert content(target) == content(source)


def test_what_can_not_be_copied_is_told(source):
    with pytest.raises(errors.EncoderMismatchError, match="length 6, and there 5"):
        source.copy_to(fs.VisualIndex(dim=5))
    numbered = fs.VisualIndex(dim=6)
    numbered.add_vectors(VECTORS[:1])
    with pytest.raises(errors.InputError, match="ids here are of type str, and there of type int"):
        source.copy_to(numbered)
    one, other = (
        fs.VisualIndex(fs.create_backbone("cnn", weights=None, random_state=seed), progress=False)
        for seed in (0, 1)
    )
    photos = fs.datasets.make_catalogue(2, seed=0, size=(24, 32)).images
    one.add(photos)
    other.add(photos)
    with pytest.raises(errors.EncoderMismatchError):
        one.copy_to(other)
    empty = fs.VisualIndex(dim=one.dim)
    assert one.copy_to(empty) == 2
    assert empty.search(photos[:1], k=1).ids[0, 0] == 0


def test_the_command_makes_an_opened_copy(source, tmp_path, capsys):
    source.save(tmp_path / "saved")
    assert cli.main(["index-copy", str(tmp_path / "saved"), str(tmp_path / "copy"), "--engine", "exact"]) == 0
    assert "50 of 50 items copied" in capsys.readouterr().out
    assert cli.main(["index-copy", str(tmp_path / "saved"), str(tmp_path / "copy")]) == 0
    assert "0 of 50 items copied" in capsys.readouterr().out
    with fs.VisualIndex.open(tmp_path / "copy", read_only=True) as copy:
        assert copy.engine == "exact"
        assert content(copy) == content(source)
    assert cli.main(["index-copy", str(tmp_path / "copy"), str(tmp_path / "again")]) == 0
