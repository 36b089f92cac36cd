"""CLIP and its relatives, by OpenCLIP and the prefix `open_clip:`: they embed photos and texts into one space."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any, TypeAlias

import huggingface_hub
import torch
from huggingface_hub.constants import ENDPOINT
from timm.layers import resample_abs_pos_embed
from torch import nn

from fashionsearch import errors
from fashionsearch.backbones.builtin import Architecture
from fashionsearch.backbones.weights import (
    fetch_from_hugging_face,
    fit_weights,
    read_weights,
)
from fashionsearch.hub import check_reachable
from fashionsearch.images.preprocess import Preprocess

Tensors: TypeAlias = dict[str, torch.Tensor]

# Of an architecture's published weights, those whose name begins with the earliest of these are the default.
_PREFERRED = ("laion2b_s", "laion2b", "datacomp_xl", "dfn", "webli", "openai")
_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_SIDE, _CONTEXT = 224, 77  # where a configuration doesn't say


class OpenClip(nn.Module):
    """Both sides of a network of OpenCLIP; the backbone is the side of photos, and the other embeds texts.

    Args:
        name: of its architecture.
        model: OpenCLIP's network.
    """

    def __init__(self, name: str, model: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, H, W) to (n, dim)."""
        embeddings: torch.Tensor = self.model.encode_image(images)  # type: ignore[operator]
        return embeddings

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Map n texts to (n, dim)."""
        tokens = _tokenizer(self.name)(list(texts))
        device = next(self.model.parameters()).device
        embeddings: torch.Tensor = self.model.encode_text(tokens.to(device))  # type: ignore[operator]
        return embeddings


def names() -> list[str]:
    """Return the architectures of OpenCLIP; none if it isn't installed.

    Those are left out that can't be built without a file from the Hugging Face hub, or that write texts too.
    """
    try:
        library = _library("")
    except errors.MissingPackageError:
        return []
    return [name for name in library.list_models() if _is_complete(library.get_model_config(name))]


def architecture(name: str) -> Architecture | None:
    """Return OpenCLIP's architecture of a name, or None if it has none; mean and std are those of its default weights.

    Raises:
        MissingPackageError: if OpenCLIP isn't installed.
    """
    library = _library(name)
    if name not in library.list_models() or not _is_complete(config := library.get_model_config(name)):
        return None
    published = _default_weights(name, quick_gelu=config.get("quick_gelu", False))
    size = config["vision_cfg"].get("image_size", _SIDE)
    default = Preprocess(
        (size, size) if isinstance(size, int) else tuple(size),
        mean=published.get("mean", library.OPENAI_DATASET_MEAN),
        std=published.get("std", library.OPENAI_DATASET_STD),
        interpolation=published.get("interpolation", "bicubic"),
    )
    load = functools.partial(_load_default, name, published["hf_hub"]) if published else None
    return Architecture(default, functools.partial(_build, name, default), load, _as_here)


def _library(name: str) -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise errors.MissingPackageError(
            f"'open_clip:{name}' needs a package that isn't installed: pip install open_clip_torch"
        ) from error
    return open_clip


def _is_complete(config: dict[str, Any]) -> bool:
    return "hf_model_name" not in config["text_cfg"] and "multimodal_cfg" not in config


def _default_weights(name: str, *, quick_gelu: bool) -> dict[str, Any]:
    """Return what is known of an architecture's default weights, nothing if none on the hub fit its activations."""
    library = _library(name)
    published = {
        tag: library.get_pretrained_cfg(name, tag) for tag in library.list_pretrained_tags_by_model(name)
    }
    fitting = [
        tag
        for tag, about in published.items()
        if about["hf_hub"] and about.get("quick_gelu", False) == quick_gelu
    ]

    def rank(tag: str) -> int:
        return next(
            (place for place, start in enumerate(_PREFERRED) if tag.startswith(start)), len(_PREFERRED)
        )

    return published[min(fitting, key=rank)] if fitting else {}


def _build(name: str, default: Preprocess, preprocess: Preprocess) -> nn.Module:
    library = _library(name)
    config = library.get_model_config(name)
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    else:
        vision["image_size"] = preprocess.image_size
    # Not by open_clip.create_model, which gives the program's root logger a handler.
    model = (library.CustomTextCLIP if config.pop("custom_text", False) else library.CLIP)(**config)
    if "timm_model_name" in vision and preprocess.image_size != default.image_size:
        model.visual.set_input_size(preprocess.image_size)
    return OpenClip(name, model)


def _load_default(name: str, place: str, module: nn.Module) -> str:
    # "owner/repository/" or "owner/repository/file", as OpenCLIP's table has it.
    owner, repository, file = place.split("/")
    repository = f"{owner}/{repository}"
    path = fetch_from_hugging_face(repository, f"open_clip:{name}", (file,) if file else _FILES)
    fit_weights(module, _as_here(module, read_weights(path)), path)
    return f"huggingface:{repository}"


def _as_here(module: nn.Module, tensors: Tensors) -> Tensors:
    """Return the tensors of a published file by their names in `OpenClip`, for its image size.

    Raises:
        WeightsError: if they are of another kind of network.
    """
    try:
        return _renamed(module.model, tensors)
    # Conversions take much for granted of what they are given.
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise errors.WeightsError(
            f"the file's tensors are not those of 'open_clip:{module.name}' ({error!r:.200}); give weights of the same "
            "architecture"
        ) from error


def _renamed(model: Any, tensors: Tensors) -> Tensors:
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if all(name.startswith("model.") for name in tensors):  # as `Backbone.save` writes them
        return tensors
    own = model.state_dict()
    tensors = convert_state_dict(model, tensors)
    if "positional_embedding" not in own:
        tensors = convert_to_custom_text_state_dict(tensors)
    for name in ("logit_scale", "logit_bias"):  # of the loss alone
        if name in own:
            tensors[name] = own[name]
    places = tensors.get("visual.positional_embedding")
    if places is not None and "visual.positional_embedding" in own and places.ndim == 2:
        grid = list(model.visual.grid_size)
        tensors["visual.positional_embedding"] = resample_abs_pos_embed(places[None], grid)[0]
    return {f"model.{name}": tensor for name, tensor in tensors.items()}


@functools.lru_cache(maxsize=8)
def _tokenizer(name: str) -> Any:
    """Return what turns texts into (n, context) integers.

    Raises:
        MissingPackageError: if it needs transformers, which isn't installed.
        WeightsError: if its files can't be fetched.
    """
    from open_clip import tokenizer

    text = _library(name).get_model_config(name)["text_cfg"]
    context, options = text.get("context_length", _CONTEXT), text.get("tokenizer_kwargs", {})
    source = text.get("hf_tokenizer_name")
    if not source:
        return tokenizer.SimpleTokenizer(context_length=context, **options)
    told = (
        f"texts are read for 'open_clip:{name}' by a tokenizer of transformers, whose files are in the Hugging Face "
        f"repository {source}"
    )
    others = "; photos need neither, and CLIP's own architectures, such as 'open_clip:ViT-B-32', read texts without them"
    if importlib.util.find_spec("transformers") is None:
        raise errors.MissingPackageError(
            f"{told}, and that package isn't installed: pip install transformers{others}"
        )
    kept = isinstance(huggingface_hub.try_to_load_from_cache(source, "tokenizer_config.json"), str)
    try:
        if not kept:
            check_reachable(ENDPOINT)
        return tokenizer.HFTokenizer(
            source,
            context_length=context,
            tokenizer_mode=text.get("tokenizer_mode"),
            local_files_only=kept,
            **options,
        )
    # transformers, its HTTP library and the system raise errors of their own.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise errors.WeightsError(
            f"{told}, and they can't be fetched ({reason}). Where there is a network, run `hf download {source}`, and "
            f"copy what it adds to the cache of the Hugging Face hub{others}"
        ) from error
