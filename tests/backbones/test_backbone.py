"""A backbone answers as in a fresh process, or says why it can't."""

import contextlib
import threading

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.backbones import placing
from fashionsearch.backbones.weights import check_finite

PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), dtype=np.uint8)


def made(**options):
    return fs.create_backbone("cnn", weights=None, image_size=32, random_state=0, runtime="torch", **options)


@contextlib.contextmanager
def default_type(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


HOSTS = {
    "float64": lambda: default_type(torch.float64),
    "bfloat16": lambda: default_type(torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "another device": lambda: torch.device("meta"),
    "deterministic": deterministic,
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    backbone = made()
    folder = tmp_path_factory.mktemp("saved") / "backbone"
    backbone.save(folder)
    return backbone, backbone.embed(PHOTOS), folder


@pytest.mark.parametrize("host", HOSTS)
def test_whatever_the_host_has_set_the_embeddings_are_the_same(host, fresh, tmp_path):
    backbone, expected, folder = fresh
    with HOSTS[host](), fs.EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        again = made()
        assert again.fingerprint == backbone.fingerprint
        assert {parameter.dtype for parameter in again.module.parameters()} == {torch.float32}
        for other in (again, fs.Backbone.load(folder, runtime="torch"), backbone):
            np.testing.assert_array_equal(other.embed(PHOTOS), expected)
        again.embed(PHOTOS, cache=cache)
        again.save(tmp_path / "again")
    with fs.EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        np.testing.assert_array_equal(backbone.embed(PHOTOS, cache=cache), expected)
    saved = fs.Backbone.load(tmp_path / "again", runtime="torch")
    np.testing.assert_array_equal(saved.embed(PHOTOS), expected)
    assert not any(parameter.is_inference() for parameter in again.module.parameters())


def test_the_hosts_own_contexts_hold_between_the_pieces_of_a_stream(fresh):
    backbone, expected, _ = fresh
    with torch.inference_mode():
        for batch in backbone.embed_batches(PHOTOS):
            assert torch.is_inference_mode_enabled()
            np.testing.assert_array_equal(batch.vectors, expected)


def test_weights_that_are_not_finite_are_named(fresh, tmp_path):
    for wrong in (float("nan"), float("inf")):
        spoilt = made().module
        name, parameter = list(spoilt.named_parameters())[4]
        with torch.no_grad():
            parameter.view(-1)[0] = wrong
        with pytest.raises(errors.WeightsError, match=f"'{name}' hold NaN or infinity"):
            fs.Backbone(spoilt, fs.Preprocess((32, 32)), name="cnn")
        torch.save(spoilt.state_dict(), tmp_path / "spoilt.pth")
        with pytest.raises(errors.WeightsError, match=f"'{name}' hold NaN or infinity"):
            fs.create_backbone("cnn", weights=tmp_path / "spoilt.pth", image_size=32)
        backbone = made()
        backbone.module.load_state_dict(spoilt.state_dict())
        backbone.save(tmp_path / "saved")
        with pytest.raises(errors.WeightsError, match=f"'{name}' hold NaN or infinity"):
            fs.Backbone.load(tmp_path / "saved")
        with pytest.raises(errors.InputError, match="NaN or infinity for image 0"):
            backbone.embed(PHOTOS)


def test_a_mask_of_infinity_is_no_damage():
    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.full((3,), -torch.inf))

        def forward(self, images):
            return images.mean((2, 3))

    check_finite(Masked(), "here")


class Large(torch.nn.Module):
    """Has numbers in between that fp16 can't hold."""

    def __init__(self):
        super().__init__()
        self.grow, self.shrink = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 5, 1)
        with torch.no_grad():
            self.grow.weight.fill_(1e5)
            self.shrink.weight.fill_(1e-5)

    def forward(self, images):
        return self.shrink(self.grow(images)).mean((2, 3))


def test_what_overflows_in_fp16_is_computed_in_float32():
    preprocess = fs.Preprocess((8, 8))
    expected = fs.Backbone(Large(), preprocess, runtime="torch").embed(PHOTOS)
    torch.manual_seed(0)
    found = fs.Backbone(Large(), preprocess, runtime="torch", precision="fp16").embed(PHOTOS)
    assert np.isfinite(found).all()
    assert found.shape == expected.shape


def test_loading_runs_no_network(fresh, monkeypatch):
    _, expected, folder = fresh
    monkeypatch.setattr(placing, "measured_dim", lambda *_: pytest.fail("the network was run"))
    assert fs.Backbone.load(folder).dim == expected.shape[1]


def test_a_dim_that_the_network_does_not_have_is_told(fresh):
    backbone, _, _ = fresh
    other = fs.Backbone(backbone.module, backbone.preprocess, dim=7, runtime="torch")
    with pytest.raises(errors.InputError, match=r"shape \(3, 256\) for 3 images, and \(n, 7\) was expected"):
        other.embed(PHOTOS)


def test_many_threads_use_one_backbone(fresh):
    _, expected, folder = fresh
    backbone, found = fs.Backbone.load(folder, runtime="torch"), []
    threads = [threading.Thread(target=lambda: found.append(backbone.embed(PHOTOS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for each in found:
        np.testing.assert_array_equal(each, expected)
