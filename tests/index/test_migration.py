"""A migration to another encoder: an opened folder, photos that are gone, kills, interruptions, and what is refused."""

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors, storage
from fashionsearch.index import reembedding, relocation
from fashionsearch.index.rows import Rows

COUNT = 150
_SCRIPT = Path(__file__).with_name("basis.py")
_SPEC = importlib.util.spec_from_file_location("basis", _SCRIPT)
basis = sys.modules.setdefault("basis", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(basis)
Basis = basis.Basis


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).save(folder / f"p{number}.png")
    return [folder / f"p{number}.png" for number in range(COUNT)]


@pytest.fixture
def folder(tmp_path, photos):
    with fs.VisualIndex.open(tmp_path / "c", Basis(16, 0), progress=False) as index:
        index.add(photos, ids=[f"p{number}" for number in range(COUNT)], metadata={"n": list(range(COUNT))})
    return tmp_path / "c"


@pytest.fixture
def index(photos):
    made = fs.VisualIndex(Basis(16, 0), progress=False)
    made.add(photos, ids=[f"p{number}" for number in range(COUNT)])
    return made


@pytest.fixture
def held_back(monkeypatch):
    """Let migrations begin, and their background work wait for ever."""
    monkeypatch.setattr(reembedding.Reembedding, "start", lambda self: None)


def opened(folder, encoder=None, **options):
    return fs.VisualIndex.open(folder, encoder, progress=False, **options)


def kill_half_way(folder):
    """Begin a migration in another process, and kill it when 80 items are done."""
    process = subprocess.Popen([sys.executable, _SCRIPT, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_it_goes_on_after_a_kill(folder, photos):
    kill_half_way(folder)
    new = Basis(10, 1)
    with opened(folder, new) as index:
        migration = index.migration
        assert (index.dim, migration.report.new_encoder) == (10, "Basis")
        assert index.search(photos[:3], k=1).ids[:, 0].tolist() == ["p0", "p1", "p2"]
        assert migration.wait()
        assert new.embedded <= COUNT - 80 + 3 + 2, "what was embedded stays; two for recognising encoders"
    with opened(folder) as index:
        assert (index.dim, index.encoder, index.migration.state) == (10, None, "switched")
        index.migration.finish()
    with opened(folder, new) as index:
        assert index.migration is None
        assert index.search(photos[:3], k=1).ids[:, 0].tolist() == ["p0", "p1", "p2"]
    assert "items-2" in names(folder)
    assert not {"journal.sqlite", "changes", "checkpoint", "migration"} & set(names(folder))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_after_a_kill_the_index_before_can_be_opened_changed_and_migrated_again(folder, photos):
    kill_half_way(folder)
    with opened(folder, Basis(16, 0)) as index:
        assert (index.dim, index.migration) == (16, None)
        index.remove(["p0"])
        index.add([photos[0]], ids=["p1"], metadata=[{"n": 0}])
        index.update("p2", {"n": -2})
        new = Basis(10, 1)
        with pytest.raises(errors.EncoderMismatchError, match="a migration is under way"):
            index.migrate(Basis(9, 3))
        migration = index.migrate(new, pairs=50)
        assert migration.wait()
        assert new.embedded <= COUNT - 80 + 5
        assert index.search(photos[0], k=1).ids[0, 0] == "p1"
        assert index.search(photos[2], k=1, where={"n": -2}).ids[0, 0] == "p2"
        assert "p0" not in index._engine.new


def test_rolled_back_the_folder_is_as_it_was(folder, photos):
    before = names(folder)
    with opened(folder, Basis(16, 0)) as index:
        expected = index.search(photos[:4], k=5)
        migration = index.migrate(Basis(10, 1), pairs=50)
        assert "items-2" in names(folder)
        migration.rollback()
        found = index.search(photos[:4], k=5)
        assert found.ids.tolist() == expected.ids.tolist()
        np.testing.assert_array_equal(found.similarities, expected.similarities)
    assert names(folder) == before
    with opened(folder, Basis(16, 0)) as index:
        assert index.search(photos[:4], k=5).ids.tolist() == expected.ids.tolist()


def test_readers_follow(folder, photos):
    with opened(folder, Basis(16, 0)) as index:
        migration = index.migrate(Basis(10, 1), pairs=50)
        with opened(folder, Basis(10, 1), read_only=True) as reader:
            assert reader.search(photos[:3], k=1).ids[:, 0].tolist() == ["p0", "p1", "p2"]
            migration.wait()
            reader.refresh()
            assert reader.migration.state == "switched"
            with pytest.raises(errors.InputError, match="read_only"):
                reader.remove(["p0"])
        with opened(folder, Basis(16, 0), read_only=True) as reader:
            assert reader.dim == 16
            with pytest.raises(errors.InputError, match="read_only=True"):
                reader.migrate(Basis(10, 1))


def test_the_second_encoder_of_a_folder_can_be_a_backbone(tmp_path):
    table = fs.datasets.make_catalogue(30, seed=0, size=(24, 32))
    with opened(tmp_path / "c", fs.create_backbone("cnn", weights=None, image_size=32)) as index:
        index.add(table.images)
        assert index.migrate("fashion", dict(enumerate(table.images))).state == "switched"
    with opened(tmp_path / "c") as index:
        assert (index.dim, index.encoder.name) == (256, "fashion")
        index.migration.finish()
    with opened(tmp_path / "c") as index:
        assert index.encoder.name == "fashion"
        assert index.search(table.images[3], k=1).ids[0, 0] == 3


def test_photos_that_are_gone(index, photos, tmp_path):
    there = {f"p{number}": path for number, path in enumerate(photos) if number >= 4}
    (tmp_path / "broken.png").write_bytes(b"no picture")
    there["p4"] = tmp_path / "broken.png"
    migration = index.migrate(Basis(10, 1), there, pairs=50)
    assert not migration.wait()
    assert sorted(migration.missing) == ["p0", "p1", "p2", "p3", "p4"]
    assert migration.missing["p0"] == "photos= has none of it"
    assert "the photos of 5 are missing" in repr(migration)
    assert index.search(photos[0], k=1).ids[0, 0] == "p0"
    with pytest.raises(
        errors.InputError, match=r"5 items have no new vector, such as 'p0' \(photos= has none"
    ):
        migration.finish()
    with pytest.raises(errors.InputError, match="still to be embedded again"):
        index.copy_to(fs.VisualIndex(dim=10))
    migration.start({"p0": photos[0], "p1": photos[1], "p2": photos[2]})
    assert not migration.wait()
    assert sorted(migration.missing) == ["p3", "p4"]
    index.remove("p4")
    assert migration.translate() == ("p3",)
    migration.finish()
    assert index.search(photos[3], k=1).ids[0, 0] == "p3"


def test_photos_of_a_folder(photos, tmp_path):
    index = fs.VisualIndex(Basis(16, 0), progress=False)
    index.add(
        [np.asarray(Image.open(photo)) for photo in photos], ids=[f"p{number}" for number in range(COUNT)]
    )
    with pytest.raises(errors.InputError, match=r"only 0 of 150 items .* \(it was added without a path\)"):
        index.migrate(Basis(10, 1))
    assert index.dim == 16
    assert index.migrate(Basis(10, 1), photos[0].parent, pairs=50).wait()
    with pytest.raises(errors.DataError, match="is no folder"):
        fs.VisualIndex(dim=2).migrate(Basis(10, 1), tmp_path / "none")


def test_what_is_saved_meanwhile(index, photos, tmp_path, held_back):
    migration = index.migrate(Basis(10, 1), pairs=50)
    with pytest.warns(errors.DataWarning, match="saved as it was before"):
        index.save(tmp_path / "before")
    assert (
        fs.VisualIndex.load(tmp_path / "before", encoder=Basis(16, 0)).search(photos[1], k=1).ids[0, 0]
        == "p1"
    )
    reembedding.Reembedding.work(migration._work)
    assert migration.state == "switched"
    index.save(tmp_path / "after")
    assert (
        fs.VisualIndex.load(tmp_path / "after", encoder=Basis(10, 1)).search(photos[1], k=1).ids[0, 0] == "p1"
    )
    with pytest.raises(errors.InputError, match="can't be pickled"):
        pickle.dumps(migration)


def test_an_interrupted_beginning_changes_nothing(folder, photos, monkeypatch):
    new = Basis(10, 1)
    with opened(folder, Basis(16, 0)) as index:
        monkeypatch.setattr(relocation, "write", interrupting(relocation.write, 2))
        with pytest.raises(KeyboardInterrupt):
            index.migrate(new, pairs=50)
        monkeypatch.undo()
        assert (index.dim, index.migration) == (16, None)
        assert index.search(photos[:2], k=1).ids[:, 0].tolist() == ["p0", "p1"]
        embedded = new.embedded
        assert index.migrate(new, pairs=50).wait()
        assert new.embedded - embedded <= COUNT - 62 + 3, "the first photos are not embedded again"


def interrupting(function, times):
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == times:
            raise KeyboardInterrupt
        return function(*arguments)

    return call


def test_the_end_may_be_cut_off_after_its_rename(folder, photos, monkeypatch):
    with opened(folder, Basis(16, 0)) as index:
        migration = index.migrate(Basis(10, 1), pairs=50)
        migration.wait()
        with monkeypatch.context() as patch:
            patch.setattr(relocation, "tidy", interrupting(relocation.tidy, 1))
            with pytest.raises(KeyboardInterrupt):
                migration.finish()
    assert "migration" in names(folder)
    with opened(folder, Basis(10, 1)) as index:
        assert index.migration is None
        assert index.search(photos[:2], k=1).ids[:, 0].tolist() == ["p0", "p1"]
    assert "migration" not in names(folder)


def test_few_items_are_all_embedded_at_once(photos):
    index = fs.VisualIndex(Basis(16, 0), progress=False)
    index.add(photos[:7])
    migration = index.migrate(Basis(10, 1))
    assert (migration.state, migration.done) == ("switched", 7)
    assert index.search(photos[2], k=1).ids[0, 0] == 2


def test_the_loss_is_measured_and_printed(index, photos, capsys):
    for number in range(COUNT):
        index.update(f"p{number}", {"kind": "odd" if number % 2 else "even"})
    index.progress = True
    report = index.migrate(Basis(10, 1), pairs=50, field="kind").report
    assert repr(report) in capsys.readouterr().out
    assert (report.items, report.pairs, report.held_out) == (COUNT, 50, 12)
    assert report.recall > 0.95, "the spaces hold the same"
    assert report.recall_interval[0] <= report.recall <= report.recall_interval[1]
    assert report.kept == pytest.approx(report.precision / report.new_precision)
    assert "<table>" in report._repr_html_()
    with pytest.raises(errors.InputError, match="field names the field 'colour'"):
        fs.VisualIndex.migrate(with_one_item(), Basis(10, 1), field="colour")


def with_one_item(**options):
    index = fs.VisualIndex(dim=16, progress=False, **options)
    index.add_vectors(np.eye(16)[:1])
    return index


def test_what_is_refused(index):
    with pytest.raises(errors.InputError, match="this is the encoder that the index has"):
        index.migrate(Basis(16, 0))
    with pytest.raises(errors.InputError, match="this index is empty"):
        fs.VisualIndex(dim=4).migrate(Basis(10, 1))
    with pytest.raises(errors.InputError, match="metric='euclidean'"):
        with_one_item(metric="euclidean").migrate(Basis(10, 1))
    with pytest.raises(errors.InputError, match="is not an encoder"):
        index.migrate(object())
    with pytest.raises(errors.InputError, match="neither a mapping of ids to photos nor a folder"):
        index.migrate(Basis(10, 1), photos=7)
    with pytest.raises(errors.InputError, match="pairs=3"):
        index.migrate(Basis(10, 1), pairs=3)
    migration = index.migrate(Basis(10, 1), pairs=50)
    with pytest.raises(errors.EncoderMismatchError, match="the index is being migrated"):
        index.migrate(Basis(9, 2))
    migration.wait()
    migration.finish()
    with pytest.raises(errors.InputError, match="this migration is finished"):
        migration.start()


def test_vectors_of_the_encoder_before_are_refused(index, held_back):
    old = index.encoder
    index.migrate(Basis(16, 1), pairs=50)
    rows = Rows([0], np.ones((1, 16), np.float32), [{}], [None])
    with pytest.raises(errors.EncoderMismatchError, match="given another encoder meanwhile"):
        index._upsert(rows, ["x"], 1, old)  # as an add that began before the index had the new encoder
    assert "x" not in index


def test_an_index_of_vectors_alone_gets_an_encoder(photos):
    index = fs.VisualIndex(dim=16, progress=False)
    index.add_vectors(Basis(16, 0).embed(photos), ids=[f"p{number}" for number in range(COUNT)])
    migration = index.migrate(Basis(10, 1), photos[0].parent, pairs=50)
    assert migration.wait()
    assert index.search(photos[9], k=1).ids[0, 0] == "p9"
    index.add([photos[0]], ids=["again"])
    assert migration.rollback() == ("again",), "no encoder is there to embed it"
    assert (index.dim, index.encoder, "again" in index) == (16, None, True)


def test_what_is_learned_belongs_to_its_vectors(folder):
    with opened(folder, Basis(16, 0)) as index:
        index._keep(index._whitening())
        migration = index.migrate(Basis(10, 1), pairs=50)
        migration.wait()
        assert not index._learned
        index._keep(index._whitening())
        assert index._whitening().mean.shape == (10,)
        migration.rollback()
        assert index._whitening().mean.shape == (16,)


def test_the_forked_child_leaves_the_work_to_its_parent(index, photos):
    if not hasattr(os, "fork"):
        pytest.skip("no fork")
    migration = index.migrate(Basis(10, 1, pause=0.001), pairs=50)
    child = os.fork()
    if not child:
        good = migration.state == "stopped" and index.search(photos[0], k=1).ids[0, 0] == "p0"
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert migration.wait()


def test_searches_and_changes_from_other_threads_go_on(index, photos):
    failures, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            found = index.search(photos[7], k=3)
            if found.ids[0, 0] != "p7" or len(set(found.ids[0])) != 3:
                failures.append(found.ids.tolist())

    migration = index.migrate(Basis(10, 1, pause=0.001), pairs=50)
    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    index.remove("p140")
    index.add([photos[140]], ids=["other"])
    assert migration.wait()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert index.search(photos[140], k=1).ids[0, 0] == "other"


def test_closing_ends_the_work_and_waits_for_its_piece(folder, photos):
    index = opened(folder, Basis(16, 0))
    migration = index.migrate(Basis(10, 1, pause=0.002), pairs=50)
    index.close()
    assert not migration._work.is_running
    assert migration._work.failure is None
    with opened(folder, Basis(10, 1)) as again:
        assert again.migration.wait()


def test_finish_while_items_are_embedded_ends_nothing(index):
    migration = index.migrate(Basis(10, 1, pause=0.002), pairs=50)
    with pytest.raises(errors.InputError, match="items have no new vector"):
        migration.finish()
    assert migration.wait()
    migration.start()
    migration.finish()
    assert (index.migration, index.dim) == (None, 10)


def test_a_beginning_that_failed_locks_no_other_encoder_out(folder):
    with opened(folder, Basis(16, 0)) as index:
        with pytest.raises(errors.InputError, match="only 0 of 150 items"):
            index.migrate(Basis(10, 1), photos={})
        migration = index.migrate(Basis(9, 3), pairs=50)
        assert migration.wait()
        migration.finish()
    with opened(folder, Basis(9, 3)) as index:
        assert (index.dim, index.migration) == (9, None)


def test_finished_the_folder_keeps_nothing_of_the_old_vectors(folder, photos, monkeypatch):
    with opened(folder, Basis(16, 0)) as index:
        migration = index.migrate(Basis(10, 1), pairs=50)
        assert migration.wait()
        index.add([photos[0]], ids=["late"])
        index.remove(["p3"])  # the old rows have changes that no checkpoint has
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", forbidden)
            migration.finish()
        assert (index.migration, migration.state) == (None, "finished")
        assert "checkpoint" not in names(folder)
    with opened(folder, Basis(10, 1)) as index:
        assert ("late" in index, "p3" in index) == (True, False)
    assert not {"journal.sqlite", "changes", "checkpoint", "migration"} & set(names(folder))


def forbidden(*_, **__):
    raise PermissionError("another program holds it")


def rewritten(folder, **report):
    """Write the note of a migration again, with another report."""
    saved = storage.open_saved(folder / relocation.FOLDER)
    files = {name: storage.write_copy(saved, name) for name in saved.files if name != "index.json"}
    noted = saved.json("index.json")
    noted["report"] = {
        name: value for name, value in {**noted["report"], **report}.items() if value != "gone"
    }
    files["index.json"] = storage.write_json(noted)
    storage.save(folder / relocation.FOLDER, "migration", files)


def test_a_report_of_another_version_is_read_and_a_damaged_one_told(folder):
    with opened(folder, Basis(16, 0)) as index:
        items = index.migrate(Basis(10, 1), pairs=50).report.items
    rewritten(folder, added_later=3, kept_interval="gone")
    with opened(folder, Basis(10, 1)) as index:
        assert index.migration.report.items == items
    for damage in ({"recall_interval": 5}, {"items": "many"}, {"map": 3}, {"pairs": "gone"}):
        rewritten(folder, **({"items": items, "map": "ridge", "recall_interval": [0, 1]} | damage))
        with pytest.raises(errors.CorruptFileError, match=r"the report in .* is damaged"):
            opened(folder, Basis(10, 1))
    with opened(folder, Basis(16, 0)) as index:
        assert len(index) == COUNT


def test_what_changed_with_the_old_encoder_meanwhile_is_so_with_the_new_one(
    folder, photos, tmp_path, held_back
):
    with opened(folder, Basis(16, 0)) as index:
        reembedding.Reembedding.work(index.migrate(Basis(10, 1), pairs=50)._work)
        assert index.migration.state == "switched"
    with opened(folder, Basis(16, 0)) as index:
        index.remove(["p7"])
        index.add([np.asarray(Image.open(photos[7]))[::-1]], ids=["new"])
        index.add([photos[8]], ids=["p9"])
    with opened(folder, Basis(10, 1), read_only=True) as reader:
        assert (len(reader), reader.migration.done, reader.migration.state) == (150, 149, "stopped")
        assert "p7" not in reader.search(photos[7], k=COUNT).ids[0]
        assert reader.search(np.asarray(Image.open(photos[7]))[::-1], k=1).ids[0, 0] == "new"
        assert reader.search(photos[20], k=COUNT).counts.tolist() == [COUNT]
    with opened(folder, Basis(10, 1)) as index:
        assert (index.migration.done, index.migration.state) == (148, "stopped")
        assert "p7" not in index.search(photos[7], k=COUNT).ids[0]
        assert index.search(np.asarray(Image.open(photos[7]))[::-1], k=1).ids[0, 0] == "new"
        assert set(index.search(photos[8], k=2).ids[0]) == {"p8", "p9"}
        with pytest.warns(errors.DataWarning, match="2 items are still to be embedded again"):
            index.save(tmp_path / "saved")
    saved = fs.VisualIndex.load(tmp_path / "saved", encoder=Basis(16, 0))
    assert ("new" in saved, "p7" in saved) == (True, False)


def test_saved_without_the_encoder_at_hand_it_is_recognised_all_the_same(folder, tmp_path, held_back):
    with opened(folder, Basis(16, 0)) as index:
        work = index.migrate(Basis(10, 1), pairs=50)._work
    with opened(folder, Basis(10, 1)) as index:
        with pytest.warns(errors.DataWarning, match="saved as it was before"):
            index.save(tmp_path / "before")
        reembedding.Reembedding.work(reembedding.Reembedding(index._engine, index.encoder, work.photos, None))
    with opened(folder) as index:
        assert (index.encoder, index.migration.state) == (None, "switched")
        index.save(tmp_path / "after")
    for name, dim, seed in (("before", 16, 0), ("after", 10, 1)):
        with pytest.raises(errors.EncoderMismatchError, match="this encoder is another one"):
            fs.VisualIndex.load(tmp_path / name, encoder=Basis(dim, 7))
        assert len(fs.VisualIndex.load(tmp_path / name, encoder=Basis(dim, seed))) == COUNT


def test_the_new_encoder_given_later_is_that_of_index_and_migration(folder, photos):
    with opened(folder, Basis(16, 0)) as index:
        assert index.migrate(Basis(10, 1), pairs=50).wait()
    new = Basis(10, 1)
    with opened(folder) as index:
        index.migrate(new)
        assert index.encoder is index.migration.encoder is new
        assert index.search(photos[3], k=1).ids[0, 0] == "p3"
    with opened(folder) as index:
        migration = index.migration
        assert migration.encoder is None
        index.encoder = new
        assert migration.encoder is new
        migration.finish()
        assert index.encoder is migration.encoder is new


@pytest.mark.parametrize("kind", ["memory", "opened"])
def test_no_item_is_lost_to_a_search_while_another_thread_writes_it_again(photos, tmp_path, kind):
    old = Basis(16, 0)
    index = opened(tmp_path / "o", old) if kind == "opened" else fs.VisualIndex(old, progress=False)
    index.add(photos, ids=[f"p{number}" for number in range(COUNT)])
    assert index.migrate(Basis(10, 1), pairs=50).wait()
    stop, found = threading.Event(), []

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            index.add([photos[5]], ids=["p5"], metadata=[{"n": number}])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(150):
            answer = index.search(photos[5], k=COUNT)
            found.append(("p5" in answer.ids[0], int(answer.counts[0])))
    finally:
        stop.set()
        thread.join()
        index.close()
    assert set(found) == {(True, COUNT)}


def test_readers_are_told_when_the_vectors_they_read_are_gone(folder, photos):
    index = opened(folder, Basis(16, 0))
    before = opened(folder, Basis(16, 0), read_only=True)
    migration = index.migrate(Basis(10, 1), pairs=50)
    assert migration.wait()
    with before, opened(folder, Basis(10, 1), read_only=True) as meanwhile:
        assert meanwhile.search(photos[4], k=1).ids[0, 0] == "p4"
        migration.finish()
        index.close()
        for reader in (before, meanwhile):
            with pytest.raises(
                errors.StorageError,
                match="was removed, replaced or given another encoder; open the index again",
            ):
                reader.refresh()
    assert before.search(photos[4], k=1).ids[0, 0] == "p4", "closed, it answers from memory"


@pytest.mark.parametrize("length", [0, 1e-20, 1e20, np.nan])
def test_an_embedding_that_cannot_be_stored_is_missing(index, length):
    new = Basis(10, 1)
    embed = new.embed

    def scaled(images):
        vectors = embed(images)
        if len(vectors) > 1:
            vectors[-1] *= np.float32(length)
        return vectors

    new.embed = scaled
    migration = index.migrate(new, pairs=50)
    assert not migration.wait()
    assert migration.missing
    assert all("is zero, too short or too long" in why for why in migration.missing.values())
