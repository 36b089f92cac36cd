"""Which layers learn, at what rate, on photos of what size."""

import numpy as np
import pytest
import torch

import fashionsearch as fs
from fashionsearch.tagging.learner import tagging_learner
from fashionsearch.training.objectives import is_normalised, last_layers, parameter_groups, unfreeze
from fashionsearch.training.schedules import WarmCosine, epoch_sizes


def learner(name="cnn", size=64, **options):
    backbone = fs.create_backbone(name, weights=None, image_size=size, random_state=0)
    filled = fs.FineTuning(**options).recipe("weights")
    return tagging_learner(backbone, filled, [np.ones(3, np.float32)]), filled


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("resnet50", "layer4"),
        ("efficientnet_lite0", "blocks.6"),
        ("vgg19_bn", "features.49"),
        ("timm:vit_tiny_patch16_224", "blocks.11"),
        ("timm:mobilenetv3_small_100", "blocks.5"),
    ],
)
def test_the_last_layers_are_the_last(name, inside):
    module = fs.create_backbone(name, weights=None, image_size=64).module
    chosen = last_layers(module, (2, 3, 64, 64))
    names = {layer: path for path, layer in module.named_modules()}
    paths = [names[layer] for layer in chosen]
    assert any(path.startswith(inside) for path in paths)
    everything = sum(parameter.numel() for parameter in module.parameters())
    own = [parameter for layer in chosen for parameter in layer.parameters(recurse=False)]
    share = sum(parameter.numel() for parameter in own) / everything
    assert 0.1 < share < 0.95
    first = next(path for path, layer in module.named_modules() if isinstance(layer, torch.nn.Conv2d))
    assert first not in paths


@pytest.mark.parametrize("unfreeze", ["head", "last", "upper", "all"])
def test_what_is_frozen_stays_still(unfreeze):
    model, options = learner(unfreeze=unfreeze)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = torch.optim.SGD(parameter_groups(model, options), lr=0.1)
    model.train()
    loss, _ = model.training_loss(torch.rand(4, 3, 64, 64), torch.tensor([[0], [1], [2], [0]]))
    loss.backward()
    optimiser.step()
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    below = {name for name in moved if name.startswith("network.module")}
    assert {"objective.heads.0.weight", "objective.heads.0.bias"} <= moved
    if unfreeze == "head":
        assert not below
    if unfreeze == "last":
        assert below
        assert not any(name.startswith("network.module.0.") for name in below)
    if unfreeze == "all":
        assert "network.module.0.weight" in below


def test_groups_have_their_rates():
    model, options = learner(learning_rate=0.1, backbone_learning_rate=0.01, weight_decay=0.5)
    groups = parameter_groups(model, options)
    assert sorted((group["lr"], group["weight_decay"]) for group in groups) == [
        (0.01, 0.0),
        (0.01, 0.5),
        (0.1, 0.0),
        (0.1, 0.5),
    ]
    count = sum(parameter.numel() for group in groups for parameter in group["params"])
    assert count == sum(parameter.numel() for parameter in model.parameters())


def test_normalisation_is_seen():
    assert is_normalised(fs.create_backbone("vgg19_bn", weights=None, image_size=32).module)
    assert is_normalised(fs.create_backbone("timm:vit_tiny_patch16_224", weights=None, image_size=32).module)
    assert not is_normalised(fs.create_backbone("vgg19", weights=None, image_size=32).module)


def test_sizes_grow_to_the_full_one():
    options = fs.FineTuning(epochs=10, progressive_resizing=True)
    cnn = fs.create_backbone("cnn", weights=None, image_size=64).module
    sizes = epoch_sizes(cnn, (64, 64), options)
    assert sizes[0] == (32, 32)
    assert sizes[6:] == [(64, 64)] * 4
    assert sizes == sorted(sizes)
    assert epoch_sizes(cnn, (64, 64), fs.FineTuning(epochs=3, progressive_resizing=False)) == [(64, 64)] * 3
    assert epoch_sizes(cnn, (80, 60), options)[-1] == (80, 60)
    transformer = fs.create_backbone("timm:vit_tiny_patch16_224", weights=None, image_size=64).module
    assert epoch_sizes(transformer, (64, 64), options) == [(64, 64)] * 10


def test_the_rate_rises_and_falls():
    factor = WarmCosine(10, 100)
    shares = [factor(step) for step in range(100)]
    assert shares[:11] == sorted(shares[:11])
    assert max(shares) == shares[10] == 1
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[-1] < 0.01


def test_blended_labels_are_weighed_as_plain_ones():
    backbone = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0)
    losses = []
    for weight in (1.0, 100.0):
        torch.manual_seed(0)
        options = fs.FineTuning(mixup=0.4, dropout=0).recipe("scratch")
        model = tagging_learner(backbone, options, [np.full(3, weight, np.float32)])
        labels = torch.tensor([0, 1, 2, 0, 1, 2])[:, None]
        loss, _ = model.training_loss(torch.rand(6, 3, 32, 32), labels)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_frozen_network_drops_nothing():
    model, _ = learner("torchvision:efficientnet_b0", unfreeze="head")
    model.train()
    photos = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.network.embed(photos), model.network.embed(photos))
    assert model.objective.dropout.training


def test_all_layers_learn_again_after_a_training_of_the_head():
    backbone = fs.create_backbone("cnn", weights=None, image_size=32, random_state=0).module
    unfreeze(backbone, "head", (2, 3, 32, 32))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    unfreeze(backbone, "all", (2, 3, 32, 32))
    assert all(parameter.requires_grad for parameter in backbone.parameters())
