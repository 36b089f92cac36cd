"""Shards on Ray: two workers write what one process writes. Ray listens on all interfaces: it gets a network of its own."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch.datasets import load_folder

PROGRAM = """
import sys
import fashionsearch as fs
from fashionsearch.datasets import load_folder

if __name__ == "__main__":
    table = load_folder(sys.argv[1], labelled=False)
    print(fs.embed_shards("fashion", table, sys.argv[2], shard_size=4, workers=2, progress=False))
    print(fs.embed_shards("fashion", table, sys.argv[2], shard_size=4, workers=2, progress=False))
"""


def _alone(*command):
    """Return a command in a network of its own, where this may be made."""
    inner = ["sh", "-c", 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"', "sh", *command]
    unshare = shutil.which("unshare")
    if (
        unshare
        and subprocess.run([unshare, "-n", "sh", "-c", "ip link set lo up"], check=False).returncode == 0
    ):
        return [unshare, "-n", *inner]
    return list(command)


def vectors_of(folder):
    found = {}
    for path in sorted(folder.glob("*.parquet")):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            found[row["id"]] = None if row["embedding"] is None else np.array(row["embedding"])
    return found


def test_two_workers_write_what_one_process_writes(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for n in range(17):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(photos / f"{n:02}.png")
    (photos / "03.png").write_bytes(b"no picture")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    command = _alone(sys.executable, str(program), str(photos), str(tmp_path / "ray"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "17 photos embedded in 5 shards" in done.stdout
    assert "0 photos embedded in 5 shards, 17 were there" in done.stdout
    fs.embed_shards(
        "fashion", load_folder(photos, labelled=False), tmp_path / "one", shard_size=4, progress=False
    )
    one, other = vectors_of(tmp_path / "one"), vectors_of(tmp_path / "ray")
    assert list(one) == list(other)
    for item, vector in one.items():
        if vector is None:
            assert other[item] is None
        else:
            np.testing.assert_allclose(vector, other[item], atol=1e-6)


def test_an_encoder_that_can_not_be_saved_is_refused_before_ray_is_started(tmp_path):
    class Own:
        dim = 3

        def embed(self, images):
            return np.ones((len(list(images)), 3), np.float32)

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    table = load_folder(tmp_path, labelled=False)
    with pytest.raises(fs.errors.InputError, match="workers=0"):
        fs.embed_shards(Own(), table, tmp_path / "shards", workers=2, progress=False)
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
