"""`optimize`: the fastest way within the loss, and what was tried."""

import numpy as np
import PIL.Image
import pytest

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.cli import main
from fashionsearch.compression import optimize as optimization

pytestmark = pytest.mark.usefixtures("shared_cache")

PHOTOS = fs.datasets.make_catalogue(80, seed=2)


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone("cnn", weights=None, random_state=0, image_size=48, progress=False)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(optimization, "_SECONDS", 0.01)


def optimize(backbone, **options):
    return fs.optimize(backbone, PHOTOS.images, PHOTOS["masterCategory"], image_sizes=[48, 32], **options)


def test_the_fastest_within_the_loss(backbone):
    found = optimize(backbone, max_loss=0.1)
    within = [trial for trial in found.trials if trial.loss <= 0.1]
    assert found.best.images_per_second == max(trial.images_per_second for trial in within)
    assert found.encoder.preprocess.image_size == found.best.image_size
    assert found.encoder.precision == found.best.precision
    assert found.encoder.runtime == found.best.runtime
    assert found.original.loss == 0
    tried = {(trial.image_size, trial.precision, trial.runtime) for trial in found.trials}
    assert {((48, 48), "fp32", "onnx"), ((48, 48), "fp32", "torch"), ((48, 48), "int8", "onnx")} <= tried
    assert {(size, precision) for size, precision, _ in tried} >= {((32, 32), "fp32"), ((48, 48), "bf16")}
    assert [trial.images_per_second for trial in found.trials] == sorted(
        (trial.images_per_second for trial in found.trials), reverse=True
    )
    for trial in found.trials:
        assert trial.fidelity.original_accuracy == found.original.fidelity.accuracy
        assert trial.latency > 0
    assert "fastest within the loss" in repr(found)
    assert "<table>" in found._repr_html_()


def test_no_loss_allowed_and_no_speed_won(backbone, monkeypatch):
    monkeypatch.setattr(
        optimization, "_images_per_second", lambda backbone, images: float(backbone is given[0])
    )
    given = []
    note = optimization._Search._note

    def noted(self, backbone, fidelity):
        given.append(backbone)
        note(self, backbone, fidelity)

    monkeypatch.setattr(optimization._Search, "_note", noted)
    found = optimize(backbone, max_loss=0)
    assert found.best is found.original


def test_without_labels_the_neighbours_must_stay(backbone):
    found = fs.optimize(backbone, PHOTOS.images, image_sizes=[32])
    small = next(trial for trial in found.trials if trial.image_size == (32, 32))
    assert small.loss == pytest.approx(1 - small.fidelity.overlap)
    assert found.encoder.preprocess.image_size == (48, 48)  # other sizes have other neighbours


def trial(speed, latency, overlap):
    return optimization.Trial((8, 8), "onnx", "fp32", speed, latency, fs.Fidelity(50, 1.0, 1.0, overlap))


def test_pareto():
    best, slower, dominated, careful = (
        trial(9, 1, 0.8), trial(5, 0.5, 0.8), trial(4, 2, 0.8), trial(1, 3, 1.0),
    )  # fmt: skip
    found = optimization.Optimization(None, best, careful, (best, slower, dominated, careful), (), 0.3)
    assert found.pareto == (best, slower, careful)


def test_the_sizes_tried_by_default():
    assert optimization._sizes((224, 224), None) == [(side, side) for side in (224, 192, 160, 128, 96, 64)]
    assert optimization._sizes((80, 60), None)[0] == (80, 60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_loss": 2}, "max_loss=2 is not a fraction"),
        ({"max_loss": float("nan")}, "max_loss=nan is not a fraction"),
        ({"image_sizes": [0]}, r"image_size=\(0, 0\)"),
        ({"image_sizes": ["64"]}, "image_size='64'"),
    ],
)
def test_bad_input(backbone, options, message):
    with pytest.raises(errors.InputError, match=message):
        fs.optimize(backbone, PHOTOS.images, **options)


def test_lower_precision_is_no_start(backbone):
    with pytest.raises(errors.InputError, match="is in lower precision already"):
        optimize(backbone.variant(precision="bf16"))


def test_sizes_a_network_cant_take_are_named():
    fixed = fs.create_backbone("timm:vit_tiny_patch16_224", weights=None, random_state=0, progress=False)
    found = fs.optimize(fixed, PHOTOS.images[:40], image_sizes=[32], max_loss=1)
    assert found.encoder.preprocess.image_size == (224, 224)
    assert any(reason.startswith("32×32 in ") for reason in found.left_out)


def test_an_image_that_cant_be_read_stops_it(backbone, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(errors.ImageError, match=r"broken\.jpg"):
        fs.optimize(backbone, [*PHOTOS.images[:39], broken], image_sizes=[48])


def test_from_the_shell(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(optimization, "_SHARES", (1,))
    photos, encoder, fast = (str(tmp_path / name) for name in ("photos", "encoder", "fast"))
    (tmp_path / "photos").mkdir()
    for place, image in enumerate(PHOTOS.images[:45]):
        PIL.Image.fromarray(image).save(tmp_path / "photos" / f"{place}.png")
    fs.create_backbone("cnn", weights=None, random_state=0, image_size=48).save(encoder)
    assert main(["optimize", photos, "--encoder", encoder, "--max-loss", "1", "--out", fast]) == 0
    assert "fastest within the loss" in capsys.readouterr().out
    assert fs.Backbone.load(fast).dim == 256
    vectors = tmp_path / "vectors.npz"
    assert main(["embed", photos, "--encoder", fast, "--out", str(vectors)]) == 0
    assert np.load(vectors)["embeddings"].shape == (45, 256)
