"""What is frozen sees each view of a photo once, and learning goes on from what it made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.tagging.objective import TaggingLearner
from fashionsearch.training import cached_views
from fashionsearch.training import prefix as prefixes
from fashionsearch.training.data import CachedDataset
from fashionsearch.training.prefix import find_prefix

TABLE = fs.datasets.make_catalogue(60, seed=0)
LABEL = "masterCategory"


def learner(name, size=64, unfreeze="last"):
    backbone = fs.create_backbone(name, weights=None, image_size=size, random_state=0, device="cpu")
    return TaggingLearner(
        backbone.module,
        backbone.preprocess,
        dim=backbone.dim,
        classes=3,
        options=fs.FineTuning(unfreeze=unfreeze).recipe("weights"),
        class_weights=np.ones(3, np.float32),
        head=None,
    ).eval()


def tagger(unfreeze="last", **options):
    training = fs.FineTuning(unfreeze=unfreeze, epochs=2, batch_size=16, **options)
    return fs.Classifier(
        "efficientnet_lite0", training=training, image_size=64, random_state=0, progress=False
    )


class Wrapped(nn.Module):
    """A network of one's own around another, which gets the photo too."""

    def __init__(self):
        super().__init__()
        self.net = fs.create_backbone("torchvision:resnet18", weights=None, image_size=64).module

    def forward(self, photos):
        return self.net(photos)


@fs.register_backbone("wrapped_for_the_prefix", image_size=64)
def wrapped(weights):
    return Wrapped()


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("efficientnet_lite0", "blocks.5.0"),
        ("resnet50", "layer4.0"),
        ("torchvision:resnet18", "layer4.0"),
        ("wrapped_for_the_prefix", "net.layer4.0"),
        ("vgg19_bn", "features.40"),
        ("timm:vit_tiny_patch16_224", "blocks.8"),
        ("timm:mobilenetv3_small_050", "blocks.4.0"),
        ("timm:convnext_atto", "stages.3.downsample.1"),
        ("timm:regnety_002", "s4.b1"),
        ("cnn", "22"),
    ],
)
def test_both_parts_make_the_whole(name, cut):
    network = learner(name).network
    prefix = find_prefix(network, (64, 64))
    names = {module: path for path, module in network.named_modules()}
    assert names[prefix._cut] == f"module.{cut}"
    photos = torch.rand(5, 3, 64, 64)
    whole = network.embed(photos)
    activations = prefix.run(photos)
    assert not activations.requires_grad
    torch.testing.assert_close(prefix.rest(activations), whole, rtol=1e-3, atol=1e-4)
    # Nothing is left behind in the network.
    torch.testing.assert_close(network.embed(photos), whole)
    assert not any("forward" in vars(module) for module in network.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50", "timm:vit_tiny_patch16_224"])
def test_gradients_are_those_of_the_whole(name):
    model, photos = learner(name), torch.rand(4, 3, 64, 64)
    prefix = find_prefix(model.network, (64, 64))
    learned = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad(model.network.embed(photos).square().sum(), learned)
    found = torch.autograd.grad(prefix.rest(prefix.run(photos)).square().sum(), learned)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()) + 1e-6)


def test_a_frozen_network_is_all_prefix():
    network = learner("cnn", unfreeze="head").network
    prefix, photos = find_prefix(network, (64, 64)), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(prefix.rest(prefix.run(photos)), network.embed(photos))


class Skipping(nn.Module):
    """What learns sees the photo itself beside the activations."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, stride=4), nn.Conv2d(8, 8, 3, stride=2)

    def forward(self, photos):
        return self.second(self.first(photos)).mean((2, 3)) + photos.mean((2, 3)).repeat(1, 3)[:, :8]


def test_what_sees_two_tensors_is_not_cut():
    model = learner("cnn")
    model.network.module = Skipping().eval()
    model.network.module.first.requires_grad_(False)
    assert find_prefix(model.network, (64, 64)) is None


class Rude(Skipping):
    """A network that says in its own way that batches differ."""

    def forward(self, photos):
        activations = self.first(photos)
        features = self.second(activations).mean((2, 3))
        if len(features) != len(photos):
            raise KeyError(len(features))
        return features


def test_a_network_that_raises_is_not_cut():
    model = learner("cnn")
    model.network.module = Rude().eval()
    model.network.module.first.requires_grad_(False)
    assert find_prefix(model.network, (64, 64)) is None


def test_a_forward_of_its_own_stays():
    model, photos = learner("resnet50"), torch.rand(2, 3, 64, 64)
    stem = model.network.module.conv1
    own = stem.forward
    stem.forward = lambda each: own(each)
    forward = stem.forward
    prefix = find_prefix(model.network, (64, 64))
    prefix.rest(prefix.run(photos))
    assert stem.forward is forward


class Shared(nn.Module):
    """One activation, as a module, runs on both sides of the cut."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, stride=4), nn.Conv2d(4, 8, 3, stride=2)
        self.act = nn.Tanh()

    def forward(self, photos):
        return self.act(self.second(self.act(self.first(photos)))).mean((2, 3))


def test_a_module_that_runs_on_both_sides_runs_after_the_cut():
    model = learner("cnn")
    model.network.module = Shared().eval()
    model.network.module.first.requires_grad_(False)
    prefix, photos = find_prefix(model.network, (64, 64)), torch.rand(3, 3, 64, 64)
    assert prefix._cut is model.network.module.second
    torch.testing.assert_close(prefix.rest(prefix.run(photos)), model.network.embed(photos))


def test_frozen_layers_see_each_view_once(monkeypatch):
    runs, drawn = [], []
    own = prefixes.FrozenPrefix.run
    monkeypatch.setattr(prefixes.FrozenPrefix, "run", lambda *a: runs.append(len(a[1])) or own(*a))
    getitems = CachedDataset.__getitems__
    monkeypatch.setattr(
        CachedDataset, "__getitems__", lambda self, keys: drawn.append(len(keys)) or getitems(self, keys)
    )
    train, held_out = TABLE[:45], TABLE[45:]
    model = tagger(cached_views=2)
    model.fit(train.images, train[LABEL], validation=(held_out.images, held_out[LABEL]))
    assert sum(runs) == 2 + 1 + 2 * 45 + 15  # two photos to try the cut with, and one to learn the size
    assert sum(drawn) == 2 * (32 + 15)  # two epochs, whose last batch isn't full


@pytest.mark.parametrize("unfreeze", ["head", "last"])
def test_one_view_without_augmentation_learns_as_the_photos_do(unfreeze):
    def fitted(views):
        model = tagger(unfreeze, cached_views=views, augment="none", dropout=0.0)
        return model.fit(TABLE.images, TABLE[LABEL])

    cached, plain = fitted(1), fitted(0)
    np.testing.assert_allclose(
        cached.history_["training_loss"], plain.history_["training_loss"], rtol=0.02, atol=0.01
    )
    np.testing.assert_allclose(
        cached.predict_proba(TABLE.images), plain.predict_proba(TABLE.images), atol=0.05
    )


def test_a_killed_run_goes_on_with_the_same_views(killer, tmp_path):
    whole = tagger().fit(TABLE.images, TABLE[LABEL])
    with pytest.raises(killer.StopError):
        tagger().fit(TABLE.images, TABLE[LABEL], checkpoints=tmp_path / "run", loggers=[killer()])
    again = tagger().fit(TABLE.images, TABLE[LABEL], checkpoints=tmp_path / "run")
    np.testing.assert_allclose(again.history_["training_loss"], whole.history_["training_loss"])
    assert again.backbone_.weights_hash == whole.backbone_.weights_hash


@pytest.mark.parametrize(
    ("options", "views"),
    [
        ({"unfreeze": "last"}, 3),
        ({"unfreeze": "last", "epochs": 2}, 2),
        ({"unfreeze": "last", "augment": "none"}, 1),
        ({"unfreeze": "head"}, 3),
        ({"unfreeze": "last", "cached_views": 0}, 0),
        ({"unfreeze": "last", "cached_views": 7}, 7),
        ({}, None),
        ({"unfreeze": "last", "mixup": 0.2}, None),
        ({"unfreeze": "last", "small_first": True}, None),
        ({"unfreeze": "last", "teacher": "a folder"}, None),
        ({"unfreeze": "last", "devices": 2}, None),
    ],
)
def test_how_many_views_are_kept(options, views):
    assert fs.FineTuning(**options).recipe("weights").cached_views == views


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "unfreeze='all'"),
        ({"unfreeze": "last", "mixup": 0.2}, "mixup=0.2"),
        ({"unfreeze": "last", "small_first": True}, "small_first=True"),
        ({"unfreeze": "last", "teacher": "a folder"}, "a teacher"),
        ({"unfreeze": "last", "nodes": 2}, "2 devices"),
    ],
)
def test_views_that_cannot_be_kept_are_refused(options, reason):
    with pytest.raises(errors.InputError, match=f"cached_views=3 .* with {reason} the network needs"):
        fs.FineTuning(cached_views=3, **options).recipe("weights")


@pytest.mark.parametrize("given", [-1, 1.5, True])
def test_a_number_of_views_that_is_none_is_refused(given):
    with pytest.raises(errors.InputError, match="cached_views"):
        fs.FineTuning(cached_views=given)


@pytest.mark.parametrize(("free", "views"), [(10**12, 60 * 3), (10**5, 0)])
def test_with_too_little_space_it_learns_from_photos(free, views, monkeypatch):
    runs = []
    own = prefixes.FrozenPrefix.run
    monkeypatch.setattr(prefixes.FrozenPrefix, "run", lambda *a: runs.append(len(a[1])) or own(*a))
    monkeypatch.setattr(cached_views.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    model = tagger(cached_views=3)
    if views:
        model.fit(TABLE.images, TABLE[LABEL])
    else:
        message = r"^no views are cached: 180 views take \d+ MB in .*, where 0 MB are free\. Every epoch runs the whole"
        with pytest.warns(errors.DataWarning, match=message):
            model.fit(TABLE.images, TABLE[LABEL])
    assert sum(runs) == 2 + 1 + views  # two photos to try the cut with, and one to learn the size


def test_a_network_that_is_not_cut_learns_from_photos(monkeypatch):
    monkeypatch.setattr(cached_views, "find_prefix", lambda *_: None)
    model = tagger()
    with pytest.warns(errors.DataWarning, match="hands on more than one tensor"):
        model.fit(TABLE.images, TABLE[LABEL])
    assert len(model.history_) == 2
