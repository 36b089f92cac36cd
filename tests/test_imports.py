"""No file imports another in a circle, and no folder does."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fashionsearch

ROOT = Path(fashionsearch.__file__).parent
FILES = {
    ".".join(("fashionsearch", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def is_for_types(node):
    """Return whether a statement is `if TYPE_CHECKING`, which never runs."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree, *, inside_functions):
    """Yield the imports that run when a module is imported, or also those inside its functions."""
    waiting = list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not is_for_types(node) and (inside_functions or not is_function):
            waiting += ast.iter_child_nodes(node)


def imported(name, *, inside_functions):
    """Return the library's modules that a module imports."""
    found = set()
    for node in statements(ast.parse(FILES[name].read_text()), inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        else:
            assert not node.level, f"{name} imports relatively; the library names its modules in full"
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            # `from package import module` needs the module, and what the package's own file offers.
            if candidates[0] in FILES and all(each in FILES for each in candidates[1:]):
                candidates = candidates[1:]
        found.update(each for each in candidates if each in FILES)
    return found - {name}


def circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None


@pytest.mark.parametrize("inside_functions", [False, True])
def test_no_file_imports_itself_through_others(inside_functions):
    graph = {name: imported(name, inside_functions=inside_functions) for name in FILES}
    assert circle(graph) is None


@pytest.mark.parametrize("inside_functions", [False, True])
def test_no_folder_imports_itself_through_others(inside_functions):
    graph = defaultdict(set)
    for name in FILES:
        folder = ".".join(name.split(".")[:2])
        for other in imported(name, inside_functions=inside_functions):
            target = ".".join(other.split(".")[:2])
            if target not in (folder, "fashionsearch"):
                graph[folder].add(target)
    assert circle(graph) is None


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) is not None
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None
    assert "fashionsearch.embedding" in imported("fashionsearch.backbones.backbone", inside_functions=False)
    assert "fashionsearch.runtimes.choice" in imported(
        "fashionsearch.backbones.backbone", inside_functions=True
    )
    assert "fashionsearch.runtimes.choice" not in imported(
        "fashionsearch.backbones.backbone", inside_functions=False
    )
