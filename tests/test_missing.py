"""What is said where a package isn't installed: one error for the library, and none of its business elsewhere."""

import subprocess
import sys

import pytest

from fashionsearch import missing

# Stands for an installation without them: finders of installed packages no longer find these.
HIDDEN = """
import importlib.util, sys
names = {"torch", "torchvision", "timm", "lightning", "onnx", "onnxscript", "sklearn", "scipy", "matplotlib", "pandas"}
class Hides:
    def __init__(self, finder): self._finder = finder
    def __getattr__(self, name): return getattr(self._finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in names else self._finder.find_spec(name, path, target)
sys.meta_path[:] = map(Hides, sys.meta_path)
import numpy as np
import fashionsearch as fs
photos = np.random.default_rng(0).integers(0, 256, (4, 40, 30, 3), dtype=np.uint8)
"""


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + program, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "fs.Classifier('fashion').fit(photos, [0, 0, 1, 1])",
            "Classifier.fit needs torch, .*pip install torch",
        ),
        ("fs.create_backbone('efficientnet_lite0')", "create_backbone needs torch"),
        ("fs.create_backbone('fashion', runtime='torch')", "create_backbone needs torch"),
        (
            "fs.Tagger.from_pretrained('fashion').add_class('gender', 'x', photos)",
            "Tagger.add_class needs torch",
        ),
        ("fs.export('fashion', 'nowhere')", "fashionsearch.exporting needs onnx"),
        ("fs.datasets.make_catalogue(9).split()", "Table.split needs sklearn, .*pip install scikit-learn"),
        ("fs.plots.confusion(None)", "confusion needs matplotlib"),
    ],
)
def test_the_library_names_what_it_needs_and_who_asked(call, said):
    import re

    program = f"try: {call}\nexcept fs.errors.MissingPackageError as error: print(error.name, error)"
    (line,) = run(program)
    assert re.search(said, line)


def test_others_find_nothing_as_ever():
    program = """
print(importlib.util.find_spec("torch"))
try: import torch
except ModuleNotFoundError as error: print(error)
try: fs.Classifier().predict(photos)
except fs.errors.NotFittedError as error: print("not fitted")
"""
    assert run(program) == ["None", "No module named 'torch'", "not fitted"]


def test_the_finder_stands_last_and_once():
    missing.install()
    assert [type(finder) for finder in sys.meta_path].count(missing.MissingPackages) == 1
