"""Exported folders: used by a process without this library, equal to it, and written whole or not at all."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.backbones import factory
from fashionsearch.exporting import exporter, graphs
from fashionsearch.exporting import folder as folders
from fashionsearch.runtimes import graph
from fashionsearch.tagging.head import LinearHead

FORMATS = ["onnx", "openvino"]
FILES = {
    "onnx": ["README.md", "model.json", "model.onnx", "use.py"],
    "openvino": ["README.md", "model.bin", "model.json", "model.xml", "use.py"],
}
WITHOUT_THE_LIBRARY = """
import sys
sys.modules["fashionsearch"] = sys.modules["torch"] = None
import numpy, use
arrays = {}
for number, path in enumerate(sys.argv[2:]):
    for name, values in use.run(use.read(path)).items():
        arrays[f"{name} {number}"] = values[0]
numpy.savez(sys.argv[1], **arrays)
"""


@pytest.fixture(scope="module")
def table():
    return fs.datasets.make_catalogue(48, seed=0, size=(48, 64))


@pytest.fixture(scope="module")
def classifier(table, tmp_path_factory):
    with pytest.MonkeyPatch.context() as context:
        context.setenv("FASHIONSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        classifier = fs.Classifier("efficientnet_lite0", image_size=64, runtime="torch", progress=False)
        return classifier.fit(table.images, table["masterCategory"])


@pytest.fixture(scope="module")
def graph_made_once():
    """Return what makes a network's graph, and has it for the second format."""
    made, make = {}, graphs.embedding_graph

    def embedding_graph(backbone):
        if backbone.fingerprint not in made:
            made[backbone.fingerprint] = make(backbone)
        return made[backbone.fingerprint]

    return embedding_graph


@pytest.fixture(scope="module", params=FORMATS)
def served(classifier, graph_made_once, request, tmp_path_factory):
    """The classifier, exported once in each format."""
    pytest.importorskip("onnxruntime" if request.param == "onnx" else "openvino")
    folder = tmp_path_factory.mktemp("export") / request.param
    with pytest.MonkeyPatch.context() as context:
        context.setattr(graphs, "embedding_graph", graph_made_once)
        fs.export(classifier, folder, format=request.param)
    return folder


@pytest.fixture(scope="module")
def tiny_graph():
    return graphs.embedding_graph(backbone())


@pytest.fixture
def quick(monkeypatch, tiny_graph):
    """Spare the seconds of an export: of the tiny network, made once."""
    monkeypatch.setattr(graphs, "embedding_graph", lambda _: tiny_graph)


def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        )


def backbone(size=(16, 24), **options):
    preprocess = fs.Preprocess(size, **options)
    return fs.Backbone(tiny(), preprocess, name="tiny", runtime="torch", progress=False)


def used(folder, paths):
    """What a folder's script gives for photos, in a process that can import neither this library nor torch."""
    out = folder.parent / f"{folder.name}.npz"
    subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_THE_LIBRARY, out, *paths],
        cwd=folder,
        check=True,
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    with np.load(out) as arrays:
        names = {name.split()[0] for name in arrays}
        return {
            name: np.stack([arrays[f"{name} {number}"] for number in range(len(paths))]) for name in names
        }


def relative(got, expected):
    return float((np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


@pytest.fixture
def photos(photo, tmp_path):
    """Photos of many kinds, as files: sizes, a turned one, greyscale, CMYK, transparency, 16 bits."""
    files = {
        "small.jpg": photo("JPEG", size=(60, 80), seed=1, quality=90),
        "wide.jpg": photo("JPEG", size=(201, 77), seed=2),
        "tall.jpg": photo("JPEG", size=(65, 200), seed=3),
        "grey.png": photo("PNG", size=(31, 90), seed=4),
    }
    picture = Image.open(io.BytesIO(files["wide.jpg"]))
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = picture.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = (np.asarray(picture.convert("L")).astype(np.uint16) * 200 + 7).astype(np.uint16)
    made = {
        "turned.jpg": (picture, {"exif": turned}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "clear.png": (clear, {}),
        "palette.png": (clear.quantize(64), {}),
        "deep.png": (Image.fromarray(deep), {}),
        "grey.png": (picture.convert("L"), {}),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name, (image, options) in made.items():
        image.save(tmp_path / name, **options)
    return [tmp_path / name for name in {**files, **made}]


# What it gives.


def test_a_script_without_the_library_gives_what_the_classifier_gives(served, classifier, photos):
    got = used(served, photos)
    assert set(got) == {"embeddings", "probabilities"}
    assert got["embeddings"].dtype == got["probabilities"].dtype == np.float32
    expected = classifier.embed(photos)
    assert relative(got["embeddings"], expected) < 0.01
    norms = np.linalg.norm(got["embeddings"], axis=1) * np.linalg.norm(expected, axis=1)
    assert ((got["embeddings"] * expected).sum(axis=1) / norms).min() > 0.9999
    np.testing.assert_allclose(got["probabilities"], classifier.predict_proba(photos), atol=2e-3)


def test_batches_of_the_networks_size_are_equal_within_rounding(served, classifier):
    batch = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    code = "import numpy, sys, use; numpy.savez(sys.argv[2], **use.run(numpy.load(sys.argv[1])['arr_0']))"
    given, out = served.parent / "given.npz", served.parent / "out.npz"
    np.savez(given, batch)
    subprocess.run([sys.executable, "-B", "-c", code, given, out], cwd=served, check=True)
    with np.load(out) as got:
        assert relative(got["embeddings"], classifier.embed(batch)) < 1e-4
        np.testing.assert_allclose(got["probabilities"], classifier.predict_proba(batch), atol=1e-5)


def test_the_script_prints_the_tag(served, classifier, photos):
    done = subprocess.run(
        [sys.executable, "-B", served / "use.py", *photos[:2]], capture_output=True, text=True, check=True
    )
    expected = classifier.predict_proba(photos[:2])
    for line, path, row in zip(done.stdout.splitlines(), photos, expected, strict=False):
        assert line.startswith(f"{path}: {classifier.classes_[row.argmax()]}, ")
        assert float(line.split(", ")[-1]) == pytest.approx(row.max(), abs=2e-3)
    without = subprocess.run(
        [sys.executable, "-B", served / "use.py"], capture_output=True, text=True, check=False
    )
    assert without.returncode == 1
    assert "python use.py photo.jpg" in without.stderr


def test_the_folder_says_what_it_holds(served, classifier):
    about = json.loads((served / "model.json").read_text())
    assert sorted(path.name for path in served.iterdir()) == FILES[served.name]
    assert (served / about["model"]).is_file()
    assert about["inputs"] == [
        {"name": "pixels", "shape": ["n", "height", "width", 3], "dtype": "uint8", "channels": "RGB"}
    ]
    assert about["outputs"] == [
        {"name": "embeddings", "shape": ["n", 1280], "dtype": "float32"},
        {"name": "probabilities", "shape": ["n", 3], "dtype": "float32"},
    ]
    assert about["classes"] == classifier.classes_.tolist()
    assert about["backbone"]["fingerprint"] == classifier.backbone_.fingerprint
    assert fs.Preprocess.from_dict(about["preprocess"]) == classifier.backbone_.preprocess
    readme = (served / "README.md").read_text()
    assert f"pip install numpy pillow {'onnxruntime' if served.name == 'onnx' else 'openvino'}" in readme
    assert "makes them 64 × 64" in readme


def test_the_graph_is_valid_and_tells_nothing_of_this_machine(served):
    if served.name != "onnx":
        pytest.skip("OpenVINO's form has no names of files")
    content = (served / "model.onnx").read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["embeddings", "probabilities"]
    assert b"site-packages" not in content
    assert b'File "' not in content


@pytest.mark.parametrize(
    "options", [{"resize": "pad"}, {"resize": "crop"}, {"interpolation": "nearest"}], ids=str
)
def test_other_resizing_is_the_scripts(options, photos, tmp_path):
    encoder = backbone(**options)
    fs.export(encoder, tmp_path / "served")
    about = json.loads((tmp_path / "served" / "model.json").read_text())
    assert about["inputs"][0]["shape"] == ["n", 16, 24, 3]
    assert "resize" in about["preprocess"]["before_the_model"][-1]
    assert not any("resize" in step for step in about["preprocess"]["in_the_model"])
    got = used(tmp_path / "served", photos)
    assert set(got) == {"embeddings"}
    assert relative(got["embeddings"], encoder.embed(photos)) < 0.005
    done = subprocess.run(
        [sys.executable, "-B", tmp_path / "served" / "use.py", photos[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{photos[0]}: an embedding of length {encoder.dim}\n"


def test_an_autoencoders_latents(table, photos, tmp_path):
    options = {"training": fs.FineTuning(epochs=1), "perceptual": 0, "runtime": "torch", "progress": False}
    encoder = fs.Autoencoder("cnn", image_size=32, random_state=0, **options)
    fs.export(encoder.fit(table.images), tmp_path / "served")
    got = used(tmp_path / "served", photos)
    assert got["embeddings"].shape == (len(photos), 16)
    assert relative(got["embeddings"], encoder.embed(photos)) < 0.01


def test_a_backbone_by_name(monkeypatch, tmp_path):
    named = backbone()
    monkeypatch.setattr(factory, "create_backbone", {"tiny": named}.__getitem__)
    fs.export("tiny", tmp_path / "served")
    assert json.loads((tmp_path / "served" / "model.json").read_text())["backbone"]["name"] == "tiny"


def test_the_precision_it_runs_in_does_not_matter(tmp_path):
    half = fs.Backbone(tiny(), fs.Preprocess((16, 24)), precision="bf16", progress=False)
    fs.export(half, tmp_path / "served")
    assert half.precision == "bf16"


# What is refused.


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_that_differs_is_refused_with_the_figure(format, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime" if format == "onnx" else "openvino")
    export = graph.export

    def off(module, preprocess):
        module = torch.nn.Sequential(module, Factor())
        return export(module, preprocess)

    monkeypatch.setattr(graph, "export", off)
    with pytest.raises(
        errors.RuntimeUnavailableError, match=r"on photos of 16 × 24: relative error 0\.0[12]"
    ) as caught:
        fs.export(backbone(), tmp_path / "served", format=format)
    assert "nothing was written" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


class Factor(torch.nn.Module):
    def forward(self, values):
        return values * 1.02


def test_wrong_probabilities_are_refused(monkeypatch, quick, tmp_path):
    classifier = fs.Classifier("cnn")
    classifier.backbone_ = backbone()
    rng = np.random.default_rng(0)
    classifier.head_ = LinearHead(rng.normal(size=(3, 24)).astype(np.float32), np.zeros(3, np.float32))
    classifier.classes_ = np.array(["a", "b", "c"])
    with_head = graphs.with_head

    def other(graph, head):
        return with_head(graph, LinearHead(head.weight * 1.1, head.bias))

    monkeypatch.setattr(graphs, "with_head", other)
    with pytest.raises(errors.RuntimeUnavailableError, match="in probabilities"):
        fs.export(classifier, tmp_path / "served")


@pytest.mark.parametrize(
    ("encoder", "options", "error", "message"),
    [
        (fs.Classifier(), {}, errors.NotFittedError, "this Classifier has not learned yet; call fit"),
        (fs.Autoencoder(), {}, errors.NotFittedError, "this Autoencoder has not learned yet"),
        (7, {}, errors.InputError, "int holds no Backbone; give a backbone"),
        ("efficientnet_lite00", {}, errors.UnknownBackboneError, "Did you mean 'efficientnet_lite0'"),
        ("cnn", {"format": "onx"}, errors.InputError, "format='onx' is not one of onnx, openvino. Did you mean 'onnx'"),
        ("cnn", {"format": None}, errors.InputError, "format=None is not one of"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_work(encoder, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        fs.export(encoder, tmp_path / "served", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_openvino_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(errors.RuntimeUnavailableError, match="pip install openvino; or use format='onnx'"):
        fs.export(backbone(), tmp_path / "served", format="openvino")
    assert list(tmp_path.iterdir()) == []


# The folder.


def test_an_older_export_is_replaced(quick, tmp_path):
    served = tmp_path / "deep" / "served"
    fs.export(backbone(), served)
    (served / "model.json").write_text(json.dumps({"format": "fashionsearch export", "old": True}))
    (served / "model.xml").write_text("of another format")
    (served / "__pycache__").mkdir()
    fs.export(backbone(), served)
    assert sorted(path.name for path in served.iterdir()) == FILES["onnx"]
    assert "old" not in json.loads((served / "model.json").read_text())
    assert [path.name for path in served.parent.iterdir()] == ["served"]


def test_an_empty_folder_is_filled(quick, tmp_path):
    fs.export(backbone(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES["onnx"]


def test_folders_of_anything_else_are_refused(quick, tmp_path):
    encoder = backbone()
    fs.export(encoder, tmp_path / "added")
    (tmp_path / "added" / "my_notes.txt").write_text("mine")
    encoder.save(tmp_path / "saved")
    for name, content in (
        ("photos/a.jpg", "a"),
        ("look-alike/model.json", "{}"),
        ("damaged/model.json", "{"),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    (tmp_path / "file").write_text("a file")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, message in (
        ("added", "'my_notes.txt', which is not of an export and would be lost"),
        ("saved", "which is not of an export"),
        ("photos", "'a.jpg'"),
        ("look-alike", "'model.json'"),
        ("damaged", "'model.json'"),
        ("file", "is a file; choose another folder"),
    ):
        with pytest.raises(errors.StorageError, match=message):
            fs.export(encoder, tmp_path / name)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_comes_while_it_exports_is_not_lost(monkeypatch, quick, tmp_path):
    monkeypatch.setattr(
        exporter, "_compare", lambda *_: (tmp_path / "served").mkdir() or file.write_text("mine")
    )
    file = tmp_path / "served" / "notes.txt"
    with pytest.raises(errors.StorageError, match=r"notes\.txt"):
        fs.export(backbone(), tmp_path / "served")
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


@pytest.mark.parametrize("failing", ["write", "sync", "rename"])
def test_a_disk_that_fails_leaves_the_old_export(failing, monkeypatch, quick, tmp_path):
    served = tmp_path / "served"
    fs.export(backbone(), served)
    before = {path.name: path.read_bytes() for path in served.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        if failing == "write":
            context.setattr(exporter, "_write_model", full)
        elif failing == "sync":
            context.setattr(os, "fsync", full)
        else:
            context.setattr(folders, "_swapped", lambda *_: False)
            rename = type(served).rename
            context.setattr(
                type(served),
                "rename",
                lambda path, to: full() if path.name.endswith(".new") else rename(path, to),
            )
        with pytest.raises(errors.StorageError, match=r"could not be written: .*No space left"):
            fs.export(backbone(), served)
    assert {path.name: path.read_bytes() for path in served.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_killed_process_leaves_nothing_under_its_name(tmp_path):
    code = """
        import os, signal, sys
        import torch
        import fashionsearch as fs
        from fashionsearch.exporting import exporter, graphs

        graphs.embedding_graph = lambda _: b"half"
        exporter._compare = exporter._script = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
        fs.export(fs.Backbone(net, fs.Preprocess((8, 8))), sys.argv[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "served"], check=False, env=dict(os.environ)
    )
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "served").exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".served.")
    fs.export(backbone(), tmp_path / "served")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names at once")
def test_an_older_export_is_there_at_every_moment(quick, monkeypatch, tmp_path):
    fs.export(backbone(), tmp_path / "served")
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("between two renames there is none"))
    fs.export(backbone(), tmp_path / "served")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_two_renames_serve_where_names_cannot_be_exchanged(quick, monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "_swapped", lambda *_: False)
    for _ in range(2):
        fs.export(backbone(), tmp_path / "served")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def damages(served):
    about = json.loads((served / "model.json").read_text())
    whole = (served / about["model"]).read_bytes()
    yield "model.json", b"{"
    yield "model.json", json.dumps({**about, "outputs": None}).encode()
    yield "model.json", json.dumps({**about, "classes": ["one"]}).encode()
    yield about["model"], whole[: len(whole) // 2]
    yield about["model"], None


def test_a_damaged_folder_is_told_in_one_line(served, photos, tmp_path):
    copied = tmp_path / "copied"
    for name, content in damages(served):
        shutil.copytree(served, copied)
        (copied / name).unlink()
        if content is not None:
            (copied / name).write_bytes(content)
        told(copied, photos[0])
        shutil.rmtree(copied)
    (tmp_path / "bad.jpg").write_bytes(photos[0].read_bytes()[:300])
    for photo in (tmp_path / "bad.jpg", tmp_path / "none.jpg"):
        assert f"{photo} can't be read" in told(served, photo)


def told(folder, photo):
    command = [sys.executable, "-B", folder / "use.py", photo]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line]
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 1), done.stderr
    assert lines[0].startswith("use.py: ")
    return lines[0]


def test_it_can_be_read_by_others(quick, tmp_path):
    (tmp_path / "plain").mkdir()
    fs.export(backbone(), tmp_path / "served")
    assert (tmp_path / "served").stat().st_mode == (tmp_path / "plain").stat().st_mode
