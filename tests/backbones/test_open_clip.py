"""Photos and texts in one space by OpenCLIP: names, weights, the tokenizer, saving, and what happens without a network."""

import builtins
import copy
import logging
import pickle
import socket
import subprocess
import sys
import time

import huggingface_hub
import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from open_clip import factory, tokenizer

import fashionsearch as fs
from fashionsearch.backbones import open_clip as ours
from fashionsearch.errors import InputError, MissingPackageError, UnknownBackboneError, WeightsError

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VISION = {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TINY = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}
CONFIGS = {
    "tiny": TINY,
    "tiny-custom": {**TINY, "custom_text": True},
    "tiny-hub": {**TINY, "text_cfg": {**TEXT, "hf_tokenizer_name": "owner/words"}},
    "tiny-hub-network": {**TINY, "text_cfg": {"hf_model_name": "roberta-base"}},
    "tiny-writing": {**TINY, "multimodal_cfg": {}},
}
TEXTS = ["red floral dress", "black leather shoes", "Kleid für Anna", "赤いドレス"]
PHOTOS = fs.datasets.make_catalogue(5, seed=0).images


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    for name, config in CONFIGS.items():
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, config)
    ours._tokenizer.cache_clear()


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(socket.socket, "connect", fail)
    return tmp_path


def made(name="tiny", **options):
    options = {"weights": None, "random_state": 0, "runtime": "torch", "progress": False, **options}
    return fs.create_backbone(f"open_clip:{name}", **options)


def by_hand(name="tiny"):
    """Return a network that the library itself has made, and what it embeds of the photos and the texts."""
    torch.manual_seed(1)
    config = open_clip.get_model_config(name)
    custom = config.pop("custom_text", False)
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config).eval()
    pixels = np.stack([made(name).preprocess(photo) for photo in PHOTOS])
    with torch.inference_mode():
        photos = model.encode_image(torch.from_numpy(pixels)).numpy()
        texts = model.encode_text(open_clip.get_tokenizer(name)(TEXTS)).numpy()
    return model, photos, texts


def test_texts_and_photos_are_embedded_into_one_space():
    backbone = made()
    texts = backbone.embed_text(TEXTS)
    assert texts.dtype == np.float32
    assert texts.shape == (4, backbone.dim) == (4, 24)
    assert len(np.unique(texts.round(5), axis=0)) == 4
    np.testing.assert_allclose(backbone.embed_text(TEXTS[1]), texts[1:2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(backbone.embed_text(np.array(TEXTS)[::-1])[::-1], texts, rtol=1e-4, atol=1e-6)
    assert backbone.embed_text([]).shape == (0, 24)
    many = backbone.embed_text(TEXTS * 40)
    np.testing.assert_allclose(many[-4:], texts, rtol=1e-4, atol=1e-6)


def test_a_real_network_has_its_own_size_and_normalisation():
    backbone = made("ViT-B-32", batch_size=2)
    assert (backbone.dim, backbone.preprocess.image_size) == (512, (224, 224))
    assert backbone.preprocess.mean == open_clip.OPENAI_DATASET_MEAN
    assert backbone.preprocess.std == open_clip.OPENAI_DATASET_STD
    assert (backbone.preprocess.interpolation, backbone.preprocess.resize) == ("bicubic", "squash")
    assert backbone.embed(PHOTOS[0]).shape == backbone.embed_text("a dress").shape == (1, 512)


@pytest.mark.parametrize("kind", ["safetensors", "pt", "checkpoint", "saved"])
@pytest.mark.parametrize("name", ["tiny", "tiny-custom"])
def test_weights_from_a_file_embed_as_the_library_does(name, kind, tmp_path):
    model, photos, texts = by_hand(name)
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    file = tmp_path / "weights.pt"
    if kind == "safetensors":
        file = file.with_suffix(".safetensors")
        safetensors.torch.save_file(tensors, file)
    elif kind == "saved":
        file = file.with_suffix(".safetensors")
        safetensors.torch.save_file({f"model.{key}": tensor for key, tensor in tensors.items()}, file)
    elif kind == "checkpoint":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": each for key, each in tensors.items()}}, file)
    else:
        torch.save(tensors, file)
    backbone = made(name, weights=file)
    assert backbone.origin == f"file:{file.name}"
    np.testing.assert_allclose(backbone.embed(PHOTOS), photos, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(backbone.embed_text(TEXTS), texts, rtol=1e-4, atol=1e-5)


def test_files_of_one_side_by_side_texts_go_into_a_network_of_two(tmp_path):
    model, photos, texts = by_hand("tiny")
    torch.save(model.state_dict(), tmp_path / "old.pt")
    custom = made("tiny-custom", weights=tmp_path / "old.pt")
    np.testing.assert_allclose(custom.embed(PHOTOS), photos, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(custom.embed_text(TEXTS), texts, rtol=1e-4, atol=1e-5)


def test_weights_fit_another_image_size(tmp_path):
    model, photos, texts = by_hand()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    larger = made(weights=tmp_path / "weights.pt", image_size=(96, 80))
    found = larger.embed(PHOTOS)
    assert found.shape == photos.shape
    cosines = (found * photos).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(photos, axis=1)
    assert cosines.min() > 0.9
    np.testing.assert_allclose(larger.embed_text(TEXTS), texts, rtol=1e-4, atol=1e-5)


class _Code:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"visual.proj": torch.zeros(3, 3)}, "lacks"),
        ({"visual.positional_embedding": torch.zeros(7, 3)}, "give weights of the same architecture"),
        ({"image_encoder.model.patch_emb.0.block.conv.weight": torch.zeros(1)}, "same architecture"),
        ({"weights": _Code()}, "can't be read as weights"),
    ],
)
def test_files_of_something_else_are_refused(content, told, tmp_path, capsys):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=told):
        made(weights=tmp_path / "weights.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_saving_keeps_the_side_of_texts_and_loading_needs_no_network(tmp_path, monkeypatch):
    backbone = made()
    backbone.save(tmp_path / "clip")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("load uses the network"))
    again = fs.Backbone.load(tmp_path / "clip", runtime="torch", progress=False)
    assert np.array_equal(again.embed_text(TEXTS), backbone.embed_text(TEXTS))
    assert np.array_equal(again.embed(PHOTOS), backbone.embed(PHOTOS))
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone)), backbone.variant()):  # noqa: S301
        assert np.array_equal(other.embed_text(TEXTS), backbone.embed_text(TEXTS))


def test_other_texts_make_another_backbone():
    one, other = made(), made()
    with torch.no_grad():
        other.module.model.token_embedding.weight.add_(1)
    assert one.fingerprint != other.fingerprint


def test_onnx_embeds_photos_and_torch_texts():
    backbone, graph = made(), made(runtime="onnx")
    assert graph.runtime == "onnx"
    np.testing.assert_allclose(graph.embed(PHOTOS), backbone.embed(PHOTOS), rtol=1e-3, atol=1e-4)
    assert np.array_equal(graph.embed_text(TEXTS), backbone.embed_text(TEXTS))


def test_a_tagger_by_names_alone_is_saved_and_searches_by_words(tmp_path):
    classes = {"articleType": ["Dress", "Shirt", "Shoes"]}
    tagger = fs.Tagger.zero_shot(made(), classes)
    expected = tagger.predict(PHOTOS)["articleType"]
    tagger.save(tmp_path / "tagger")
    loaded = fs.Tagger.load(tmp_path / "tagger", runtime="torch", progress=False)
    assert loaded.predict(PHOTOS)["articleType"].tolist() == expected.tolist()
    texts = made().embed_text(TEXTS)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    for each in (tagger, loaded):
        np.testing.assert_allclose(each.embed_text(TEXTS), texts, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(each.embed_text(TEXTS[0]), texts[:1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ["exact", "hnsw"])
def test_an_index_is_searched_by_words_also_after_it_was_saved(engine, tmp_path):
    index = fs.VisualIndex(made(), engine=engine)
    index.add(PHOTOS)
    found = index.search(text="red floral dress", k=3)
    photos, text = made().embed(PHOTOS), made().embed_text("red floral dress")[0]
    cosines = photos @ text / np.linalg.norm(photos, axis=1) / np.linalg.norm(text)
    assert found.ids[0].tolist() == np.argsort(-cosines)[:3].tolist()
    index.save(tmp_path / "index")
    again = fs.VisualIndex.load(tmp_path / "index").search(text="red floral dress", k=3)
    assert again.ids.tolist() == found.ids.tolist()


def test_a_fitted_classifier_embeds_texts_where_its_backbone_does():
    classifier = fs.Classifier(made(), progress=False)
    assert not hasattr(classifier, "embed_text")
    classifier.fit(PHOTOS * 4, ["a", "b", "a", "b", "a"] * 4)
    assert np.array_equal(classifier.embed_text(TEXTS), made().embed_text(TEXTS))


@pytest.mark.parametrize("name", ["cnn", "fashion"])
def test_other_backbones_embed_no_texts(name):
    backbone = fs.create_backbone(name, weights="default" if name == "fashion" else None)
    assert not hasattr(backbone, "embed_text")
    with pytest.raises(AttributeError, match="open_clip:ViT-B-32"):
        backbone.embed_text("a dress")


@pytest.mark.parametrize(
    "texts", [None, 5, b"dress", ["dress", ""], " ", ["dress", None], [["dress"]], {"dress": 1}]
)
def test_what_is_no_text_is_refused(texts):
    with pytest.raises(InputError, match="text"):
        made().embed_text(texts)


def test_a_text_longer_than_the_network_reads_is_cut_as_clip_cuts_it():
    backbone = made()
    long = backbone.embed_text(["dress " * 10_000, "dress " * 75])
    assert np.array_equal(long[0], long[1])


def test_names():
    listed = fs.list_backbones("open_clip:*")
    assert {
        "open_clip:ViT-B-32",
        "open_clip:ViT-B-16-SigLIP",
        "open_clip:MobileCLIP-S1",
        "open_clip:tiny",
    } <= set(listed)
    assert not {"open_clip:tiny-hub-network", "open_clip:tiny-writing", "open_clip:coca_ViT-B-32"} & set(
        listed
    )
    with pytest.raises(UnknownBackboneError, match=r"Did you mean 'open_clip:ViT-B-32'"):
        made("ViT-B32")


@pytest.mark.parametrize(
    "name", ["ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16-SigLIP", "ViT-L-14", "MobileCLIP-S1"]
)
def test_default_weights_were_made_for_the_architectures_own_activations(name):
    quick = open_clip.get_model_config(name).get("quick_gelu", False)
    published = ours._default_weights(name, quick_gelu=quick)
    assert published["hf_hub"].count("/") == 2
    assert published.get("quick_gelu", False) == quick
    preprocess = fs.backbones.architectures.find_architecture(f"open_clip:{name}").preprocess
    assert (preprocess.mean, preprocess.std) == (published["mean"], published["std"])


def test_default_weights_come_from_the_hub(no_network, monkeypatch):
    published = {"laion2b_s1": {"hf_hub": "owner/tiny/", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: list(published))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: published[tag])
    with pytest.raises(
        WeightsError, match=r"get open_clip_model\.safetensors or .* repository owner/tiny, and pass it"
    ):
        made(weights="default")
    root = no_network / "hub" / "models--owner--tiny"
    file = root / "snapshots" / ("0" * 40) / "open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0" * 40)
    model = by_hand()[0]
    safetensors.torch.save_file(
        {key: tensor.contiguous() for key, tensor in model.state_dict().items()}, file
    )
    backbone = made(weights="default")
    assert backbone.origin == "huggingface:owner/tiny"
    assert backbone.preprocess.mean == (0.1, 0.2, 0.3)
    with torch.inference_mode():
        texts = model.encode_text(open_clip.get_tokenizer("tiny")(TEXTS)).numpy()
    np.testing.assert_allclose(backbone.embed_text(TEXTS), texts, rtol=1e-4, atol=1e-5)


def test_a_missing_hub_fails_soon_and_names_the_file(no_network):
    began = time.process_time()
    with pytest.raises(
        WeightsError, match=r"open_clip:ViT-B-32.*can't be fetched.*open_clip_model\.safetensors.*weights="
    ):
        made("ViT-B-32", weights="default")
    assert time.process_time() - began < 5


def test_a_tokenizer_of_transformers_is_asked_for_when_texts_come(no_network, monkeypatch):
    backbone = made("tiny-hub")
    assert backbone.embed(PHOTOS).shape == (5, 24)
    find = ours.importlib.util.find_spec
    monkeypatch.setattr(
        ours.importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name)
    )
    with pytest.raises(MissingPackageError, match=r"owner/words.*pip install transformers"):
        backbone.embed_text(TEXTS)
    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(
        WeightsError, match=r"owner/words, and they can't be fetched.*hf download owner/words"
    ):
        backbone.embed_text(TEXTS)


def test_a_tokenizer_that_was_fetched_is_read_without_a_network(no_network, monkeypatch):
    asked = []

    def read(source, **options):
        asked.append((source, options))
        return tokenizer.SimpleTokenizer()

    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/somewhere")
    monkeypatch.setattr(tokenizer, "HFTokenizer", read)
    assert made("tiny-hub").embed_text(TEXTS).shape == (4, 24)
    assert asked == [
        ("owner/words", {"context_length": 77, "tokenizer_mode": None, "local_files_only": True})
    ]


def test_without_the_package_the_name_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def lacking(name, *rest):
        if name.partition(".")[0] == "open_clip":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    assert fs.list_backbones("open_clip:*") == []
    with pytest.raises(MissingPackageError, match="pip install open_clip_torch"):
        made()


def test_the_programs_log_stays_as_it_was(monkeypatch):
    before = list(logging.getLogger().handlers)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    made("ViT-S-32-alt").embed_text("a dress")
    assert logging.getLogger().handlers == []
    monkeypatch.setattr(logging.getLogger(), "handlers", before)


def test_open_clip_is_imported_by_its_names_alone():
    code = "import sys, fashionsearch as fs; fs.create_backbone('cnn', weights=None); print('open_clip' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
