"""Weights: read from files without unpickling code, fitted to a network by name, and known by their hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence

import safetensors
import safetensors.torch
import torch
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones.embedder import Projection
from fashionsearch.files import as_path
from fashionsearch.hub import check_reachable

# torchvision's DenseNet files carry the module names of its first releases.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")
_WRAPPERS = ("state_dict", "model", "state_dict_ema")


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read tensors by name from a `.safetensors` file, or from a `.pth`/`.pt`/`.bin` by torch's weights-only loader.

    Raises:
        WeightsError: if the file is missing, damaged, of another kind, or holds more than tensors.
    """
    if not isinstance(path, str | os.PathLike):
        raise errors.WeightsError(
            f"weights={path!r} is no path; give a .safetensors or .pth file, 'default' or None"
        )
    file = as_path(path)
    if file.is_dir():
        raise errors.WeightsError(
            f"weights={os.fspath(path)!r} is a folder; give the .safetensors or .pth file in it, or open what "
            "Backbone.save wrote with Backbone.load"
        )
    if not file.is_file():
        raise errors.WeightsError(
            f"weights={os.fspath(path)!r}: there is no such file; give a .safetensors or .pth file, 'default' or None"
        )
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    # A damaged file or a pickle with code in it raises many kinds of errors.
    except Exception as error:
        raise errors.WeightsError(
            f"{file} can't be read as weights ({str(error).splitlines()[0][:200] if str(error) else type(error).__name__}); "
            "give a .safetensors file, or a .pth that holds tensors only"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise errors.WeightsError(f"{file} holds no tensors by name; save module.state_dict() to it")
    return dict(content)


def fit_weights(module: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Copy tensors into a network by name; what only a classification head needs may be left over.

    Raises:
        WeightsError: if one is missing, of another shape, NaN or infinite; the network is unchanged.
    """
    own = module.state_dict()
    renamed = {
        _OLD_DENSENET.sub(r"\1\2", name.removeprefix("module.")): tensor for name, tensor in tensors.items()
    }
    missing = [name for name in own if name not in renamed and not name.endswith("num_batches_tracked")]
    if missing:
        raise errors.WeightsError(
            f"{origin} doesn't fit this network: it lacks {missing[0]!r}"
            + (f" and {len(missing) - 1} more of {len(own)} tensors" if len(missing) > 1 else "")
            + "; give weights of the same architecture"
        )
    for name, tensor in own.items():
        if name in renamed and renamed[name].shape != tensor.shape:
            raise errors.WeightsError(
                f"{origin} doesn't fit this network: {name!r} has shape {tuple(renamed[name].shape)}, and "
                f"{tuple(tensor.shape)} is needed; give weights of the same architecture and image size"
            )
    _check_finite({name: renamed[name] for name in _learned(module) if name in renamed}, origin)
    module.load_state_dict({name: renamed.get(name, tensor) for name, tensor in own.items()})


def unfolded(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors with those of a network's normalisations that were left out when these were folded into other layers.

    They are those of a normalisation that changes nothing but its bias.
    """
    rest: dict[str, torch.Tensor] = {}
    for path, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            ones = torch.ones(layer.num_features)
            rest |= {
                f"{path}.weight": ones,
                f"{path}.running_mean": torch.zeros(layer.num_features),
                f"{path}.running_var": ones - layer.eps,
            }
        if isinstance(layer, Projection):
            rest |= {
                f"{path}.mean": torch.zeros_like(layer.mean),
                f"{path}.scale": torch.ones_like(layer.scale),
            }
    return {**rest, **tensors}


def fit_in_order(module: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Copy tensors into a network whose names differ, but whose order is the same.

    Raises:
        WeightsError: if the number of tensors or a shape differs.
    """
    own = module.state_dict()
    if len(own) != len(tensors):
        raise errors.WeightsError(f"{origin} holds {len(tensors)} tensors, and this network has {len(own)}")
    fit_weights(module, dict(zip(own, tensors.values(), strict=True)), origin)


def check_finite(module: nn.Module, origin: str) -> None:
    """Raise WeightsError, which names the layer, if a weight of a network is NaN or infinite."""
    own = module.state_dict()
    _check_finite({name: own[name] for name in _learned(module) if name in own}, origin)


def _learned(module: nn.Module) -> list[str]:
    """Return the names of what a network has learned; its other buffers may hold infinity, as masks do."""
    statistics = [
        name for name, _ in module.named_buffers() if name.endswith(("running_mean", "running_var"))
    ]
    return [*(name for name, _ in module.named_parameters()), *statistics]


def _check_finite(tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    for name, tensor in tensors.items():
        # A sum is quick, and is not finite where an addend isn't; the reverse may not hold.
        if not tensor.detach().sum().isfinite() and not tensor.detach().isfinite().all():
            raise errors.WeightsError(
                f"{origin}: the weights {name!r} hold NaN or infinity, so no embedding would mean anything; give "
                "others, or train again with a lower learning rate"
            )


def weights_hash(module: nn.Module) -> str:
    """Return the SHA-256 of a network's tensors, their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}|".encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy() if tensor.numel() else b""
        )
    return digest.hexdigest()


def fetch_from_hugging_face(repository: str, name: str, files: Sequence[str] = ("model.safetensors",)) -> str:
    """Return the path of a repository's weights, from the local cache or the network.

    Args:
        repository: its owner and name.
        name: of the backbone, for the message.
        files: what the weights may be called there; the first that is there is taken.

    Raises:
        WeightsError: if it can't be fetched; the message says which file to get and how to pass it.
    """
    import huggingface_hub
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import EntryNotFoundError

    for file in files:
        kept = huggingface_hub.try_to_load_from_cache(repository, file)
        if isinstance(kept, str):
            return kept
    try:
        check_reachable(ENDPOINT)
        for file in files[:-1]:
            with contextlib.suppress(EntryNotFoundError):
                return huggingface_hub.hf_hub_download(repository, file)
        return huggingface_hub.hf_hub_download(repository, files[-1])
    # The client raises its own, its HTTP library's and the system's errors.
    except Exception as error:
        wanted = f"{' or '.join(files)} of the Hugging Face repository {repository}"
        raise unreachable(name, wanted, error) from error


def unreachable(name: str, file: str, error: Exception) -> errors.WeightsError:
    """Return the error for weights that can't be fetched."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return errors.WeightsError(
        f"the weights of {name!r} can't be fetched ({reason}). Where there is a network, get {file}, and pass it as "
        f"weights='path/to/the-file'; weights=None starts untrained, and 'efficientnet_lite0' needs no network"
    )
