"""What lies beside an exported model: `model.json` for programs, `use.py` and `README.md` for people."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from fashionsearch import __version__
from fashionsearch.backbones import Backbone
from fashionsearch.exporting import folder, graphs
from fashionsearch.images.preprocess import Preprocess
from fashionsearch.tagging.classifier import Classifier

FORMAT_VERSION = 1

_BEFORE = [
    "turn the photo as its EXIF orientation says",
    "16 bits a channel: divide by 257 and round",
    "transparency: lay it on white",
    "convert to RGB",
]
_RESIZING = {
    "squash": "resize to (height, width), not keeping proportions",
    "pad": "resize to fit into (height, width), keeping proportions, and pad with white on both sides",
    "crop": "resize to cover (height, width), keeping proportions, and cut its middle out",
}


def model_card(backbone: Backbone, classifier: Classifier | None, format: str) -> dict[str, Any]:
    """Return the content of `model.json`: all that must be known to use the model."""
    preprocess = backbone.preprocess
    height, width = preprocess.image_size
    any_size = graphs.resizes(preprocess)
    outputs = [{"name": "embeddings", "shape": ["n", backbone.dim], "dtype": "float32"}]
    model = folder.ONNX if format == "onnx" else folder.OPENVINO
    packages = ["torch", "pillow", _RUNTIMES[model]["package"]]
    if classifier is not None:
        outputs.append(
            {"name": "probabilities", "shape": ["n", len(classifier.classes_)], "dtype": "float32"}
        )
    return {
        "format": folder.KIND,
        "format_version": FORMAT_VERSION,
        "model": model,
        "inputs": [
            {
                "name": "pixels",
                "shape": ["n", "height", "width", 3] if any_size else ["n", height, width, 3],
                "dtype": "uint8",
                "channels": "RGB",
            }
        ],
        "outputs": outputs,
        "classes": None if classifier is None else classifier.classes_.tolist(),
        "preprocess": {
            **preprocess.to_dict(),
            "before_the_model": [*_BEFORE, *([] if any_size else [_RESIZING[preprocess.resize]])],
            "in_the_model": [
                *([_RESIZING[preprocess.resize]] if any_size else []),
                "divide by 255",
                "subtract mean and divide by std, channel by channel",
            ],
        },
        "backbone": {
            "name": backbone.name,
            "weights": backbone.origin,
            "weights_sha256": backbone.weights_hash,
            "fingerprint": backbone.fingerprint,
        },
        "versions": {"fashionsearch": __version__, **{name: version(name) for name in packages}},
    }


def write(about: dict[str, Any], path: Path) -> None:
    """Write the three files into an export's folder."""
    (path / folder.ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
    preprocess = Preprocess.from_dict(about["preprocess"])
    (path / folder.SCRIPT).write_text(_script(about, preprocess), encoding="utf-8")
    (path / folder.README).write_text(_readme(about, preprocess), encoding="utf-8")


_RUNTIMES = {
    folder.ONNX: {
        "package": "onnxruntime",
        "imports": """\
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime looks when it is imported
import onnxruntime""",
        "opening": """\
SESSION = onnxruntime.InferenceSession(FOLDER / MODEL["model"], providers=["CPUExecutionProvider"])""",
        "running": """\
    return dict(zip(OUTPUTS, SESSION.run(OUTPUTS, {"pixels": pixels})))""",
    },
    folder.OPENVINO: {
        "package": "openvino",
        "imports": """\
import openvino""",
        "opening": """\
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # left alone it is bf16 where the CPU has it
COMPILED = openvino.Core().compile_model(FOLDER / MODEL["model"], "CPU", FLOAT32)""",
        "running": """\
    results = COMPILED({"pixels": pixels})
    return {name: results[name] for name in OUTPUTS}""",
    },
}

_RESIZING_LINES = {
    "squash": "image.resize($size, $filter)",
    "pad": 'ImageOps.pad(image, $size, $filter, color="white")',
    "crop": "ImageOps.fit(image, $size, $filter)",
}

_PRINTING = {
    False: """\
        print(f"{path}: an embedding of length {result['embeddings'].shape[1]}")""",
    True: """\
        best = result["probabilities"][0].argmax()
        print(f"{path}: {MODEL['classes'][best]}, {result['probabilities'][0, best]:.4f}")""",
}

_SCRIPT = """\
\"\"\"Runs the model of this folder: python use.py photo.jpg\"\"\"

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

$imports

FOLDER = Path(__file__).resolve().parent


def stop(kind, error, trace):
    \"\"\"End the program with one line in place of a traceback.\"\"\"
    reason = (str(error).strip() or kind.__name__).splitlines()[0]
    print(f"use.py: {kind.__name__}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.excepthook = stop
MODEL = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
OUTPUTS = [output["name"] for output in MODEL["outputs"]]
if OUTPUTS != $names or MODEL["model"] != "$model" or len(MODEL["classes"] or []) != $classes:
    raise ValueError("model.json is damaged: it tells of another model; export the model again")
$opening


def read(path):
    \"\"\"Return a photo as (1, height, width, 3) uint8: upright, in RGB, transparency laid on white.\"\"\"
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB")$resizing
    return np.asarray(image)[np.newaxis]


def run(pixels):
    \"\"\"Map (n, height, width, 3) uint8 to arrays by name: $outputs.\"\"\"
$running


if __name__ == "__main__":
    for path in sys.argv[1:] or sys.exit(__doc__):
        try:
            pixels = read(path)
        except Exception as error:
            raise ValueError(f"{path} can't be read: {error}") from error
        result = run(pixels)
$printing
"""

_README = """\
# $title

Exported by fashionsearch $version. It runs without it:

```bash
pip install numpy pillow $package
python use.py photo.jpg
```

`use.py` is short: copy from it what your program needs. `model.json` says the same for programs.

## The model, `$model`

| | name | shape | type |
| --- | --- | --- | --- |
$rows

$pixels Scaling to [0, 1] and normalisation are part of the model.
Embeddings are compared by their cosine.

## Before the model

$before
"""


def _script(about: dict[str, Any], preprocess: Preprocess) -> str:
    runtime = _RUNTIMES[about["model"]]
    resizing = ""
    if not graphs.resizes(preprocess):
        height, width = preprocess.image_size
        line = Template(_RESIZING_LINES[preprocess.resize]).substitute(
            size=f"({width}, {height})", filter=f"Image.Resampling.{preprocess.interpolation.upper()}"
        )
        resizing = f"\n    image = {line}"
    script = Template(_SCRIPT).substitute(
        **{name: runtime[name] for name in ("imports", "opening", "running")},
        resizing=resizing,
        outputs=" and ".join(output["name"] for output in about["outputs"]),
        printing=_PRINTING[about["classes"] is not None],
        names=json.dumps([output["name"] for output in about["outputs"]]),
        model=about["model"],
        classes=len(about["classes"] or []),
    )
    return script if "os.environ" in script else script.replace("import os\n", "")


def _readme(about: dict[str, Any], preprocess: Preprocess) -> str:
    height, width = preprocess.image_size
    ways = [("input", about["inputs"]), ("output", about["outputs"])]
    rows = [
        f"| {way} | `{each['name']}` | ({', '.join(str(size) for size in each['shape'])}) | {each['dtype']} |"
        for way, listed in ways
        for each in listed
    ]
    pixels = f"Photos are {height} × {width} pixels, RGB."
    if graphs.resizes(preprocess):
        pixels = (
            f"Photos are RGB, of any size that is the same in a batch; the model makes them {height} × {width}. "
            "Make very large ones smaller before: decoding libraries do it faster."
        )
    tags = "" if about["classes"] is None else f" and {len(about['classes'])} classes"
    return Template(_README).substitute(
        title=f"Embeddings{tags} by {about['backbone']['name']}",
        version=about["versions"]["fashionsearch"],
        package=_RUNTIMES[about["model"]]["package"],
        model=about["model"],
        rows="\n".join(rows),
        pixels=pixels,
        before="\n".join(f"- {step}" for step in about["preprocess"]["before_the_model"]),
    )
