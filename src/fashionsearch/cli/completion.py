"""`fashionsearch completion`: a script by which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer

_CHOICES = {  # what the library checks, and names better than the parser could
    "metric": ("cosine", "euclidean"),
    "engine": ("hnsw", "faiss", "exact", "qdrant", "pgvector"),
    "format": ("onnx", "openvino"),
    "augment": ("none", "flips", "light", "strong", "wild"),
    "unfreeze": ("head", "last", "upper", "all"),
}
_PHOTOS_OR_IDS = ("photos", "like", "unlike", "encoder")  # text, which may be a path


def completion(options: argparse.Namespace) -> Answer:
    """Print the script for a shell."""
    try:
        import shtab
    except ImportError as error:
        raise errors.MissingPackageError(
            "the completion of a shell is written by shtab, which isn't installed: pip install shtab"
        ) from error
    from fashionsearch.cli.parser import make_parser

    parser = make_parser()
    _name_values(parser, shtab.FILE)
    return Answer(shtab.complete(parser, shell=options.shell), {})


def _name_values(parser: argparse.ArgumentParser, file: Mapping[str, Any]) -> None:
    """Tell shtab which values are files, and which are one of a few words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _name_values(each, file)
        elif action.type is Path or action.dest in _PHOTOS_OR_IDS:
            action.complete = file  # type: ignore[attr-defined]
        elif action.dest in _CHOICES:
            action.choices = _CHOICES[action.dest]
