"""What is PostgreSQL's own: its index, its lock, its transactions, a server that goes away, and passwords that stay away."""

import contextlib
import multiprocessing
import socket
import threading
import time

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, storage
from fashionsearch.index.engines.pgvector import engine as ours

DIM = 8


def vectors(count, seed=0, dim=DIM):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@pytest.fixture
def make(made, postgres, collection):
    usual = {"engine": "pgvector", "url": postgres, "collection": collection, "dim": DIM}
    return lambda **options: made(**{**usual, **options})


@pytest.fixture
def ask(postgres):
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        yield lambda text, *values: connection.execute(text, values).fetchall()


def test_a_large_table_gets_a_graph_that_filters_do_not_leave_short(make, monkeypatch):
    monkeypatch.setattr(ours, "_GRAPH_FROM", 2000)
    index = make()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, DIM))
    held = (centres[rng.integers(40, size=3000)] + 0.3 * rng.normal(size=(3000, DIM))).astype(np.float32)
    index.add_vectors(held[:1000], metadata=[{"third": n % 3, "rare": n % 500 == 0} for n in range(1000)])
    assert not index.has_graph
    index.add_vectors(
        held[1000:], metadata=[{"third": n % 3, "rare": n % 500 == 0} for n in range(1000, 3000)]
    )
    assert index.has_graph
    asked = (held[:100] + 0.05 * rng.normal(size=(100, DIM))).astype(np.float32)
    for where in (None, {"third": 1}, {"rare": True}):
        found, truth = (
            index.search_vectors(asked, k=10, where=where, exact=exact) for exact in (False, True)
        )
        assert found.counts.tolist() == truth.counts.tolist() == [6 if where == {"rare": True} else 10] * 100
        assert fs.metrics.recall_at_k(found.ids, truth.ids) > 0.95
    index.remove(range(2000))
    assert index.search_vectors(asked, k=10).ids.min() >= 2000


def test_the_graph_is_walked_at_all(make, monkeypatch, ask, collection):
    monkeypatch.setattr(ours, "_GRAPH_FROM", 500)
    index = make()
    index.add_vectors(vectors(2000))
    index.search_vectors(vectors(5, seed=2), k=3)
    told = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s"
    index.close()  # statistics are told at the end of a session
    for _ in range(50):
        if ask(told, f"{collection}_hnsw")[0][0]:
            break
        time.sleep(0.1)
    assert ask(told, f"{collection}_hnsw")[0][0] >= 5


def test_long_vectors_are_compared_one_by_one(make, monkeypatch):
    monkeypatch.setattr(ours, "_GRAPH_FROM", 5)
    index = make(dim=2048)
    index.add_vectors(vectors(8, dim=2048))
    assert not index.has_graph
    assert index.search_vectors(vectors(8, dim=2048), k=1).ids[:, 0].tolist() == list(range(8))


def test_a_change_that_fails_has_not_happened(make, monkeypatch):
    index = make()
    index.add_vectors(vectors(2), ids=["a", "b"], metadata=[{"n": 1}, {"n": 2}])

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ours.PgvectorEngine, "_note", fail)
    with pytest.raises(KeyboardInterrupt):
        index.add_vectors(vectors(2, seed=1), ids=["b", "c"], metadata=[{"n": 3}, {"n": 4}])
    with pytest.raises(KeyboardInterrupt):
        index.update("a", {"n": 5})
    monkeypatch.undo()
    assert list(index) == ["a", "b"]
    assert [index.get(item).metadata for item in "ab"] == [{"n": 1}, {"n": 2}]
    np.testing.assert_array_equal(index.get("b").vector, vectors(2)[1])


def _add(url, collection, number, barrier):
    index = fs.VisualIndex(dim=DIM, engine="pgvector", url=url, collection=collection, progress=False)
    barrier.wait()
    for turn in range(10):
        index.add_vectors(vectors(3, seed=100 * number + turn), metadata=[{"by": number}] * 3)
    index.close()


def test_processes_number_items_one_after_the_other(make, postgres, collection):
    index = make()
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(3)
    others = [spawning.Process(target=_add, args=(postgres, collection, n, barrier)) for n in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert sorted(index) == list(range(90))
    assert index.facets("by") == {0: 30, 1: 30, 2: 30}


def test_who_waits_too_long_for_another_is_told(make):
    index, other = make(timeout=1.0), make()
    with other._engine.changing, pytest.raises(errors.StorageError, match="another process is changing it"):
        index.add_vectors(vectors(1))
    index.add_vectors(vectors(1))
    assert len(other) == 1


def test_a_connection_that_is_lost_is_opened_again(make, ask):
    index = make()
    index.add_vectors(vectors(5))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
    for _ in range(2):
        ask(cut)
        assert index.search_vectors(vectors(1), k=2).ids.tolist()[0][0] == 0
        ask(cut)
        index.add_vectors(vectors(1))
    assert len(index) == 7


def test_a_connection_lost_within_a_change_is_told_and_the_change_has_not_happened(make, ask, monkeypatch):
    index = make()
    index.add_vectors(vectors(1), ids=["a"])
    copy = ours.PgvectorEngine._copy

    def cut(engine, connection, rows):
        copy(engine, connection, rows)
        ask("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)

    monkeypatch.setattr(ours.PgvectorEngine, "_copy", cut)
    with pytest.raises(errors.StorageError, match="wholly or not at all"):
        index.add_vectors(vectors(1), ids=["b"])
    monkeypatch.undo()
    assert list(index) == ["a"]
    index.add_vectors(vectors(1), ids=["b"])
    assert list(index) == ["a", "b"]


def test_a_server_that_is_not_there_is_told_in_time_and_no_password_with_it(tmp_path):
    began = time.monotonic()
    with pytest.raises(errors.StorageError, match=r"could not be reached") as caught:
        fs.VisualIndex(
            dim=2,
            engine="pgvector",
            url="postgresql://me:hush@127.0.0.1:9/shop",
            collection="items",
            timeout=2,
        )
    assert time.monotonic() - began < 10
    assert "hush" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_no_password_is_kept(make, postgres, tmp_path):
    index = make(url=postgres.replace("postgres:@", "postgres:hush@"))
    index.add_vectors(vectors(3))
    index.save(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob("*"):
        if path.is_file():
            assert b"hush" not in path.read_bytes()
    assert "hush" not in repr(index)
    assert "hush" not in repr(index._engine.settings)
    loaded = fs.VisualIndex.load(tmp_path / "saved")
    assert len(loaded) == 3
    loaded.close()
    elsewhere = fs.VisualIndex.load(tmp_path / "saved", url=postgres, timeout=3.0)
    assert len(elsewhere) == 3
    elsewhere.close()


@pytest.mark.parametrize("name", ["", "a b", "1st", 'x"; DROP TABLE y; --', "x" * 60, None])
def test_a_name_that_is_no_tables_is_refused(postgres, name):
    with pytest.raises(errors.InputError, match="collection="):
        fs.VisualIndex(dim=2, engine="pgvector", url=postgres, collection=name)


def test_vectors_of_another_kind_are_refused(make):
    make().add_vectors(vectors(1))
    with pytest.raises(errors.InputError, match="length 8"):
        make(dim=9)
    with pytest.raises(errors.InputError, match="'cosine'"):
        make(metric="euclidean")


def test_a_newer_format_is_refused(make, ask, collection):
    make()
    ask(f"UPDATE {collection}_facts SET value = '99' WHERE name = 'format' RETURNING 1")  # noqa: S608
    with pytest.raises(errors.StorageError, match="newer fashionsearch"):
        make()


def test_a_table_that_is_dropped_is_an_error_of_ours(make, postgres, collection):
    import psycopg

    index = make()
    index.add_vectors(vectors(1))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP TABLE {collection}")
    with pytest.raises(errors.StorageError, match="refused"):
        index.search_vectors(vectors(1))


def test_no_address_is_an_error():
    for url in ("http://x:5432", "postgresql://[", ""):
        with pytest.raises(errors.InputError, match="address"):
            fs.VisualIndex(dim=2, engine="pgvector", url=url, collection="items")


def test_a_search_goes_on_in_a_forked_child(make):
    index = make()
    index.add_vectors(vectors(3))
    assert len(index) == 3
    queue = multiprocessing.get_context("fork").Queue()

    def child():
        queue.put(index.search_vectors(vectors(1), k=1).ids.tolist())

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert queue.get(timeout=60) == [[0]]
    process.join(60)
    assert process.exitcode == 0
    assert index.search_vectors(vectors(1), k=1).ids.tolist() == [[0]]


def test_threads_share_a_few_connections(make):
    index = make()
    index.add_vectors(vectors(30))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(index.search_vectors(vectors(1), k=1).ids[0, 0]))
        for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 30


def test_what_says_where_a_database_is_is_kept_and_nothing_else():
    from fashionsearch.index.engines.pgvector.session import without_secrets

    told = without_secrets("postgresql://me:hush@host:5433/shop?sslmode=require&passfile=/x&sslpassword=hush")
    assert "hush" not in told
    assert "passfile" not in told
    assert all(
        part in told for part in ("host=host", "port=5433", "dbname=shop", "user=me", "sslmode=require")
    )


def test_rows_are_kept_where_their_graph_can_not_be_made(make, monkeypatch):
    monkeypatch.setattr(ours, "_GRAPH_FROM", 10)
    monkeypatch.setattr(ours, "_OPERATORS", {"cosine": ("<=>", "no_such_ops"), "euclidean": ("<->", "x")})
    index = make()
    with pytest.warns(errors.DataWarning, match="the items are kept"):
        assert index.add_vectors(vectors(20)).ids == tuple(range(20))
    assert len(index) == 20
    assert index.search_vectors(vectors(3), k=1).ids[:, 0].tolist() == [0, 1, 2]


def test_a_table_that_is_gone_is_no_empty_index(make, postgres, collection, tmp_path):
    import psycopg

    index = make()
    index.add_vectors(vectors(1))
    index.save(tmp_path / "saved")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP TABLE {collection}, {collection}_facts")
    with pytest.raises(errors.StorageError, match="nothing of that name any more"):
        fs.VisualIndex.load(tmp_path / "saved")


def test_a_lock_that_was_not_granted_is_not_kept(make, monkeypatch):
    index, other = make(), make()

    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    with pytest.raises(Interrupted), index._engine.changing:
        interrupt()
    other.add_vectors(vectors(1))
    assert len(index) == 1


def test_an_engine_that_was_never_made_is_nothing_to_mend(make):
    with pytest.raises(errors.InputError) as caught:
        fs.VisualIndex(dim=2, engine="pgvector", url="x", collection="no table's")
    process = multiprocessing.get_context("fork").Process(target=lambda: None)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert caught.value is not None


@pytest.fixture
def stranger():
    """A server that asks for a password in plain text; yields its port and what it was told."""
    listening = socket.create_server(("127.0.0.1", 0))
    told = []

    def serve():
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                while content := connection.recv(4096):
                    if content[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # is there encryption?
                        connection.sendall(b"N")
                    elif content[:1] == b"p":
                        told.append(content)
                        break
                    else:
                        connection.sendall(b"R\x00\x00\x00\x08\x00\x00\x00\x03")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listening.getsockname()[1], told
    listening.close()


def test_a_password_of_the_environment_goes_to_no_server_that_a_folder_names(stranger, tmp_path, monkeypatch):
    port, told = stranger
    url = f"postgresql://me@127.0.0.1:{port}/shop"
    config = {"dim": 2, "metric": "cosine", "engine": "pgvector", "m": 16, "ef_construction": 200}
    config |= {"ef_search": 50, "random_state": 0, "encoder": None, "collection": "items"}
    config["url"] = f"host=127.0.0.1 port={port} user=me dbname=shop"
    storage.save(tmp_path / "theirs", "index", {"index.json": storage.write_json(config)})
    monkeypatch.setenv("PGPASSWORD", "hush")
    with pytest.raises(errors.StorageError, match="PGPASSWORD isn't sent; give url="):
        fs.VisualIndex.load(tmp_path / "theirs", timeout=2)
    assert told == []
    with pytest.raises(errors.StorageError):
        fs.VisualIndex.load(tmp_path / "theirs", url=url, timeout=2)
    assert any(b"hush" in each for each in told), "who names the server means it"
