"""An opened index: what it keeps through crashes, who may write to it, and what is told of what is damaged."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest

import fashionsearch as fs
from fashionsearch import errors, storage
from fashionsearch.index import opening
from fashionsearch.index.engines import durable
from fashionsearch.index.journal import DATABASE

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(300, 8)).astype(np.float32)


def opened(folder, **options):
    return fs.VisualIndex.open(folder, progress=False, **options)


@pytest.fixture
def folder(tmp_path):
    """An index of twenty items that was closed."""
    with opened(tmp_path / "catalogue", dim=8) as index:
        index.add_vectors(
            VECTORS[:20],
            ids=[f"p{n}" for n in range(20)],
            metadata=[{"n": n, "kind": "ab"[n % 2]} for n in range(20)],
        )
    return tmp_path / "catalogue"


def content(index):
    """Return everything that an index holds, in its order."""
    return [
        (item, found.vector.tobytes(), dict(found.metadata), found.source)
        for item in index
        for found in [index.get(item)]
    ]


def test_what_was_changed_is_there_without_a_close(folder):
    index = opened(folder)
    index.add_vectors(
        VECTORS[20:23], ids=["x", "p3", "y"], metadata=[{"n": 1.5}, {"new": None}, {"é\udc80": "ß"}]
    )
    index.remove(["p0", "x"])
    index.update("p1", {"n": True, "late": 2**70})
    index.add_vectors(VECTORS[23:24], ids=["x"])
    expected = content(index)
    assert [row[0] for row in expected][-2:] == ["y", "x"]
    with opened(folder, read_only=True) as reader:
        assert content(reader) == expected
    index._engine._journal.close()  # as a kill: no checkpoint
    index._engine._closed = "was killed"
    with opened(folder) as again:
        assert content(again) == expected
        found = again.search_vectors(VECTORS[:5], k=3, where={"kind": "a"})
        assert found.counts.tolist() == [3] * 5


@pytest.mark.parametrize("ids", [[0, 7, 2**80], None])
def test_numbers_go_on_where_they_were(tmp_path, ids):
    with opened(tmp_path / "catalogue", dim=8) as index:
        index.add_vectors(VECTORS[:3], ids=ids)
        last = list(index)[-1]
        index.remove([last])
    with opened(tmp_path / "catalogue") as index:
        assert index.add_vectors(VECTORS[:1]).ids == (last + 1,)
        with pytest.raises(errors.InputError, match="this index's ids are of type int"):
            index.add_vectors(VECTORS[:1], ids=["a"])


def test_options_are_kept_and_others_refused(tmp_path):
    with opened(tmp_path / "c", dim=8, metric="euclidean", m=12, ef_search=33):
        pass
    with opened(tmp_path / "c", ef_search=70) as index:
        assert (index.metric, index.m, index.ef_search) == ("euclidean", 12, 70)
    with pytest.raises(errors.InputError, match="was made with metric='euclidean', and metric='cosine'"):
        opened(tmp_path / "c", metric="cosine")
    with pytest.raises(errors.InputError, match="give an encoder"):
        opened(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(errors.StorageError, match="there is no such folder"):
        opened(tmp_path / "new", read_only=True)


def test_the_encoder_is_kept(tmp_path):
    backbone = fs.create_backbone("cnn", weights=None, random_state=0)
    photos = fs.datasets.make_catalogue(6, seed=0, size=(24, 32)).images
    with opened(tmp_path / "c", encoder=backbone) as index:
        index.add(photos)
        before = index.search(photos[:2], k=3)
    with opened(tmp_path / "c") as index:
        np.testing.assert_array_equal(index.search(photos[:2], k=3).ids, before.ids)
    other = fs.create_backbone("cnn", weights=None, random_state=1)
    with pytest.raises(errors.EncoderMismatchError):
        opened(tmp_path / "c", encoder=other)


class Own:
    """A user's encoder, which embeds by the mean colour; `shade` makes it another one."""

    dim = 3

    def __init__(self, shade=0.0, turned=False):
        self.shade, self.turned = shade, turned

    def embed(self, images):
        from fashionsearch.images import iterate, read_image

        means = [read_image(image).mean(axis=(0, 1)) + 1 + self.shade for image in iterate(images)]
        return np.array(means, dtype=np.float32)[:, :: -1 if self.turned else 1]


def identity_of(folder):
    return storage.open_saved(folder).json("index.json")["encoder"]


def test_an_encoder_that_is_set_is_kept(tmp_path):
    folder = tmp_path / "c"
    with opened(folder, dim=256) as index:
        index.add_vectors(np.ones((1, 256)), ids=["a"])
        backbone = fs.create_backbone("cnn", weights=None, random_state=0)
        index.encoder = backbone
        kept = storage.open_saved(folder).generation
        index.encoder = backbone
        assert storage.open_saved(folder).generation == kept, "nothing is written where nothing changes"
    with opened(folder) as index:
        assert index.encoder.name == "cnn"
    other = fs.create_backbone("cnn", weights=None, random_state=1)
    with pytest.raises(errors.EncoderMismatchError):
        opened(folder, encoder=other)


def test_an_own_encoder_given_later_is_recognised_from_then_on(tmp_path):
    folder = tmp_path / "c"
    with opened(folder, dim=3) as index:
        index.add_vectors([[1, 2, 3]], ids=["a"])
    with opened(folder, encoder=Own(), read_only=True):
        assert identity_of(folder) is None, "who only reads writes nothing"
    opened(folder, encoder=Own()).close()
    with pytest.raises(errors.EncoderMismatchError):
        opened(folder, encoder=Own(turned=True))
    with opened(folder) as index:
        with pytest.raises(errors.EncoderMismatchError):
            index.encoder = Own(turned=True)
        index.encoder = Own(shade=1e-3)
    with opened(folder, read_only=True) as reader:
        before = identity_of(folder)
        reader.encoder = Own()
        assert identity_of(folder) == before
    index.encoder = Own()  # closed: the folder is nobody's
    assert identity_of(folder) == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_while_an_encoder_is_kept_leaves_one_of_both(tmp_path, moment, monkeypatch):
    folder = tmp_path / "c"
    index = opened(folder, encoder=Own())
    index.add_vectors([[1, 2, 3]], ids=["a"])
    before = identity_of(folder)
    save = storage.save

    def crashing(*arguments, **options):
        if moment == "after":
            save(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "save", crashing)
        with pytest.raises(KeyboardInterrupt):
            index.encoder = Own(shade=1e-3)
    assert (identity_of(folder) == before) is (moment == "before")
    index.close()
    with opened(folder, encoder=Own()) as again:
        assert list(again) == ["a"]


def test_an_own_encoder_of_a_saved_index_is_recognised_after_it_was_opened_without_it(tmp_path):
    saved = fs.VisualIndex(Own(), progress=False)
    saved.add_vectors([[1, 2, 3]], ids=["a"])
    saved.save(tmp_path / "c")
    opened(tmp_path / "c").close()
    opened(tmp_path / "c", encoder=Own()).close()
    with pytest.raises(errors.EncoderMismatchError):
        opened(tmp_path / "c", encoder=Own(turned=True))


def test_one_writes_and_others_read(folder):
    writer = opened(folder)
    with pytest.raises(errors.StorageError, match=r"is open for writing elsewhere.*read_only=True"):
        opened(folder)
    reader = opened(folder, read_only=True)
    for change in (
        lambda: reader.add_vectors(VECTORS[:1], ids=["no"]),
        lambda: reader.remove("p1"),
        lambda: reader.update("p1", {"n": 0}),
    ):
        with pytest.raises(errors.InputError, match="was opened with read_only=True"):
            change()
    writer.add_vectors(VECTORS[30:31], ids=["new"])
    reader.refresh()
    assert "new" in reader
    writer.remove("new")
    until = time.monotonic() + 5
    while "new" in reader and time.monotonic() < until:
        time.sleep(0.05)
    assert time.monotonic() < until
    writer.close()
    reader.close()
    assert len(reader) == 20, "a closed index is searched on"
    for done in (writer, reader):
        with pytest.raises(errors.StorageError, match="is closed; open it again"):
            done.refresh()
    with pytest.raises(errors.StorageError, match="is closed"):
        writer.add_vectors(VECTORS[:1], ids=["late"])


def test_who_forgets_to_close_keeps_nobody_from_writing(folder):
    import gc

    index = opened(folder)
    index.add_vectors(VECTORS[:1], ids=["x"])
    del index
    gc.collect()
    with opened(folder) as again:
        assert "x" in again


@pytest.mark.skipif(os.name == "nt", reason="no such permissions")
def test_a_folder_that_can_not_be_written_is_read(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with opened(folder, read_only=True) as reader:
        assert len(reader) == 20

    real = os.open

    def refused(path, *rest, **options):
        if str(path).endswith("changes"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(
        errors.StorageError, match="can't be written: Permission denied; open it with read_only=True"
    ):
        opened(folder)


def test_a_reader_that_stands_before_a_checkpoint_begins_anew(folder):
    with opened(folder) as writer, opened(folder, read_only=True) as reader:
        writer.remove(["p1", "p2"])
        writer._engine.checkpoint()
        writer.remove("p3")
        writer.add_vectors(VECTORS[40:41], ids=["p1"])
        reader.refresh()
        assert content(reader) == content(writer)


def test_a_saved_index_becomes_an_opened_one_and_back(tmp_path):
    saved = fs.VisualIndex(dim=8, ef_search=44, progress=False)
    saved.add_vectors(VECTORS, metadata={"n": list(range(300))})
    saved.remove([299, 5])
    saved.save(tmp_path / "c")
    with opened(tmp_path / "c") as index:
        assert content(index) == content(saved)
        assert (index.ef_search, index.add_vectors(VECTORS[:1]).ids) == (44, (300,))
        index.save(tmp_path / "backup")
        backup = fs.VisualIndex.load(tmp_path / "backup")
        assert content(backup) == content(index)
    with pytest.raises(errors.StorageError, match=r"holds a saved opened index"):
        saved.save(tmp_path / "c")


def test_an_interrupted_conversion_leaves_the_saved_index(tmp_path, monkeypatch):
    saved = fs.VisualIndex(dim=8, progress=False)
    saved.add_vectors(VECTORS)
    saved.save(tmp_path / "c")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(opening, "create", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path / "c")
    assert content(fs.VisualIndex.load(tmp_path / "c")) == content(saved)
    with opened(tmp_path / "c") as index:
        assert content(index) == content(saved)


def test_an_index_that_is_closed_after_an_interruption_is_searched_on(folder, monkeypatch):
    index = opened(folder)
    with monkeypatch.context() as patch:
        patch.setattr(durable.MappedEngine, "upsert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index.add_vectors(VECTORS[50:51], ids=["x"])
    index.close()
    assert "x" in index
    assert index.search_vectors(VECTORS[50], k=1).ids[0, 0] == "x"


def test_a_transaction_that_an_interruption_left_behind_is_rolled_back(folder):
    index = opened(folder)
    index._engine._journal._connection.execute("BEGIN IMMEDIATE")
    index._engine._journal._connection.execute("DELETE FROM items")
    index.add_vectors(VECTORS[50:51], ids=["x"])
    index.close()
    with opened(folder) as again:
        assert len(again) == 21


def test_a_reader_that_has_a_rebuild_in_hand_takes_over_changes_first(folder, monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.local._EXACT_BYTES", 400)
    with opened(folder) as writer, opened(folder, read_only=True) as reader:
        for round_ in range(12):
            writer.remove(list(writer)[:5])
            writer.add_vectors(VECTORS[: 40 + round_], ids=[f"r{round_}-{n}" for n in range(40 + round_)])
            reader._engine._looked = 0.0  # due
            assert reader.search_vectors(VECTORS[:3], k=2).counts.tolist() == [2, 2, 2]
            reader.refresh()
            assert content(reader) == content(writer)


@pytest.mark.parametrize("fate", ["removed", "moved", "replaced"])
def test_a_writer_whose_folder_is_gone_acknowledges_nothing(folder, fate):
    index = opened(folder)
    aside = folder.with_name("aside")
    folder.rename(aside)
    if fate == "removed":
        shutil.rmtree(aside)
    if fate == "replaced":
        with opened(folder, dim=8) as other:
            other.add_vectors(VECTORS[:1])
    for change in (
        lambda: index.add_vectors(VECTORS[20:21], ids=["new"]),
        lambda: index.remove(["p0"]),
        lambda: index.update("p1", {"n": 5}),
    ):
        with pytest.raises(errors.StorageError, match="catalogue was removed, replaced or given another"):
            change()
    with contextlib.suppress(errors.StorageError):
        index.close()
    if fate == "moved":
        with opened(aside) as there:
            assert len(there) == 20


def test_damage_that_is_found_while_following_is_told_each_time(folder):
    index = opened(folder)
    reader = opened(folder, read_only=True)
    index.add_vectors(VECTORS[50:52], ids=["x", "y"])
    index._engine._journal._connection.execute("DELETE FROM items WHERE id = '\"x\"'")
    for _ in range(2):
        with pytest.raises(errors.CorruptFileError, match="gives 21 items, and 22 were written"):
            reader.refresh()


def test_readers_never_see_damage_that_is_none(folder):
    stop, failures = threading.Event(), []

    def reading():
        try:
            while not stop.is_set():
                with opened(folder, read_only=True) as reader:
                    reader.refresh()
                    reader.health()
        except BaseException as error:
            failures.append(error)

    index = opened(folder)
    readers = [threading.Thread(target=reading) for _ in range(2)]
    for each in readers:
        each.start()
    for number in range(60):
        index.add_vectors(VECTORS[number : number + 2], ids=[f"a{number}", f"b{number}"])
        index.remove([f"a{number}"])
        if number % 10 == 9:
            index._engine.checkpoint()
    stop.set()
    for each in readers:
        each.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_parent_of_a_fork_goes_on_writing_and_a_child_may_open_anew(folder):
    index = opened(folder)
    child = os.fork()
    if not child:
        try:
            with opened(folder, read_only=True) as own:
                os._exit(0 if len(own) in (20, 21) else 1)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(2)
    index.add_vectors(VECTORS[50:51], ids=["x"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    index.close()


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_counter_that_is_no_file_is_refused(folder, kind, tmp_path):
    (folder / "changes").unlink()
    (tmp_path / "precious").write_bytes(b"precious")
    if kind == "link":
        (folder / "changes").symlink_to(tmp_path / "precious")
    else:
        os.mkfifo(folder / "changes")
    with pytest.raises(errors.StorageError, match=r"changes|can't be written"):
        opened(folder)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_an_engine_that_is_not_installed_makes_an_exact_index(tmp_path, monkeypatch):
    monkeypatch.setattr("fashionsearch.index.engines.faiss.available", lambda: False)
    with pytest.warns(errors.DataWarning, match="faiss-cpu can't be imported"):
        index = opened(tmp_path / "c", dim=2, engine="faiss")
    assert index.engine == "exact"
    index.close()


def test_a_number_of_thousands_of_digits_is_refused(folder):
    with opened(folder) as index:
        for change in (
            lambda: index.update("p1", {"n": 10**5000}),
            lambda: index.get(10**5000),
        ):
            with pytest.raises(errors.InputError, match="give it as text"):
                change()
        assert index.get("p1").metadata["n"] == 1


@pytest.mark.parametrize("where", ["journal", "memory"])
def test_a_change_that_is_interrupted_has_happened_or_not(folder, where, monkeypatch):
    index = opened(folder)
    before = content(index)
    journal, engine = index._engine._journal, durable.MappedEngine

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((journal, "upsert") if where == "journal" else (engine, "upsert")), interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.add_vectors(VECTORS[50:51], ids=["x"])
    assert ("x" in index) is (where == "memory"), "what the journal has is caught up with"
    assert content(index)[:20] == before
    index.remove("p0")
    expected = content(index)
    index.close()
    with opened(folder) as again:
        assert content(again) == expected


_WRITER = """
import os
import sys
import numpy as np
import fashionsearch as fs
from fashionsearch.index.engines import local, rebuild

local._EXACT_BYTES = 2000  # a graph from 63 items on
work = rebuild.Rebuild.work


def told(self):
    os.write(1, b"compacting\\n")
    work(self)
    os.write(1, b"compacted\\n")


rebuild.Rebuild.work = told
index = fs.VisualIndex.open(sys.argv[1], dim=8, progress=False)
rng = np.random.default_rng(int(sys.argv[2]))
present = {int(item) for item in index}
number = index._engine.next_id
print("ready", flush=True)
while True:
    kind = rng.integers(5)
    if len(present) < 5 or (kind < 2 and len(present) < 250):
        ids = list(range(number, number + int(rng.integers(1, 30))))
        number = ids[-1] + 1
        vectors = np.stack([np.random.default_rng(item).normal(size=8) for item in ids])
        print("adding", *ids, flush=True)
        index.add_vectors(vectors, ids=ids, metadata=[{"v": 0} for _ in ids])
        present.update(ids)
    elif kind < 4:
        ids = [int(item) for item in rng.choice(sorted(present), min(len(present), int(rng.integers(1, 30))), False)]
        print("removing", *ids, flush=True)
        index.remove(ids)
        present.difference_update(ids)
    else:
        item = int(rng.choice(sorted(present)))
        print("updating", item, flush=True)
        index.update(item, {"v": item})
    print("done", flush=True)
    chance = rng.random()
    if chance < 0.1:
        print("checkpointing", flush=True)
        index._engine.checkpoint()
        print("done", flush=True)
    elif chance < 0.2:
        print("saving", flush=True)
        index.save(sys.argv[1] + "-backup")
        print("done", flush=True)
"""
_CHANGES = ("adding", "removing", "updating")


def replayed(lines, present):
    """Return what must be there, and what may be either way, after the acknowledged changes of a killed writer.

    And what it was about when it was killed.
    """
    pending, compacting = None, False
    for line in lines:
        what, *ids = line.split()
        ids = [int(item) for item in ids]
        if what in ("compacting", "compacted"):
            compacting = what == "compacting"
        elif what == "done":
            kind, items = pending
            for item in items:
                if kind == "removing":
                    del present[item]
                elif kind in _CHANGES:
                    present[item] = 0 if kind == "adding" else item
            pending = None
        elif what != "ready":
            pending = what, ids
    about = [pending[0]] if pending else []
    if compacting:
        about.append("compacting")
    return present, set(pending[1]) if pending else set(), about


def vector_of(item):
    return np.random.default_rng(item).normal(size=8).astype(np.float32)


def kills(folder, count):
    """Kill a writer again and again, and return what is wrong after that."""
    present, about = {}, Counter()
    wrong = {name: [] for name in ("lost", "returned", "not opened", "wrong answers")}
    rng = np.random.default_rng(0)
    backup = folder.with_name(f"{folder.name}-backup")
    for seed in range(count):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder), str(seed)], stdout=subprocess.PIPE, text=True
        )
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
        time.sleep(float(rng.uniform(0.005, 0.25)))
        process.send_signal(signal.SIGKILL)
        lines = process.communicate()[0].split("\n")[:-1]  # the last may be half of one
        present, open_ended, doing = replayed(lines, present)
        about.update(doing)
        try:
            index = opened(folder)
            if (backup / "manifest.json").exists():
                copy = fs.VisualIndex.load(backup, progress=False)
                wrong["wrong answers"] += [
                    (seed, "backup", item)
                    for item in copy
                    if (copy.get(item).vector != vector_of(item)).any()
                ]
        except errors.StorageError as error:
            wrong["not opened"].append((seed, str(error)))
            continue
        with index:
            held = {item: index.get(item) for item in index}
            sure = {item: version for item, version in present.items() if item not in open_ended}
            wrong["lost"] += [
                (seed, item)
                for item, version in sure.items()
                if item not in held or held[item].metadata["v"] != version
            ]
            wrong["returned"] += [(seed, item) for item in set(held) - set(present) - open_ended]
            found = index.search_vectors([vector_of(item) for item in held], k=1).ids[:, 0] if held else []
            wrong["wrong answers"] += [
                (seed, item, nearest)
                for item, nearest in zip(held, found, strict=True)
                if nearest != item or (held[item].vector != vector_of(item)).any()
            ]
            present = {item: found.metadata["v"] for item, found in held.items()}
    return wrong, about


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_writer_loses_nothing_that_it_had_acknowledged(tmp_path, count, tally):
    wrong, about = kills(tmp_path / "c", count)
    tally(
        "a writer is killed",
        cases=count,
        **{name: len(found) for name, found in wrong.items()},
        about=dict(about.most_common()),
    )
    assert not any(wrong.values()), wrong
    assert {"adding", "removing"} <= set(about)


# Damage


def test_changes_that_a_missing_log_took_away_are_told(folder):
    index = opened(folder)
    database = (folder / DATABASE).read_bytes()
    index.add_vectors(VECTORS[60:62], ids=["x", "y"])
    index.remove("p5")
    index._engine.checkpoint()  # it knows what the database will have forgotten
    index._engine._journal._connection.close()
    index._engine._journal.forget()
    index._engine._closed = "was killed"
    (folder / DATABASE).write_bytes(database)
    (folder / f"{DATABASE}-wal").unlink(missing_ok=True)
    with pytest.warns(
        errors.DataWarning, match="has lost its last 2 changes, which the file changes knows of"
    ):
        again = opened(folder)
    with again:
        assert "x" not in again
        assert "p5" in again
        again.add_vectors(VECTORS[70:72], ids=["u", "v"])
        again.remove("p6")
    with opened(folder) as once_more:
        assert {"u", "v", "p5"} <= set(once_more)
        assert not {"x", "y", "p6"} & set(once_more)


@pytest.mark.parametrize("name", ["rows.safetensors", "items.json", "checkpoint.json", "manifest.json"])
def test_a_damaged_checkpoint_is_told_and_not_needed(folder, name):
    (path,) = (folder / "checkpoint").rglob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.warns(errors.DataWarning, match="the checkpoint is left unread"):
        index = opened(folder)
    assert len(index) == 20
    np.testing.assert_array_equal(index.get("p7").vector, VECTORS[7])
    index.close()
    with opened(folder) as again:  # which tells of nothing: it was written anew
        assert len(again) == 20


def test_a_first_checkpoint_that_was_interrupted_is_no_damage(folder):
    (manifest,) = (folder / "checkpoint").rglob("manifest.json")
    manifest.unlink()
    with opened(folder) as index:  # without a warning
        assert len(index) == 20


def test_a_folder_that_has_lost_its_manifest_is_told(folder):
    (folder / "manifest.json").unlink()
    for options in ({}, {"dim": 8}, {"read_only": True}):
        with pytest.raises(
            errors.CorruptFileError, match=r"manifest\.json is missing beside journal\.sqlite"
        ):
            opened(folder, **options)


def test_a_rebuild_reads_no_checkpoint(folder):
    for path in (folder / "checkpoint").rglob("*"):
        if path.is_file():
            path.write_bytes(b"not read")
    with opened(folder, rebuild=True) as index:
        assert len(index) == 20


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET vector = zeroblob(32) WHERE place = 4",
        "UPDATE items SET metadata = '{}' WHERE place = 4",
        "UPDATE items SET id = '\"q\"' WHERE place = 4",
        "UPDATE items SET source = '\"/etc/passwd\"' WHERE place = 4",
        "UPDATE facts SET value = 'x' WHERE name = 'change'",
        "DELETE FROM facts WHERE name = 'epoch'",
        "CREATE TRIGGER evil AFTER INSERT ON items BEGIN DELETE FROM items; END",
        "CREATE TABLE more (a)",
        "DROP TABLE removed",
        "UPDATE facts SET value = 0 WHERE name = 'version'",
    ],
)
def test_a_database_that_is_not_what_was_written_is_refused(folder, statement):
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(errors.CorruptFileError, match=DATABASE):
        opened(folder, rebuild=True)
    with pytest.raises(errors.CorruptFileError, match=DATABASE):
        opened(folder, rebuild=True, read_only=True)


def test_a_newer_format_is_refused(folder):
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("UPDATE facts SET value = 2 WHERE name = 'version'")
    connection.close()
    with pytest.raises(
        errors.StorageError, match="has format version 2, and this fashionsearch reads up to 1"
    ):
        opened(folder)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_a_file_that_is_no_database_is_refused(folder, content):
    (folder / DATABASE).write_bytes(content)
    if not content:  # which is how SQLite leaves an empty database
        with pytest.warns(errors.DataWarning, match="has lost its last 1 changes"):
            index = opened(folder)
        assert len(index) == 0
        index.close()
        return
    with pytest.raises(errors.CorruptFileError, match=r"journal\.sqlite is damaged"):
        opened(folder)


def test_a_full_disk_leaves_everything_as_it_was(folder, monkeypatch):
    index = opened(folder)
    before = content(index)
    pages = index._engine._journal._connection.execute("PRAGMA page_count").fetchone()[0]
    index._engine._journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.StorageError, match="database or disk is full; nothing was changed"):
        index.add_vectors(RNG.normal(size=(5000, 8)), ids=[f"f{n}" for n in range(5000)])
    assert content(index) == before
    index._engine._journal._connection.execute("PRAGMA max_page_count = 1000000")
    index.add_vectors(VECTORS[:1], ids=["x"])

    def full(*_, **__):
        raise errors.StorageError("the disk is full")

    monkeypatch.setattr(storage, "save", full)
    monkeypatch.setattr(durable, "_FEWEST", 0)
    with pytest.warns(errors.DataWarning, match="the changes are kept, and no checkpoint could be written"):
        index.add_vectors(VECTORS[:20], ids=[f"g{n}" for n in range(20)])
    assert "g7" in index
    monkeypatch.undo()
    index.close()


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "file_system", lambda path: "nfs4")
    with pytest.raises(errors.StorageError, match=r"network file system \(nfs4\)"):
        opened(tmp_path / "c", dim=8)
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_reads_its_copy_and_changes_nothing(folder):
    index = opened(folder)
    child = os.fork()
    if not child:
        try:
            assert index.search_vectors(VECTORS[:1], k=1).ids[0, 0] == "p0"
            index.add_vectors(VECTORS[:1], ids=["child"])
        except errors.StorageError as error:
            os._exit(0 if "was opened before this process was forked" in str(error) else 2)
        except BaseException:
            os._exit(3)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    index.add_vectors(VECTORS[:1], ids=["parent"])
    index.close()
    with opened(folder) as again:
        assert "parent" in again


def test_it_can_not_be_pickled(folder):
    import pickle

    with opened(folder) as index, pytest.raises(errors.InputError, match="can't be pickled; open"):
        pickle.dumps(index)


def test_threads_change_and_search_together(tmp_path):
    index = opened(tmp_path / "c", dim=8)
    failures, stop = [], threading.Event()

    def changing(worker):
        try:
            for number in range(25):
                index.add_vectors(VECTORS[number : number + 1], ids=[worker * 1000 + number])
                if number % 3 == 0:
                    index.remove(worker * 1000 + number)
        except BaseException as error:
            failures.append(error)

    def searching():
        try:
            while not stop.is_set():
                index.search_vectors(VECTORS[:3], k=5)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=changing, args=(worker,)) for worker in range(4)]
    workers.append(reader := threading.Thread(target=searching))
    for each in workers:
        each.start()
    for each in workers[:-1]:
        each.join()
    stop.set()
    reader.join()
    assert not failures
    expected = {worker * 1000 + number for worker in range(4) for number in range(25) if number % 3}
    assert set(index) == expected
    index.close()
    with opened(tmp_path / "c") as again:
        assert set(again) == expected
