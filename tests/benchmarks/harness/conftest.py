"""A tiny backbone, a drawn catalogue and a bench on it, which the tests of the harness share."""

import pytest
import torch
from harness import candidates, rows, running, tasks

import fashionsearch as fs


@fs.register_backbone("grid_for_the_study", image_size=8)
def grid(weights):
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())


@pytest.fixture(scope="session")
def table():
    return fs.datasets.make_catalogue(220, seed=0)


@pytest.fixture
def bench(table, tmp_path):
    with fs.EmbeddingCache() as cache:
        yield tasks.Bench(
            table,
            clothing=None,
            checkpoints=tmp_path / "checkpoints",
            cache=cache,
            details=lambda *given: running.keep_details(tmp_path / "out", *given),
        )


@pytest.fixture(scope="session")
def candidate():
    """Return a function that makes the first candidate of a model."""

    def make(model="grid_for_the_study", weights="default", **options):
        return candidates.make_candidates(model, weights=weights, **options)[0]

    return make


@pytest.fixture(scope="session")
def measured():
    """Return a function that measures a candidate into a folder, and reads its rows."""

    def measure(bench, each, steps, folder, **options):
        running.measure(bench, each, [0], steps, out=folder, **options)
        return rows.read(folder / f"{each.stem}.json")

    return measure
