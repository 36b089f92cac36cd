"""The embedding cache saves time and nothing else: whatever happens to its file, the work goes on."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import platformdirs
import pytest

from fashionsearch import errors
from fashionsearch.cache import EmbeddingCache, cache_folder, cache_key


def vector(value, dim=8):
    return np.full(dim, value, np.float32)


def use(path):
    cache = EmbeddingCache(path)
    cache.put({b"a": vector(1)})
    assert cache.get(b"a") is None
    cache.clear()
    cache.close()


def test_what_is_put_is_got_also_after_reopening(tmp_path):
    stored = np.random.default_rng(0).normal(size=5).astype(np.float32)
    cache = EmbeddingCache(tmp_path / "deep" / "c.sqlite")
    assert cache.get(b"a") is None
    cache.put({b"a": stored, b"b": stored * 2})
    cache.put({})
    cache.put({b"b": stored * 3})
    np.testing.assert_array_equal(cache.get(b"a"), stored)
    cache.close()
    cache.close()
    again = EmbeddingCache(tmp_path / "deep" / "c.sqlite")
    np.testing.assert_array_equal(again.get(b"b"), stored * 3)
    assert again.get(b"b").dtype == np.float32
    again.clear()
    assert again.get(b"a") is None
    again.close()


def test_a_closed_cache_keeps_nothing(tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.close()
    cache.put({b"a": vector(1)})
    assert cache.get(b"a") is None


def test_keys_tell_images_and_salts_apart():
    image = np.zeros((2, 3, 3), np.uint8)
    keys = [
        cache_key(b"abc", "salt"),
        cache_key(b"abd", "salt"),
        cache_key(b"abc", "salt2"),
        cache_key(b"bc", "salta"),
        cache_key(b"", ""),
        cache_key(image, "salt"),
        cache_key(image + np.uint8(1), "salt"),
        cache_key(image.reshape(3, 2, 3), "salt"),
        cache_key(image.tobytes(), "salt"),
        cache_key(f"|pixels {image.shape}|".encode() + image.tobytes(), "salt"),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(b"abc", "salt") == keys[0]
    wide = np.arange(36, dtype=np.uint8).reshape(2, 6, 3)
    assert cache_key(wide[:, ::2], "salt") == cache_key(wide[:, ::2].copy(), "salt")


def test_the_folder_is_the_environments(monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    cache = EmbeddingCache()
    cache.put({b"a": vector(1)})
    cache.close()
    assert (tmp_path / "here" / "embeddings.sqlite").is_file()
    monkeypatch.delenv("FASHIONSEARCH_CACHE")
    assert cache_folder().name == "fashionsearch"


@pytest.mark.parametrize("word", ["off", "OFF"])
def test_off_keeps_nothing(word, monkeypatch, tmp_path):
    monkeypatch.setenv("FASHIONSEARCH_CACHE", word)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    cache = EmbeddingCache()
    cache.put({b"a": vector(1)})
    assert cache.get(b"a") is None
    cache.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_warns_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(errors.DataWarning, match="embeddings are not cached.*or to 'off'") as caught:
        use(tmp_path / "file" / "c.sqlite")
    assert len(caught) == 1


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_warns_once(content, tmp_path):
    (tmp_path / "c.sqlite").write_bytes(content)
    with pytest.warns(errors.DataWarning, match="embeddings are not cached") as caught:
        use(tmp_path / "c.sqlite")
    assert len(caught) == 1


def test_another_table_of_the_same_name(tmp_path):
    connection = sqlite3.connect(tmp_path / "c.sqlite")
    connection.execute("CREATE TABLE checked_embeddings (other TEXT)")
    connection.commit()
    connection.close()
    with pytest.warns(errors.DataWarning, match="embeddings are not cached") as caught:
        use(tmp_path / "c.sqlite")
    assert len(caught) == 1


@pytest.mark.parametrize("content", [b"abc", "twelve chars", 5])
def test_a_row_that_is_no_vector_is_a_miss(content, tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.put({b"a": vector(1)})
    connection = sqlite3.connect(tmp_path / "c.sqlite")
    connection.execute("UPDATE checked_embeddings SET vector = ?", (content,))
    connection.commit()
    connection.close()
    assert cache.get(b"a") is None
    cache.close()


def test_random_damage_never_raises(tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    cache.put({bytes([i]): vector(i, 300) for i in range(100)})
    cache.close()
    whole = (tmp_path / "c.sqlite").read_bytes()
    dice = np.random.default_rng(0)
    for trial in range(20):
        damaged = bytearray(whole)
        for place in dice.integers(0, len(whole), 200):
            damaged[place] = dice.integers(256)
        path = tmp_path / f"{trial}.sqlite"
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.DataWarning)
            cache = EmbeddingCache(path)
            for i in range(100):
                cache.get(bytes([i]))
            cache.put({b"new": vector(1)})
            cache.close()


def test_size_is_bounded_and_the_oldest_go_first(tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite", max_bytes=200_000)
    for batch in range(60):
        cache.put({f"{batch}-{i}".encode(): vector(batch, 256) for i in range(10)})  # 600 KB in all
    assert cache.get(b"0-0") is None
    assert cache.get(b"59-9")[0] == 59
    kept = [batch for batch in range(60) if cache.get(f"{batch}-5".encode()) is not None]
    assert kept == list(range(kept[0], 60))
    assert 8 <= len(kept) <= 20
    cache.close()
    assert (tmp_path / "c.sqlite").stat().st_size < 300_000


def test_processes_share_one_file(tmp_path):
    script = """
        import sys, warnings
        import numpy as np
        from fashionsearch.cache import EmbeddingCache
        warnings.simplefilter("error")
        who = sys.argv[2].encode()
        cache = EmbeddingCache(sys.argv[1])
        for i in range(60):
            key = b"%d" % i
            cache.put({key: np.full(64, i, np.float32), who + key: np.full(64, i, np.float32)})
            assert (cache.get(key) == i).all()
        cache.close()
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "c.sqlite"), name],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for child in children:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    for who in "abc":
        assert all((cache.get(f"{who}{i}".encode()) == i).all() for i in range(60))
    cache.close()


@pytest.mark.parametrize("column", ["vector", "digest"])
def test_a_flipped_bit_is_a_miss_and_is_forgotten(column, tmp_path):
    path = tmp_path / "c.sqlite"
    with EmbeddingCache(path) as cache:
        cache.put({b"a": vector(1), b"b": vector(2)})
        connection = sqlite3.connect(path)
        flip = "UPDATE checked_embeddings SET {} = CAST(X'00' || substr({}, 2) AS BLOB) WHERE key = X'61'"
        connection.execute(flip.format(column, column))
        if column == "vector":  # its first byte is 0 already
            connection.execute(flip.replace("X'00'", "X'01'").format(column, column))
        connection.commit()
        assert cache.get(b"a") is None
        assert (cache.get(b"b") == 2).all()
        assert connection.execute("SELECT count(*) FROM checked_embeddings").fetchone() == (1,)
        connection.close()


def test_flipped_bits_of_the_file_give_no_wrong_vector(tmp_path):
    with EmbeddingCache(tmp_path / "c.sqlite") as cache:
        cache.put({bytes([i]): vector(i, 300) for i in range(100)})
    whole = (tmp_path / "c.sqlite").read_bytes()
    dice = np.random.default_rng(1)
    for trial in range(40):
        damaged = bytearray(whole)
        for place in dice.integers(4096, len(whole), 3):
            damaged[place] ^= 1 << dice.integers(8)
        path = tmp_path / f"{trial}.sqlite"
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.DataWarning)
            with EmbeddingCache(path) as cache:
                for i in range(100):
                    found = cache.get(bytes([i]))
                    assert found is None or (found == i).all()


def test_a_cache_of_the_first_version_is_emptied_and_used(tmp_path):
    connection = sqlite3.connect(tmp_path / "c.sqlite")
    connection.execute("CREATE TABLE embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL, stored REAL)")
    connection.execute("INSERT INTO embeddings VALUES (?, ?, 1.0)", (b"a", vector(1).tobytes()))
    connection.commit()
    connection.close()
    with EmbeddingCache(tmp_path / "c.sqlite") as cache:
        assert cache.get(b"a") is None
        cache.put({b"a": vector(2)})
        assert (cache.get(b"a") == 2).all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_an_interruption_leaves_the_file_free_for_others(error, tmp_path, monkeypatch):
    def interrupted(self):
        raise error

    with EmbeddingCache(tmp_path / "c.sqlite") as cache, EmbeddingCache(tmp_path / "c.sqlite") as other:
        with monkeypatch.context() as patch:
            patch.setattr(EmbeddingCache, "_make_room", interrupted)
            with pytest.raises(error):
                cache.put({b"a": vector(1)})
        assert cache.get(b"a") is None
        other.put({b"b": vector(2)})
        assert (cache.get(b"b") == 2).all()
        cache.put({b"a": vector(1)})
        assert (other.get(b"a") == 1).all()


def test_a_home_is_what_a_shell_takes_it_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("FASHIONSEARCH_CACHE", "~/kept")
    assert cache_folder() == tmp_path / "kept"
    with EmbeddingCache("~/own.sqlite") as cache:
        cache.put({b"a": vector(1)})
    assert (tmp_path / "own.sqlite").is_file()


def test_a_user_without_a_home_works_without_a_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("FASHIONSEARCH_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/fashionsearch")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    with pytest.warns(errors.DataWarning, match="embeddings are not cached: there is no home folder; set"):
        cache = EmbeddingCache()
    cache.put({b"a": vector(1)})
    assert cache.get(b"a") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_a_connection_and_a_lock_of_its_own(tmp_path):
    script = """
        import os, sys, warnings
        import numpy as np
        from fashionsearch.cache import EmbeddingCache
        cache = EmbeddingCache(sys.argv[1])
        cache.put({b"a": np.ones(4, np.float32)})
        cache._lock.acquire()  # as another thread would hold it at this moment
        child = os.fork()
        if child:
            cache._lock.release()
        for number in range(50):
            cache.put({b"%d %d" % (child == 0, number): np.full(4, number, np.float32)})
            assert (cache.get(b"a") == 1).all()
        if not child:
            cache.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        for who in (0, 1):
            assert all((cache.get(b"%d %d" % (who, n)) == n).all() for n in range(50))
        print("both")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), str(tmp_path / "c.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "both\n", done.stderr
