"""Embeddings in shards: equal after any interruption, refused when they don't fit, and brought into an index."""

import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.datasets import load_folder
from fashionsearch.index import runs, shards


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for n in range(23):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / f"{n:02}.png")
    (folder / "07.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def encoder():
    return fs.create_backbone("fashion", progress=False)


def embed(photos, folder, encoder, **options):
    table = load_folder(photos, labelled=False)
    return fs.embed_shards(encoder, table, folder, **{"shard_size": 5, "progress": False, **options})


def vectors_of(folder):
    found = {}
    for path in sorted(folder.glob("*.parquet")):
        rows = pyarrow.parquet.read_table(path).to_pylist()
        found |= {row["id"]: None if row["embedding"] is None else tuple(row["embedding"]) for row in rows}
    return found


def test_each_photo_has_a_row_and_its_embedding(photos, encoder, tmp_path):
    done = embed(photos, tmp_path / "shards", encoder)
    assert (done.shards, done.embedded, done.kept) == (5, 23, 0)
    assert [failure.position for failure in done.failures] == [7]
    assert "07.png" in repr(done)
    found = vectors_of(tmp_path / "shards")
    assert len(found) == 23
    direct = encoder.embed([photos / "11.png"])[0]
    np.testing.assert_allclose(found['"11.png"'], direct, atol=1e-6)
    assert found['"07.png"'] is None
    again = embed(photos, tmp_path / "shards", encoder)
    assert (again.embedded, again.kept, len(again.failures)) == (0, 23, 1)


def test_photos_that_could_not_be_read_are_tried_again(photos, encoder, tmp_path):
    """A share that was away, a file that was half copied: what can be read now is embedded, and the rest stays as it is."""
    own = tmp_path / "photos"
    shutil.copytree(photos, own)
    (own / "08.png").write_bytes(b"no picture")
    folder = tmp_path / "shards"
    assert len(embed(own, folder, encoder).failures) == 2
    index = fs.VisualIndex(encoder, progress=False)
    assert index.add_shards(folder) == 21
    others = (folder / "shard-00002.parquet").stat().st_mtime_ns
    before = (folder / "shard-00001.parquet").read_bytes()
    shutil.copy(photos / "08.png", own / "08.png")
    done = embed(own, folder, encoder)
    assert (done.embedded, done.kept) == (1, 22)
    assert [failure.source.rsplit("/")[-1] for failure in done.failures] == ["07.png"]
    assert (folder / "shard-00002.parquet").stat().st_mtime_ns == others
    assert (folder / "shard-00001.parquet").read_bytes() != before
    assert index.add_shards(folder) == 1
    np.testing.assert_allclose(index.get("08.png").vector, encoder.embed([photos / "08.png"])[0], atol=1e-6)
    embed(photos, tmp_path / "whole", encoder)
    found, truth = vectors_of(folder), vectors_of(tmp_path / "whole")
    assert found.keys() == truth.keys()
    np.testing.assert_allclose(found['"08.png"'], truth['"08.png"'], atol=1e-6)
    before = (folder / "shard-00001.parquet").stat().st_mtime_ns
    done = embed(own, folder, encoder)
    assert (done.embedded, done.kept, len(done.failures)) == (0, 23, 1)
    assert (folder / "shard-00001.parquet").stat().st_mtime_ns == before, (
        "nothing is written where nothing changes"
    )


def test_an_interrupted_run_goes_on_and_ends_alike(photos, encoder, tmp_path, monkeypatch):
    embed(photos, tmp_path / "whole", encoder)
    write, left = runs.write_shard, [2]

    def interrupted(*arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return write(*arguments)

    monkeypatch.setattr(runs, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        embed(photos, tmp_path / "parts", encoder)
    monkeypatch.undo()
    done = embed(photos, tmp_path / "parts", encoder)
    assert (done.embedded, done.kept) == (13, 10)
    assert vectors_of(tmp_path / "parts") == vectors_of(tmp_path / "whole")


def _killed_run(photos, folder, shards, after):
    """Run in a process of its own, and kill it so many seconds after it has written so many shards more."""
    program = textwrap.dedent(
        f"""
        import fashionsearch as fs
        from fashionsearch.datasets import load_folder
        table = load_folder({str(photos)!r}, labelled=False)
        fs.embed_shards("fashion", table, {str(folder)!r}, shard_size=2, progress=False)
        """
    )
    begun = len(list(folder.glob("*.parquet")))
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(folder.glob("*.parquet"))) < begun + shards:
        time.sleep(0.002)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_ends_alike(photos, encoder, tmp_path, kills, tally):
    embed(photos, tmp_path / "whole", encoder, shard_size=2)
    whole = vectors_of(tmp_path / "whole")
    rng = np.random.default_rng(kills)
    counts = dict.fromkeys(("cases", "between shards", "lost", "wrong answers", "drafts left"), 0)
    for number in range(kills):
        folder = tmp_path / f"killed {number // 5}"
        while True:  # a run that ended before it was killed is no case
            code = _killed_run(photos, folder, int(rng.integers(1, 4)), float(rng.uniform(0, 0.05)))
            if code == -signal.SIGKILL:
                break
            assert code == 0
            shutil.rmtree(folder)
        counts["cases"] += 1
        counts["between shards"] += 0 < len(list(folder.glob("*.parquet"))) < 12
        if number % 5 == 4 or number == kills - 1:
            embed(photos, folder, encoder, shard_size=2)
            found = vectors_of(folder)
            counts["lost"] += len(whole.keys() - found.keys())
            counts["wrong answers"] += sum(found[item] != whole[item] for item in found if item in whole)
            counts["drafts left"] += len(list(folder.glob("*.new")))
    tally("a run of embedding is killed", **counts)
    assert not counts["lost"] + counts["wrong answers"] + counts["drafts left"], counts


def test_what_does_not_fit_a_run_is_refused(photos, encoder, tmp_path):
    folder = tmp_path / "shards"
    embed(photos, folder, encoder)
    with pytest.raises(errors.InputError, match="shard_size"):
        embed(photos, folder, encoder, shard_size=6)
    with pytest.raises(errors.InputError, match="other photos"):
        fs.embed_shards(encoder, load_folder(photos, labelled=False)[1:], folder, shard_size=5)
    with pytest.raises(errors.EncoderMismatchError, match="another one"):
        embed(photos, folder, fs.create_backbone("cnn", weights=None))
    for options in ({"shard_size": 0}, {"workers": -1}):
        with pytest.raises(errors.InputError):
            embed(photos, folder, encoder, **options)
    with pytest.raises(errors.InputError, match="not all files"):
        fs.embed_shards(
            encoder, fs.datasets.Table([np.zeros((8, 8, 3), np.uint8)], {"id": ["a"]}), tmp_path / "x"
        )


@pytest.mark.parametrize("act", ["truncate", "flip", "other", "remove"])
def test_a_damaged_shard_is_named(photos, encoder, tmp_path, act):
    folder = tmp_path / "shards"
    embed(photos, folder, encoder)
    path = folder / "shard-00002.parquet"
    content = bytearray(path.read_bytes())
    if act == "truncate":
        path.write_bytes(content[:-9])
    elif act == "flip":
        content[len(content) // 3] ^= 0x10
        path.write_bytes(content)
    elif act == "other":
        path.write_bytes((folder / "shard-00001.parquet").read_bytes())
    else:
        path.unlink()
    index = fs.VisualIndex(encoder, progress=False)
    with pytest.raises(errors.CorruptFileError, match=r"shard-00002\.parquet.*embed_shards writes it again"):
        index.add_shards(folder)
    if act != "remove":
        with pytest.raises(errors.CorruptFileError, match=r"shard-00002\.parquet"):
            embed(photos, folder, encoder)
        path.unlink()
    assert embed(photos, folder, encoder).embedded == 5
    assert index.add_shards(folder) == 13  # those before the damaged one were there


def test_shards_are_brought_into_an_index_once(photos, encoder, tmp_path):
    embed(photos, tmp_path / "shards", encoder)
    direct = fs.VisualIndex(encoder, progress=False)
    direct.add(
        *[sorted(p for p in photos.iterdir() if p.name != "07.png")],
        ids=[f"{n:02}.png" for n in range(23) if n != 7],
    )
    with fs.VisualIndex.open(tmp_path / "catalogue", encoder, progress=False) as index:
        assert index.add_shards(tmp_path / "shards") == 22
        assert index.add_shards(tmp_path / "shards") == 0
        assert list(index) == list(direct)
        assert index.get("03.png").source == str(photos / "03.png")
        found, truth = (each.search(photos / "03.png", k=5) for each in (index, direct))
        assert found.ids.tolist() == truth.ids.tolist()
    with pytest.raises(errors.EncoderMismatchError):
        fs.VisualIndex(fs.create_backbone("cnn", weights=None)).add_shards(tmp_path / "shards")
    with pytest.raises(errors.EncoderMismatchError, match="length 7"):
        fs.VisualIndex(dim=7).add_shards(tmp_path / "shards")
    assert fs.VisualIndex(dim=encoder.dim).add_shards(tmp_path / "shards") == 22
    with pytest.raises(errors.StorageError):
        fs.VisualIndex(encoder).add_shards(tmp_path)


def test_two_runs_of_one_folder_at_once_do_no_harm(photos, encoder, tmp_path):
    table = load_folder(photos, labelled=False)
    run = runs.begin(tmp_path, encoder, table, 5)
    runs.write_shard(encoder, table, tmp_path, 0, run)
    runs.write_shard(encoder, table, tmp_path, 0, run)
    assert [path.name for path in tmp_path.glob("shard*")] == ["shard-00000.parquet"]
    assert embed(photos, tmp_path, encoder).kept == 5


def test_a_missing_package_is_named(photos, encoder, tmp_path, monkeypatch):
    find = shards.importlib.util.find_spec
    monkeypatch.setattr(
        shards.importlib.util, "find_spec", lambda name: None if name in ("pyarrow", "ray") else find(name)
    )
    with pytest.raises(errors.MissingPackageError, match="pyarrow"):
        embed(photos, tmp_path / "shards", encoder)
