"""Plug-ins: packages that offer backbones by an entry point, good and bad ones, in processes of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent
CONTRACT = Path(__file__).parents[1] / "backbones"


def run(code, site, folder):
    """Run code in a fresh interpreter that sees the packages of `site`, and return what it printed."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(CONTRACT), *filter(None, inherited)]),
        "FASHIONSEARCH_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=environment, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the example plug-in as pip does."""
    pytest.importorskip(
        "hatchling", reason="the example plug-in is built with hatchling: pip install hatchling"
    )
    pytest.importorskip("pip", reason="the example plug-in is installed with pip")
    site = tmp_path_factory.mktemp("site")
    arguments = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *arguments, "--target", site, PLUGIN],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return site


def offer(site, name, value, code=None):
    """Write by hand what installing a package with one entry point leaves."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fashionsearch.backbones]\n{name} = {value}\n")
    if code is not None:
        (site / f"{value.partition(':')[0]}.py").write_text(textwrap.dedent(code))


def test_an_installed_plugin_is_a_backbone_like_others(installed, tmp_path):
    run(
        """
        import fashionsearch_tartan  # first by hand: the entry point must not clash with it
        import numpy as np
        import fashionsearch as fs
        from test_backbones import check_backbone

        assert "tartan" in fs.list_backbones()
        assert fs.list_backbones("tart*") == ["tartan"]
        assert fs.create_backbone("tartan", weights=None).module.__class__ is fashionsearch_tartan.Tartan
        check_backbone(fs.create_backbone("tartan", weights=None, random_state=0, runtime="torch"))
        backbone = fs.create_backbone("tartan", runtime="torch")
        check_backbone(backbone)
        assert backbone.dim == 10
        assert backbone.origin == "plug-in:fashionsearch_tartan.tartan"
        assert backbone.preprocess == fs.Preprocess((16, 16), (0.5,) * 3, (0.25,) * 3, "bilinear")
        assert np.abs(backbone.embed(np.full((16, 16, 3), 255, np.uint8)) - 2).max() < 1e-6
        backbone.save("saved")
        """,
        installed,
        tmp_path,
    )
    run(
        """
        import numpy as np
        import fashionsearch as fs
        backbone = fs.Backbone.load("saved")  # by a program that names no plug-in
        assert np.abs(backbone.embed(np.full((16, 16, 3), 255, np.uint8)) - 2).max() < 1e-6
        """,
        installed,
        tmp_path,
    )


GOOD = """
    import fashionsearch as fs, torch

    @fs.register_backbone("good", image_size=8)
    def make(weights):
        return torch.nn.Flatten()
"""
MARK = """
    import fashionsearch as fs, pathlib, torch
    pathlib.Path("mark").touch()
    make = fs.register_backbone("leaves_a_mark")(lambda weights: torch.nn.Flatten())
"""
BROKEN = {
    "a_missing": ("not_there:make", None, "ModuleNotFoundError"),
    "b_raises": ("b_raises:make", "raise KeyError('inside')", "KeyError('inside')"),
    "c_syntax": ("c_syntax:make", "def (", "SyntaxError"),
    "d_nameless": ("d_nameless:make", "x = 1", "AttributeError"),
    "e_undecorated": (
        "e_undecorated:make",
        "def make(weights): ...",
        "it registers no backbone of this name; decorate its function with @register_backbone('e_undecorated')",
    ),
    "f_clash": (
        "f_clash:make",
        "import fashionsearch as fs\n@fs.register_backbone('vgg19')\ndef make(weights): ...",
        "a backbone called 'vgg19' exists already",
    ),
    "g_imports": ("g_imports:make", "import torch_of_another_version", "torch_of_another_version"),
}


def test_broken_plugins_are_named_and_take_no_other_with_them(tmp_path):
    site = tmp_path / "site"
    for name, (value, code, _) in BROKEN.items():
        offer(site, name, value, code)
    offer(site, "good", "good_plugin:make", GOOD)
    offer(site, "leaves_a_mark", "leaves_a_mark:make", MARK)
    printed = run(
        """
        import pathlib, warnings
        import fashionsearch as fs

        assert fs.create_backbone("cnn", weights=None).dim == 256
        assert fs.create_backbone("timm:mobilenetv3_small_100", weights=None, image_size=32).dim == 1024
        assert not pathlib.Path("mark").exists(), "a built-in name is found without reading the plug-ins"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            names = fs.list_backbones()
            again = fs.list_backbones()
        assert pathlib.Path("mark").exists()
        assert names == again == sorted(
            ["cnn", "cnn_grid", "efficientnet_lite0", "fashion", "good", "leaves_a_mark", "resnet50", "vgg19", "vgg19_bn"]
        ), names
        assert all(warning.category is fs.errors.DataWarning for warning in caught)
        assert fs.create_backbone("good", weights=None).dim == 192
        assert fs.create_backbone("vgg19", weights=None, image_size=32).dim == 512
        print(*(str(warning.message).replace(chr(10), " ") for warning in caught), sep=chr(10))
        """,
        site,
        tmp_path,
    )
    lines = printed.splitlines()
    assert len(lines) == len(BROKEN)
    for name, (value, _, reason) in BROKEN.items():
        assert any(
            f"{value!r}, which offers backbone {name!r}" in line and reason in line for line in lines
        ), name
