"""Adds, searches and learning that are under way at the very moment at which an index is given another encoder."""

import importlib.util
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors

_SPEC = importlib.util.spec_from_file_location("basis", Path(__file__).with_name("basis.py"))
basis = sys.modules.setdefault("basis", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(basis)
COUNT, DIM = 60, 12


class Halting(basis.Basis):
    """Stops one thread, which is named, in its next embedding until it may go on."""

    def __init__(self, seed):
        super().__init__(DIM, seed)
        self.halts, self.halted, self.may_go_on = None, threading.Event(), threading.Event()

    def embed(self, images):
        found = super().embed(images)
        if threading.current_thread().name == self.halts:
            self.halts = None
            self.halted.set()
            assert self.may_go_on.wait(30)
        return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(COUNT + 2):
        Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).save(folder / f"p{number:02d}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def old():
    return Halting(0)


@pytest.fixture
def new():
    return Halting(1)


@pytest.fixture(params=["memory", "opened"])
def index(request, old, photos, tmp_path):
    if request.param == "memory":
        made = fs.VisualIndex(old, progress=False)
    else:
        made = fs.VisualIndex.open(tmp_path / "c", old, progress=False)
    with made:
        made.add(photos[:COUNT], ids=[photo.name for photo in photos[:COUNT]])
        yield made


def while_halted(encoder, action, change):
    """Do something in a thread that embeds, change the index while it does, and return what came of it."""
    came = []

    def run():
        try:
            came.append(action())
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=run, name="halted")
    encoder.halts = "halted"
    thread.start()
    assert encoder.halted.wait(30)
    change()
    encoder.may_go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    return came[0]


def migrated(index, new):
    migration = index.migrate(new, pairs=20)
    assert migration.wait()


def test_photos_that_are_being_added_are_embedded_again(index, old, new, photos):
    added = while_halted(old, lambda: index.add([photos[-1]], ids=["late"]), lambda: migrated(index, new))
    assert added.ids == ("late",)
    np.testing.assert_allclose(index.get("late").vector, new.embed([photos[-1]])[0], rtol=1e-5)
    found = index.search(photos[-1], k=1)
    assert (found.ids[0, 0], round(float(found.similarities[0, 0]), 4)) == ("late", 1.0)
    index.migration.finish()
    np.testing.assert_allclose(index.get("late").vector, new.embed([photos[-1]])[0], rtol=1e-5)


def test_photos_of_an_iterator_are_refused_whole(index, old, new, photos):
    error = while_halted(
        old, lambda: index.add(iter([photos[-1]]), ids=["late"]), lambda: migrated(index, new)
    )
    assert isinstance(error, errors.EncoderMismatchError)
    assert "embed the photos again" in str(error)
    assert "late" not in index


def test_photos_that_are_being_added_when_it_is_rolled_back(index, old, new, photos):
    migrated(index, new)
    while_halted(new, lambda: index.add([photos[-1]], ids=["late"]), index.migration.rollback)
    np.testing.assert_allclose(index.get("late").vector, old.embed([photos[-1]])[0], rtol=1e-5)


def test_photos_that_are_being_synced_are_embedded_again(index, old, new, photos):
    done = while_halted(old, lambda: index.sync(photos[0].parent), lambda: migrated(index, new))
    assert set(done.added) == {photo.name for photo in photos[COUNT:]}
    np.testing.assert_allclose(index.get(photos[-1].name).vector, new.embed([photos[-1]])[0], rtol=1e-5)


@pytest.mark.parametrize("asked", ["photo", "like"])
def test_a_search_is_by_one_encoder(index, old, new, photos, asked):
    arguments = {"images": photos[7]} if asked == "photo" else {"like": iter([photos[7]])}
    found = while_halted(old, lambda: index.search(k=3, **arguments), lambda: migrated(index, new))
    expected = index.search(k=3, **({"images": photos[7]} if asked == "photo" else {"like": photos[7]}))
    assert found.ids.tolist() == expected.ids.tolist()
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)


def test_a_search_fails_only_by_its_own_fault(index, old, new, photos):
    def fail():
        index.search(photos[7], k=3, where={"nowhere": 1})

    error = while_halted(old, fail, lambda: migrated(index, new))
    assert isinstance(error, errors.InputError)
    assert "'nowhere'" in str(error)


def test_what_is_learned_meanwhile_is_refused(index, old, new, photos):
    titles = [f"thing {number} of {number % 7}" for number in range(COUNT)]
    error = while_halted(old, lambda: index.learn_text(titles, photos[:COUNT]), lambda: migrated(index, new))
    assert isinstance(error, errors.EncoderMismatchError)
    assert "let it learn again" in str(error)
    assert not index._learned


def test_an_empty_index_given_another_encoder_takes_only_its_vectors(old, new, photos):
    index = fs.VisualIndex(old, progress=False)
    while_halted(old, lambda: index.add(photos[:1], ids=["a"]), lambda: setattr(index, "encoder", new))
    np.testing.assert_allclose(index.get("a").vector, new.embed(photos[:1])[0], rtol=1e-5)


def test_copies_and_shards_stop_where_the_target_is_migrated(index, old, new, photos, monkeypatch):
    from fashionsearch.index import copying

    source = fs.VisualIndex(old, progress=False)
    source.add(photos, ids=[f"s{number}" for number in range(len(photos))])
    differing = copying.differing

    def differing_and_more(rows, target):
        found = differing(rows, target)
        migrated(index, new)
        return found

    monkeypatch.setattr(copying, "differing", differing_and_more)
    with pytest.raises(errors.EncoderMismatchError, match="another encoder meanwhile"):
        source.copy_to(index)
    assert "s0" not in index


def test_what_is_saved_is_of_one_encoder(index, old, new, tmp_path):
    held = index._held
    migrations = []

    def held_later():
        if not migrations:
            migrations.append(index.migrate(new, pairs=20))
            migrations[0].wait()
        return held()

    index._held = held_later  # as if another thread was faster
    index.save(tmp_path / "saved")
    del index._held
    loaded = fs.VisualIndex.load(tmp_path / "saved", encoder=new, progress=False)
    item = next(iter(index))
    np.testing.assert_allclose(loaded.get(item).vector, index.get(item).vector, rtol=1e-6)
