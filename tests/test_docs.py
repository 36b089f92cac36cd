"""The documentation: every block of Python runs, every command parses, every link leads somewhere.

`python tests/test_docs.py` writes docs/reference/command-line.md again from the commands' own help.
"""

import argparse
import inspect
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import matplotlib.pyplot as plt
import pytest
import yaml
from pytest_examples import CodeExample, EvalExample, find_examples
from report.blocks import fences, pictures, saved

import fashionsearch as fs
from fashionsearch.backbones.architectures import ENTRY_POINTS
from fashionsearch.cli.parser import make_parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PROSE = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
COMMAND_LINE = DOCS / "reference" / "command-line.md"

EXAMPLES: dict[Path, list[CodeExample]] = {page: list(find_examples(page)) for page in PAGES}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def help_page() -> str:
    """The page of the command line, from the help of every command."""
    parser = make_parser()
    commands = next(
        action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        helps = {"fashionsearch": parser.format_help()} | {
            f"fashionsearch {name}": command.format_help() for name, command in commands.items()
        }
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    parts = [
        "# Command line\n\n**Which commands and options are there?** This is the help the commands print. "
        "[Use your own photos](../how-to/your-photos.md#from-the-shell) shows them at work.\n"
    ]
    parts += [f"## {title}\n\n```text\n{text.strip()}\n```\n" for title, text in helps.items()]
    return "\n".join(parts)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as a machine without a network, whose caches are empty."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def only_here(self: socket.socket, address: tuple[str, int]) -> None:
        connect(self, address) if address[0] == "127.0.0.1" else refuse()

    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest: look_up(host, *rest) if host == "127.0.0.1" else refuse()
    )
    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def elsewhere(tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to write to, a cache of the tests' own, and figures that open no window."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FASHIONSEARCH_CACHE", str(cache_folder))
    plt.switch_backend("Agg")
    yield
    plt.close("all")


# The tutorials run as notebooks in test_notebooks.py; here only where their outputs are to be written anew.
RUN_HERE = [
    page
    for page in PAGES
    if page.parent.name != "tutorials" or any("update-examples" in word for word in sys.argv)
]


@pytest.mark.parametrize("page", [page for page in RUN_HERE if EXAMPLES[page]], ids=name_of)
@pytest.mark.usefixtures("elsewhere")
def test_every_block_runs_in_order(
    page: Path, eval_example: EvalExample, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("hub" if page.stem == "share-a-model" else "no_network")
    eval_example.set_config(line_length=500)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("default", fs.errors.DataWarning)
        for example in EXAMPLES[page]:
            check = (
                eval_example.run_print_update
                if eval_example.update_examples
                else eval_example.run_print_check
            )
            try:
                names |= check(example, module_globals=names)
            # The traceback that pytest-examples makes breaks pytest 9.2's report.
            except Exception as error:
                message = f"{name_of(page)}, block at line {example.start_line}: {error!r}"
                raise AssertionError(message) from None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_is_collected(page: Path) -> None:
    blocks = fences(page, "python")
    assert [example.source for example in EXAMPLES[page]] == blocks
    assert not fences(page, "py") + fences(page, "pycon")
    assert page.read_text(encoding="utf-8").count("```python") == len(blocks)


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_command_parses(page: Path) -> None:
    parser = make_parser()
    for language in ("sh", "shell", "console"):
        assert not fences(page, language), "write bash"
    for block in fences(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "fashionsearch":
                ends = [place for place, word in enumerate(words) if word in ("|", ">")]
                parser.parse_args(words[1 : ends[0] if ends else None])
            if words and words[0] == "bash":
                assert words[1].startswith("scripts/")
                assert (ROOT / words[1]).is_file(), f"{page}: {line}"


def test_some_commands_are_shown() -> None:
    commands = [line for page in PAGES for block in fences(page, "bash") for line in block.splitlines()]
    assert {line.split()[1] for line in commands if line.startswith("fashionsearch ")} >= {
        "train",
        "evaluate",
        "embed",
        "index",
        "search",
    }


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs both make them of plain words."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_links_and_pictures_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for mark, words, target in re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            assert not mark, f"{name_of(page)}: the picture {target} is not local"
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.is_file(), f"{name_of(page)}: {target} leads nowhere"
        assert not anchor or anchor in anchors(aim), f"{name_of(page)}: {aim.name} has no heading {anchor!r}"
        assert not mark or len(words) > 20, f"{name_of(page)}: the picture {target} needs a description"


# Pictures that no block of the page makes, and who makes them.
MADE_ELSEWHERE = {
    "search.png": "on README.md and docs/index.md, which link to the tutorial whose blocks make it",
    "data-flow.svg": "drawn by hand",
    "app.png": "by benchmarks/make_app_picture.py, in a browser",
}


def test_tutorials_show_the_pictures_that_their_own_blocks_save() -> None:
    pages = [*sorted((DOCS / "tutorials").glob("*.md")), ROOT / "README.md", DOCS / "index.md"]
    for page in pages:
        others = set() if page.parent.name == "tutorials" else set(MADE_ELSEWHERE)
        assert set(pictures(page)) - others <= saved(page), f"{name_of(page)} doesn't make what it shows"


def test_every_picture_is_made_by_a_page_or_drawn_from_results() -> None:
    made = {name for page in PAGES for name in saved(page)} | set(MADE_ELSEWHERE)
    shown = {path.name for path in (DOCS / "images").iterdir()}
    assert {name for name in shown - made if not name.startswith("study-")} == set()


def test_pictures_are_small_and_used() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PROSE)
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size <= 300_000, f"{picture.name} is too large for the repository"
        assert f"images/{picture.name}" in text, f"no page shows {picture.name}"


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def targets(entries: list[object]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values() if isinstance(entry, dict) else [entry]:
                if isinstance(value, list):
                    yield from targets(value)
                else:
                    yield str(value)

    shown = list(targets(config["nav"]))
    assert sorted(shown) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES[1:], ids=name_of)
def test_a_page_begins_with_its_question(page: Path) -> None:
    title, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert title.startswith("# ")
    assert not blank
    assert re.match(r"\*\*[^*]+\?\*\*( |$)", first), f"{name_of(page)} begins with {first!r}"


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_no_page_says_what_must_not_be_said(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "pip install fashionsearch" not in text
    assert not re.findall(r"(?<![\w.])/(?:work|tmp|root|home)/", text)


def test_the_files_and_names_that_a_newcomer_is_sent_to_exist() -> None:
    text = (DOCS / "explanation" / "data-flow.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 10
    for question, answer in rows:
        quoted = re.findall(r"`([^`]+)`", answer)
        files = [
            ROOT / "src" / "fashionsearch" / path for path in quoted if "/" in path or path.endswith(".py")
        ]
        assert files, question
        assert [path for path in files if not path.exists()] == [], question
        sources = "".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
        for name in re.findall(r"`([A-Za-z_.]+)`", answer):
            if not name.endswith(".py"):
                assert name.rpartition(".")[2] in sources, f"{question} {name} is not in the file named"


def test_the_command_line_page_is_the_help() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        pytest.skip("argparse lays out its help differently in this version of Python")
    assert COMMAND_LINE.read_text(encoding="utf-8") == help_page(), "run: python tests/test_docs.py"


def test_the_plug_in_shown_uses_the_group_that_is_read() -> None:
    (block,) = fences(DOCS / "how-to" / "add-a-backbone.md", "toml")
    assert f'[project.entry-points."{ENTRY_POINTS}"]' in block


def documented() -> Iterator[tuple[str, object]]:
    """Every public class, method and function, by name."""
    spaces = [fs, fs.datasets, fs.metrics, fs.plots, fs.errors]
    for space in spaces:
        names = getattr(space, "__all__", None) or [name for name in vars(space) if not name.startswith("_")]
        for name in names:
            value = getattr(space, name)
            if not getattr(value, "__module__", "").startswith("fashionsearch"):
                continue
            if inspect.isclass(value):
                yield name, value
                ours = [each for each in value.__mro__ if each.__module__.startswith("fashionsearch")]
                members = {name: member for each in reversed(ours) for name, member in vars(each).items()}
                for method, member in members.items():
                    function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                    if not method.startswith("_") and isinstance(function, types.FunctionType):
                        yield f"{name}.{method}", function
            elif inspect.isfunction(value):
                yield name, value


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstrings_name_the_arguments_that_are_there(name: str) -> None:
    value = DOCUMENTED[name]
    docstring = inspect.getdoc(value)
    assert docstring, f"{name} has no docstring"
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", docstring, flags=re.MULTILINE)
    if section:
        described = re.findall(r"^ {4}(\w+):", section[1], flags=re.MULTILINE)
        target = value.__init__ if inspect.isclass(value) else value  # type: ignore[misc]
        expected = [each for each in inspect.signature(target).parameters if each not in ("self", "cls")]
        assert described == expected


def test_there_is_much_to_compare() -> None:
    assert {"Classifier", "Classifier.fit", "VisualIndex.search", "make_catalogue", "confusion"} <= set(
        DOCUMENTED
    )


def test_a_version_of_the_site_can_be_published(tmp_path: Path) -> None:
    whole = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    parts = re.split(r"^(?=\w+:)", whole, flags=re.MULTILINE)
    kept = [part for part in parts if not part.startswith(("plugins:", "nav:", "validation:", "strict:"))]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A page\n")
    (tmp_path / "docs" / "stylesheets").mkdir()
    (tmp_path / "docs" / "stylesheets" / "extra.css").write_bytes(
        (DOCS / "stylesheets/extra.css").read_bytes()
    )
    (tmp_path / "mkdocs.yml").write_text("".join(kept) + "plugins: [search]\n")

    def run(*words: str) -> str:
        environment = {
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.run(
            words, cwd=tmp_path, env=environment, check=True, text=True, capture_output=True
        ).stdout

    run("git", "init", "--quiet")
    run("git", "config", "user.email", "test@example.com")
    run("git", "config", "user.name", "test")
    run("git", "commit", "--quiet", "--allow-empty", "--message", "The sources")
    mike = str(Path(sys.executable).with_name("mike"))
    for version in ("0.1", "0.2"):
        run(mike, "deploy", "--update-aliases", version, "latest")
    run(mike, "set-default", "latest")
    versions = json.loads(run("git", "show", "gh-pages:versions.json"))
    assert [(each["version"], each["aliases"]) for each in versions] == [("0.2", ["latest"]), ("0.1", [])]
    assert '"provider": "mike"' in run("git", "show", "gh-pages:0.2/index.html")
    assert "latest/" in run("git", "show", "gh-pages:index.html")


if __name__ == "__main__":
    COMMAND_LINE.write_text(help_page(), encoding="utf-8")
