"""Lower precision: what it loses is measured, what loses too much is refused, and what is saved comes back."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.compression import precision
from fashionsearch.runtimes import graph
from fashionsearch.runtimes.low_precision import LowPrecision, probe_pixels
from fashionsearch.runtimes.quantisation import Quantiser

pytestmark = pytest.mark.usefixtures("shared_cache")

PHOTOS = fs.datasets.make_catalogue(90, seed=1)


@pytest.fixture(scope="module")
def backbone():
    return fs.create_backbone("cnn", weights=None, random_state=0, image_size=32, progress=False)


@pytest.fixture(scope="module")
def int8(backbone):
    return fs.lower_precision(backbone, "int8", PHOTOS.images, min_cosine=0.9)


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_int8_says_what_it_lost(backbone, int8):
    compared = precision.Sample(PHOTOS.images, None).compared
    found = cosines(int8.embed(compared), backbone.embed(compared))
    assert (int8.precision, int8.runtime, int8.dim) == ("int8", "onnx", backbone.dim)
    assert int8.fidelity.images == len(compared)
    assert int8.fidelity.cosine == pytest.approx(found.mean(), abs=1e-5)
    assert int8.fidelity.lowest_cosine == pytest.approx(found.min(), abs=1e-5)
    assert 0.9 <= int8.fidelity.lowest_cosine < 1
    assert not np.allclose(int8.embed(compared), backbone.embed(compared), rtol=1e-4)
    assert backbone.precision == "fp32"
    assert backbone.fidelity is None


def test_bf16_says_what_it_lost(backbone):
    fast = fs.lower_precision(backbone, "bf16", PHOTOS.images, PHOTOS["masterCategory"], max_loss=0.1)
    assert fast.precision == "bf16"
    assert 0.995 <= fast.fidelity.cosine < 1
    assert fast.fidelity.original_accuracy > 0.5
    assert fast.weights_hash == backbone.weights_hash


@pytest.mark.parametrize("lower", ["bf16", "int8"])
def test_more_loss_than_allowed_is_refused_with_the_figures(backbone, lower):
    with pytest.raises(errors.FidelityError, match=rf"loses too much in {lower}: mean cosine [01]\.\d+"):
        fs.lower_precision(backbone, lower, PHOTOS.images, min_cosine=1.0)


def test_labels_count_where_they_are_given(backbone, monkeypatch):
    def worse(embeddings, original, labels=None):
        accuracy = None if labels is None else 0.5
        return fs.Fidelity(len(original), 1.0, 1.0, 1.0, accuracy, None if labels is None else 0.6)

    monkeypatch.setattr(precision.metrics, "fidelity", worse)
    assert fs.lower_precision(backbone, "bf16", PHOTOS.images).precision == "bf16"
    with pytest.raises(errors.FidelityError, match=r"at most 0\.05 less accuracy"):
        fs.lower_precision(backbone, "bf16", PHOTOS.images, PHOTOS["masterCategory"], max_loss=0.05)
    fs.lower_precision(backbone, "bf16", PHOTOS.images, PHOTOS["masterCategory"], max_loss=0.11)


def test_first_layers_kept_in_float_lose_less(backbone):
    pixels = np.stack([backbone.preprocess.read(image) for image in PHOTOS.images[:40]])
    quantiser = Quantiser(backbone.float_graph(), pixels[:20])
    expected = backbone.embed(list(pixels[20:]))

    def mean_cosine(**options):
        lowered = LowPrecision("int8", quantiser.quantised(**options))
        return cosines(
            backbone.variant(lowered=lowered, runtime="auto").embed(list(pixels[20:])), expected
        ).mean()

    assert quantiser.layers == 13
    assert mean_cosine(in_float=6) > mean_cosine()


def test_layers_stay_in_float_until_it_is_enough(backbone, monkeypatch):
    tried = []
    quantised = Quantiser.quantised

    def noted(self, *, in_float=0, reduce_range=False):
        tried.append((in_float, reduce_range))
        return quantised(self, in_float=in_float, reduce_range=reduce_range)

    figures = iter([0.9, 0.8, 0.95, 0.999])  # all in 8 bits; 7 bits; then 3 and 6 layers in float

    def scripted(embeddings, original, labels=None):
        cosine = next(figures)
        return fs.Fidelity(len(original), cosine, cosine, 1.0)

    monkeypatch.setattr(Quantiser, "quantised", noted)
    monkeypatch.setattr(precision.metrics, "fidelity", scripted)
    assert fs.lower_precision(backbone, "int8", PHOTOS.images).fidelity.cosine == 0.999
    assert tried == [(0, False), (0, True), (3, False), (6, False)]


def test_seven_bits_where_eight_overflow(backbone, monkeypatch):
    tried = []

    def noted(self, *, in_float=0, reduce_range=False):
        tried.append((in_float, reduce_range))
        return graph_in_float

    graph_in_float = backbone.float_graph()
    figures = iter([0.8, 0.9, 0.999])

    def scripted(embeddings, original, labels=None):
        cosine = next(figures)
        return fs.Fidelity(len(original), cosine, cosine, 1.0)

    monkeypatch.setattr(Quantiser, "quantised", noted)
    monkeypatch.setattr(precision.metrics, "fidelity", scripted)
    fs.lower_precision(backbone, "int8", PHOTOS.images)
    assert tried == [(0, False), (0, True), (3, True)]


def test_saved_and_loaded_it_embeds_the_same(int8, tmp_path):
    int8.save(tmp_path / "fast")
    loaded = fs.Backbone.load(tmp_path / "fast", progress=False)
    assert (loaded.precision, loaded.fidelity, loaded.fingerprint) == (
        "int8",
        int8.fidelity,
        int8.fingerprint,
    )
    np.testing.assert_array_equal(loaded.embed(PHOTOS.images[:5]), int8.embed(PHOTOS.images[:5]))


def test_loaded_in_fp32_it_is_the_original(backbone, int8, tmp_path):
    int8.save(tmp_path / "fast")
    loaded = fs.Backbone.load(tmp_path / "fast", precision="fp32", runtime="torch")
    assert (loaded.precision, loaded.fidelity, loaded.fingerprint) == ("fp32", None, backbone.fingerprint)


def test_bf16_stays_bf16_when_saved(backbone, tmp_path):
    fast = fs.lower_precision(backbone, "bf16", PHOTOS.images)
    fast.save(tmp_path / "fast")
    loaded = fs.Backbone.load(tmp_path / "fast")
    assert (loaded.precision, loaded.fidelity) == ("bf16", fast.fidelity)


def test_a_processor_that_computes_otherwise_is_noticed(int8, tmp_path):
    int8.save(tmp_path / "fast")
    manifest = json.loads((tmp_path / "fast" / "manifest.json").read_text())
    config = json.loads((tmp_path / "fast" / manifest["generation"] / "backbone.json").read_text())
    lowered = LowPrecision.from_dict(config["lowered"], int8.lowered.graph)
    elsewhere = LowPrecision("int8", lowered.graph, lowered.fidelity, lowered.expected[:, ::-1].copy())
    other = int8.variant(lowered=elsewhere)
    with pytest.raises(errors.RuntimeUnavailableError, match=r"cosine 0\.\d+.*lower_precision here"):
        other.embed(PHOTOS.images[:1])


def test_an_index_knows_int8_from_float(backbone, int8, tmp_path):
    index = fs.VisualIndex(int8)
    index.add(PHOTOS.images[:20])
    index.save(tmp_path / "index")
    with pytest.raises(errors.EncoderMismatchError):
        fs.VisualIndex.load(tmp_path / "index", encoder=backbone)
    loaded = fs.VisualIndex.load(tmp_path / "index", progress=False)
    assert loaded.encoder.precision == "int8"
    assert loaded.search(PHOTOS.images[3], k=1).ids[0, 0] == 3


def test_a_classifier_in_int8(backbone, tmp_path):
    weights = tmp_path / "cnn.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in backbone.module.state_dict().items()}
    safetensors.torch.save_file(tensors, weights)
    classifier = fs.Classifier("cnn", weights=weights, image_size=32, progress=False)
    labels = PHOTOS["masterCategory"]
    classifier.fit(PHOTOS.images, labels, validation=(PHOTOS.images, labels))
    in_float = classifier.predict_proba(PHOTOS.images[:9])
    classifier.backbone_ = fs.lower_precision(classifier, "int8", PHOTOS.images)
    classifier.save(tmp_path / "classifier")
    loaded = fs.Classifier.load(tmp_path / "classifier", progress=False)
    assert loaded.backbone_.precision == "int8"
    probabilities = loaded.predict_proba(PHOTOS.images[:9])
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(PHOTOS.images[:9]))
    np.testing.assert_allclose(probabilities, in_float, atol=0.2)
    assert loaded.explain(PHOTOS.images[0]).shape == PHOTOS.images[0].shape[:2]  # by the network in float


def test_caches_keep_precisions_apart(backbone, int8, tmp_path):
    with fs.EmbeddingCache(tmp_path / "cache.sqlite") as cache:
        one = backbone.embed(PHOTOS.images[:3], cache=cache)
        other = int8.embed(PHOTOS.images[:3], cache=cache)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(other, int8.embed(PHOTOS.images[:3]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "int4"}, r"precision='int4' is not one of bf16, int8\. Did you mean 'int8'"),
        ({"images": PHOTOS.images[:39]}, "39 images are too few"),
        ({"labels": ["a"] * 3}, "there are 90 images and 3 labels"),
        ({"encoder": object()}, "object holds no Backbone"),
        ({"encoder": fs.Classifier("cnn")}, "has not learned yet"),
        ({"encoder": "resnet5O"}, "no backbone 'resnet5O'"),
    ],
)
def test_bad_input(backbone, change, message):
    given = {"encoder": backbone, "precision": "bf16", "images": PHOTOS.images, "labels": None, **change}
    with pytest.raises(errors.FashionSearchError, match=message):
        fs.lower_precision(given["encoder"], given["precision"], given["images"], given["labels"])


def test_lower_than_lower_is_refused(int8):
    with pytest.raises(errors.InputError, match="is in int8 already"):
        fs.lower_precision(int8, "bf16", PHOTOS.images)


def test_int8_needs_a_sample():
    with pytest.raises(errors.InputError, match="lower_precision"):
        fs.create_backbone("cnn", weights=None, precision="int8")


def test_int8_runs_in_no_torch(int8):
    with pytest.raises(errors.RuntimeUnavailableError, match="onnx and openvino"):
        int8.variant(runtime="torch")


def test_openvino_in_bf16_where_the_processor_has_it(backbone):
    pytest.importorskip("openvino")
    fast = backbone.variant(precision="bf16", runtime="openvino")
    try:
        vectors = fast.embed(PHOTOS.images[:4])
    except errors.RuntimeUnavailableError as error:
        pytest.skip(str(error))
    expected = backbone.embed(PHOTOS.images[:4])
    assert cosines(vectors, expected).min() > 0.99
    assert not np.allclose(vectors, expected, rtol=1e-4)  # fp32 would be as near as that


def test_bf16_is_not_promised_where_it_is_not(backbone, monkeypatch):
    openvino = pytest.importorskip("fashionsearch.runtimes.openvino")
    pytest.importorskip("openvino")
    monkeypatch.setattr(openvino, "_has_bf16", lambda core: False)
    assert not openvino.openvino_has_bf16()
    with pytest.raises(errors.RuntimeUnavailableError, match="no arithmetic in bf16"):
        backbone.variant(precision="bf16", runtime="openvino").embed(PHOTOS.images[:1])


def test_a_network_that_cant_be_quantised_says_so():
    with pytest.raises(errors.RuntimeUnavailableError, match="can't be quantised"):
        Quantiser(b"not a graph", np.zeros((1, 8, 8, 3), np.uint8))


def test_probes_differ():
    pixels = probe_pixels((16, 12))
    assert pixels.shape == (4, 16, 12, 3)
    assert len({picture.tobytes() for picture in pixels}) == 4


def test_graphs_come_from_the_cache(monkeypatch):
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    tiny = fs.Backbone(module, fs.Preprocess((8, 8)), name="tiny")
    first = tiny.float_graph()
    monkeypatch.setattr(graph, "export", lambda *_: pytest.fail("exported again"))
    assert tiny.float_graph() == first


def test_rebuild_gives_no_graph_in_int8_to_native_code(backbone, int8, tmp_path):
    int8.save(tmp_path / "fast")
    index = fs.VisualIndex(int8, progress=False)
    index.add(PHOTOS.images[:5])
    index.save(tmp_path / "index")
    for path in tmp_path.rglob("backbone.int8.onnx"):
        path.write_bytes(b"a stranger's")
    with pytest.warns(errors.DataWarning, match="saved in int8, and runs in fp32"):
        again = fs.Backbone.load(tmp_path / "fast", rebuild=True, progress=False)
    assert again.precision == "fp32"
    np.testing.assert_allclose(again.embed(PHOTOS.images[:2]), backbone.embed(PHOTOS.images[:2]), atol=1e-5)
    with pytest.warns(errors.DataWarning, match="runs in fp32"):
        loaded = fs.VisualIndex.load(tmp_path / "index", rebuild=True, progress=False)
    assert loaded.encoder.precision == "fp32"
    assert loaded.search(PHOTOS.images[2], k=1).ids.tolist() == [[2]]
