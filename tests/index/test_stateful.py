"""Any sequence of changes, searches, saves and crashes leaves an index with what a dictionary and NumPy have."""

import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import fashionsearch as fs
from fashionsearch import errors

DIM = 4
IDS = st.sampled_from([f"p{n}" for n in range(12)])
FIELDS = st.dictionaries(
    st.sampled_from(["kind", "price"]), st.sampled_from(["a", "b", 1, 2.5, None, True]), max_size=2
)


def vector_of(seed):
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


class Index(RuleBasedStateMachine):
    """The index, in memory or opened, beside a dictionary of what it should hold."""

    opened = False

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.held = {}
        self.index = (
            fs.VisualIndex.open(self.folder / "index", dim=DIM, progress=False)
            if self.opened
            else fs.VisualIndex(dim=DIM, progress=False)
        )

    @rule(items=st.dictionaries(IDS, st.tuples(st.integers(0, 50), FIELDS), min_size=1, max_size=4))
    def add(self, items):
        vectors = np.stack([vector_of(seed) for seed, _ in items.values()])
        self.index.add_vectors(vectors, ids=list(items), metadata=[fields for _, fields in items.values()])
        for item, (seed, fields) in items.items():
            self.held[item] = [vector_of(seed), dict(fields)]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def remove(self, data):
        gone = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True, min_size=1, max_size=3))
        self.index.remove(gone)
        for item in gone:
            del self.held[item]

    @rule(item=IDS)
    def remove_what_may_not_be_there(self, item):
        if item not in self.held:
            with pytest.raises(errors.UnknownIdError):
                self.index.remove([*list(self.held)[:1], item])

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fields=FIELDS)
    def update(self, data, fields):
        item = data.draw(st.sampled_from(sorted(self.held)))
        self.index.update(item, fields)
        self.held[item][1].update(fields)

    @rule(bad=st.sampled_from([[[np.nan] * DIM], [[0.0] * DIM], [[1.0]]]))
    def add_what_can_not_be_used(self, bad):
        with pytest.raises(errors.InputError):
            self.index.add_vectors(bad, ids=["bad"])

    @rule()
    def save_and_load(self):
        if self.opened:
            self.index.close()
            self.index = fs.VisualIndex.open(self.folder / "index", progress=False)
        else:
            self.index.save(self.folder / "saved")
            self.index = fs.VisualIndex.load(self.folder / "saved", progress=False)

    @precondition(lambda self: self.opened)
    @rule()
    def crash(self):
        engine = self.index._engine
        engine._journal.close()
        engine._closed = "was killed"
        self.index = fs.VisualIndex.open(self.folder / "index", progress=False)

    @precondition(lambda self: self.opened)
    @rule()
    def checkpoint(self):
        self.index._engine.checkpoint()

    @rule(
        seed=st.integers(0, 50),
        k=st.integers(1, 15),
        exact=st.booleans(),
        kind=st.sampled_from([None, "a", True]),
    )
    def search(self, seed, k, exact, kind):
        fits = {
            item: vector
            for item, (vector, fields) in self.held.items()
            if kind is None or (type(fields.get("kind")) is type(kind) and fields.get("kind") == kind)
        }
        has_field = any("kind" in fields for _, fields in self.held.values())
        where = {"kind": kind} if kind is not None and has_field else None
        if where is None:
            fits = {item: vector for item, (vector, _) in self.held.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.DataWarning)
            found = self.index.search_vectors(vector_of(seed), k=k, where=where, exact=exact)
        query = vector_of(seed) / np.linalg.norm(vector_of(seed))
        truth = sorted(-float(query @ vector / np.linalg.norm(vector)) for vector in fits.values())[:k]
        assert found.counts[0] == len(truth)
        np.testing.assert_allclose(-found.similarities[0, : len(truth)], truth, atol=1e-5)
        ids = [match.id for match in found[0]]
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(fits)

    @invariant()
    def everything_is_there(self):
        if not hasattr(self, "index"):
            return
        assert set(self.index) == set(self.held)
        for item, (vector, fields) in self.held.items():
            found = self.index.get(item)
            np.testing.assert_array_equal(found.vector, vector)
            assert {name: (type(value), value) for name, value in found.metadata.items()} == {
                name: (type(value), value) for name, value in fields.items()
            }

    def teardown(self):
        if hasattr(self, "index"):
            self.index.close()
            shutil.rmtree(self.folder)


class Opened(Index):
    """The same in a folder, with crashes."""

    opened = True


LIMITS = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestInMemory = Index.TestCase
TestInMemory.settings = LIMITS
TestOpened = Opened.TestCase
TestOpened.settings = LIMITS
