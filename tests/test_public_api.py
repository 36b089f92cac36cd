"""What the library offers, to the letter: a change here is a change for every user."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import fashionsearch as fs

PUBLIC = [
    "Audit",
    "Augmentation",
    "Autoencoder",
    "Backbone",
    "Classifier",
    "EmbeddingCache",
    "Evaluation",
    "Fidelity",
    "FineTuning",
    "History",
    "Matches",
    "MetricLearning",
    "Optimization",
    "Preprocess",
    "Tagger",
    "Tags",
    "TrainingOptions",
    "Tuning",
    "VisualIndex",
    "__version__",
    "audit",
    "check_images",
    "create_backbone",
    "datasets",
    "embed_shards",
    "errors",
    "export",
    "list_backbones",
    "lower_precision",
    "metrics",
    "optimize",
    "plots",
    "register_backbone",
    "tune",
]
MODULES = ["datasets", "errors", "metrics", "plots"]
MADE_BY_THE_LIBRARY = [
    "Audit",
    "Evaluation",
    "Matches",
    "Optimization",
    "Tags",
    "Tuning",
]  # results that nobody builds by hand
SOURCE = Path(fs.__file__).parent
STUB = ast.parse((SOURCE / "__init__.pyi").read_text(encoding="utf-8"))


def public_things():
    """Yield every public function and class, by its dotted name."""
    for name in PUBLIC:
        thing = getattr(fs, name)
        if name not in MODULES:
            yield name, thing
            continue
        for inner in getattr(thing, "__all__", None) or [inner for inner in vars(thing) if inner[0] != "_"]:
            value = getattr(thing, inner)
            if getattr(value, "__module__", "").startswith("fashionsearch") and callable(value):
                yield f"{name}.{inner}", value


def public_callables():
    """Yield every public function and method, by its dotted name."""
    for name, thing in public_things():
        if inspect.isclass(thing):
            if inspect.isfunction(thing.__init__):
                yield name, thing.__init__
            for method, value in vars(thing).items():
                function = inspect.unwrap(getattr(value, "__func__", value))
                if method[0] != "_" and inspect.isfunction(function):
                    yield f"{name}.{method}", function
        elif inspect.isfunction(thing):
            yield name, thing


def run(code, folder, **environment):
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_names_are_these():
    assert sorted(fs.__all__) == PUBLIC
    assert len(fs.__all__) == len(set(fs.__all__))
    assert {*PUBLIC} - {"__version__"} <= {*dir(fs)}


def test_every_name_can_be_had():
    for name in PUBLIC:
        assert getattr(fs, name) is not None
    for name in MODULES:
        assert getattr(fs, name) is importlib.import_module(f"fashionsearch.{name}")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        fs.nothing_like_it  # noqa: B018


def test_type_checkers_see_the_names_that_run():
    imported = [alias.name for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    listed = next(
        ast.literal_eval(node.value)
        for node in STUB.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    assert sorted([*imported, "__version__"]) == listed == PUBLIC
    for node in STUB.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(f"fashionsearch.{node.module}")
            for alias in node.names:
                assert getattr(fs, alias.name) is getattr(module, alias.name)


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert fs.__version__ == version("fashionsearch-kit")


@pytest.mark.parametrize(
    ("name", "thing"), list(public_things()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_everything_public_is_explained(name, thing):
    if name == "__version__":
        return
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing):
        for method, value in vars(thing).items():
            if method[0] != "_" and (
                callable(value) or isinstance(value, property | classmethod | staticmethod)
            ):
                assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"
    if not name.startswith("errors.") and "." not in name and name not in MADE_BY_THE_LIBRARY:
        assert ">>>" in thing.__doc__, f"{name} has no example"
    if inspect.isfunction(thing):
        assert ">>>" in thing.__doc__, f"{name} has no example"
        missing = [
            parameter for parameter in inspect.signature(thing).parameters if parameter not in thing.__doc__
        ]
        assert not missing or name == "errors.did_you_mean", f"{name} doesn't explain {missing}"


@pytest.mark.parametrize(
    ("name", "function"), list(public_callables()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_signatures_say_everything(name, function):
    if not function.__module__.startswith("fashionsearch"):
        return  # a name that a NamedTuple or the like brings along
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        assert parameter.kind is not parameter.VAR_KEYWORD, f"{name} takes **{parameter.name}"
        assert parameter.kind is not parameter.VAR_POSITIONAL, f"{name} takes *{parameter.name}"
    if "<" not in function.__code__.co_filename:  # a dataclass's own constructor takes its fields in order
        for parameter in parameters:
            if parameter.name != "self" and parameter.name != "cls":
                assert parameter.annotation is not parameter.empty, f"{name}({parameter.name}) has no type"


@pytest.mark.parametrize(
    "name", ["Backbone", "Classifier", "VisualIndex", "create_backbone", "register_backbone"]
)
def test_options_are_given_by_name(name):
    parameters = list(inspect.signature(getattr(fs, name)).parameters.values())
    for parameter in parameters[1:]:
        if parameter.default is not parameter.empty or name != "Backbone":
            assert parameter.kind is parameter.KEYWORD_ONLY, (
                f"{name}({parameter.name}=…) can be given by position"
            )


def test_loading_takes_the_options_of_making():
    places = {"device", "precision", "runtime", "batch_size", "progress"}
    for load in (fs.Backbone.load, fs.Classifier.load):
        assert places <= set(inspect.signature(load).parameters)
    for name in places:
        defaults = {
            repr(inspect.signature(function).parameters[name].default)
            for function in (
                fs.Backbone,
                fs.create_backbone,
                fs.Classifier,
                fs.Backbone.load,
                fs.Classifier.load,
            )
        }
        assert len(defaults) == 1, f"{name} has the defaults {defaults}"


def test_every_error_has_one_root():
    for name, thing in vars(fs.errors).items():
        if inspect.isclass(thing) and issubclass(thing, Exception) and not issubclass(thing, Warning):
            assert issubclass(thing, fs.errors.FashionSearchError), name
            assert name in fs.errors.__doc__, f"{name} is not in the drawing of the tree"


def test_only_the_command_line_prints():
    for file in SOURCE.rglob("*.py"):
        if file.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            printing = (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            )
            assert not printing, f"{file}:{node.lineno} prints"
            checking = isinstance(node, ast.Assert)
            assert not checking, f"{file}:{node.lineno} asserts, which python -O leaves out"


def test_an_index_of_vectors_loads_what_it_needs_and_nothing_else(tmp_path):
    run(
        """
        import sys
        import fashionsearch as fs

        def loaded():
            return {"torch", "torchvision", "timm", "PIL", "simplejpeg", "sqlite3", "sklearn", "logging"} & set(sys.modules)

        fs.VisualIndex
        assert not loaded(), loaded()
        index = fs.VisualIndex(dim=2, progress=False)
        index.add_vectors([[1, 0], [0, 1]], ids=["a", "b"], metadata=[{"size": 1}, {"size": 2}])
        assert index.search_vectors([1, 0], k=1, where={"size": 1}).ids.tolist() == [["a"]]
        index.save("saved")
        assert fs.VisualIndex.load("saved", progress=False).search_vectors([0, 1], k=1).ids.tolist() == [["b"]]
        assert not loaded() - {"logging"}, loaded()
        """,
        tmp_path,
    )


HUGE = 10**400
PHOTOS = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fs.Preprocess((8, 8), mean=(2**200, 0, 0)),
        lambda: fs.Preprocess((8, 8), mean=(HUGE, 0, 0)),
        lambda: fs.Preprocess((8, 8), std=(0.2, HUGE, 0.2)),
        lambda: fs.Preprocess((HUGE, 8)),
        lambda: fs.FineTuning(learning_rate=HUGE),
        lambda: fs.FineTuning(epochs=-HUGE),
        lambda: fs.Augmentation(rotation=HUGE),
        lambda: fs.Classifier("pixel_grid", class_weight={"a": HUGE}).fit(PHOTOS, list("abab")),
        lambda: fs.create_backbone("cnn", weights=None, image_size=HUGE),
        lambda: fs.VisualIndex(dim=HUGE),
        lambda: fs.VisualIndex(dim=2, ef_search=2**70),
        lambda: fs.VisualIndex(dim=2).add_vectors([[HUGE, 1]]),
        lambda: fs.VisualIndex(dim=2).search_vectors([1, 0], k=HUGE),
        lambda: fs.datasets.make_catalogue(1, size=(HUGE, 20)),
        lambda: fs.metrics.wilson_interval(HUGE, HUGE + 5),
    ],
)
def test_a_number_that_no_float_holds_is_named(call):
    with pytest.raises(fs.errors.FashionSearchError):
        call()


def test_importing_is_light_silent_and_writes_nothing(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    printed = run(
        """
        import sys
        import fashionsearch as fs
        heavy = {"torch", "torchvision", "timm", "numpy", "PIL", "sklearn", "hnswlib", "onnxruntime", "matplotlib"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)

        table = fs.datasets.make_catalogue(3)
        assert len(fs.check_images([*table.images, "missing.jpg"]).failures) == 1
        fs.Preprocess((8, 8)), fs.errors.InputError, fs.metrics.wilson_interval, fs.History, fs.Evaluation, fs.Matches
        assert not {"torch", "torchvision", "timm", "hnswlib", "onnxruntime"} & set(sys.modules)
        for name in fs.__all__:
            getattr(fs, name)
        """,
        tmp_path / "work",
        HOME=str(tmp_path / "home"),
        XDG_CACHE_HOME=str(tmp_path / "home" / "cache"),
        FASHIONSEARCH_CACHE=str(tmp_path / "home" / "own"),
        MPLCONFIGDIR=str(tmp_path / "matplotlib"),
        TORCH_HOME=str(tmp_path / "home" / "torch"),
        HF_HOME=str(tmp_path / "home" / "hf"),
    )
    assert printed == ""
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []


def test_importing_costs_little(tmp_path):
    def fastest(code):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            run(code, tmp_path)
            times.append(time.perf_counter() - started)
        return min(times)

    run("import fashionsearch", tmp_path)
    assert fastest("import fashionsearch") - fastest("pass") < 0.3


def test_subpackages_offer_what_their_stubs_say():
    for stub in SOURCE.rglob("*.pyi"):
        module = importlib.import_module(".".join(["fashionsearch", *stub.parent.relative_to(SOURCE).parts]))
        for name in module.__all__:
            assert getattr(module, name) is not None
