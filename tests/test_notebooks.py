"""The tutorials as notebooks: each is what its page makes, runs from top to bottom, and prints and draws what the page shows.

This is how the blocks of the tutorials are tested; `test_docs.py` runs those of all other pages.
"""

import re
import textwrap
from pathlib import Path

import nbclient
import nbformat
import pytest
from make_notebooks import NOTEBOOKS, made
from report.notebooks import cells
from report.pages import DOCS

MADE = made()
GUARD = """
import socket

def refuse(*_, **__):
    raise socket.gaierror(-2, "Name or service not known")

class _Loopback(socket.socket):
    def connect(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            refuse()
        return super().connect(address)

socket.getaddrinfo, socket.socket = refuse, _Loopback
"""


def run(sources: list[str], folder: Path) -> list[nbformat.NotebookNode]:
    """Return code cells after they have run in a fresh kernel without a network, in a folder."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in [GUARD, *sources]])
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return notebook.cells[1:]


def texts(cell: nbformat.NotebookNode, stream: str) -> str:
    return "".join(each.text for each in cell.outputs if each.output_type == "stream" and each.name == stream)


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in each.get("data", {}) for each in cell.outputs)


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.stem)
def test_the_notebook_is_what_the_page_makes(page):
    path, text = MADE[page]
    assert path.read_text(encoding="utf-8") == text, "run: python benchmarks/make_notebooks.py"
    nbformat.validate(nbformat.reads(text, 4))
    assert f"(../notebooks/{path.name})" in page.read_text(encoding="utf-8")


def test_there_is_no_other_notebook():
    assert set(NOTEBOOKS.iterdir()) == {path for path, _ in MADE.values()}


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for cell in nbformat.reads(MADE[page][1], 4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)\s]+)\)", cell.source):
                assert target.startswith("http") or (NOTEBOOKS / target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.stem)
def test_it_prints_and_draws_what_the_page_shows(page, tmp_path):
    wanted = [cell for cell in cells(page, MADE[page][0]) if cell.printed is not None]
    for cell, expected in zip(run([cell.source for cell in wanted], tmp_path), wanted, strict=True):
        printed = [line.rstrip() for line in texts(cell, "stdout").splitlines()]
        assert printed == [line.rstrip() for line in expected.printed], cell.source
        warned = texts(cell, "stderr")
        assert "Warning" not in warned.replace("DataWarning", ""), warned
        assert pictures(cell) >= expected.source.count("savefig("), f"nothing is drawn by {cell.source}"


def test_a_bar_is_one_line_of_a_cell(tmp_path):
    bar = """
    import time
    from fashionsearch import progress
    progress._DELAY = 0.1
    with progress.open_bar(40, "embedding", "image") as bar:
        for _ in range(40):
            time.sleep(0.02)
            bar.update()
    with progress.open_bar(3, "quick", "image") as bar:
        bar.update(3)
    with progress.open_bar(40, "unwanted", "image", shown=False) as bar:
        time.sleep(0.2)
        bar.update(40)
    """
    (cell,) = run([textwrap.dedent(bar)], tmp_path)
    (shown,) = cell.outputs
    assert shown.output_type == "display_data"
    assert shown.data["text/plain"].startswith("embedding: 100%")
    assert "\n" not in shown.data["text/plain"]


def test_prose_links_and_outputs_of_a_page(tmp_path):
    page = tmp_path / "tutorials" / "a.md"
    page.parent.mkdir()
    (tmp_path / "images").mkdir()
    page.write_text(
        "# A\n\n**Why?** Because.\n[Notebook](../notebooks/a.ipynb).\n\n![later](../images/x.png)\n\n[b](b.md#c), "
        "[up](../d.md), "
        '[web](https://e.org)\n\n```python\nfor x in (1, 2):\n    print(x)\n    #> 1\n    #> 2\nf.savefig("x.png")\n```\n\n'
        "![drawn](../images/x.png)\n\n```bash\n# [not](a link)\n```\n",
        encoding="utf-8",
    )
    first, code, last = cells(page, tmp_path / "notebooks" / "a.ipynb")
    assert first.source == (
        "# A\n\n**Why?** Because.\n\n![later](../images/x.png)\n\n[b](../tutorials/b.md#c), [up](../d.md), [web](https://e.org)"
    )
    assert code.source == 'for x in (1, 2):\n    print(x)\nf.savefig("x.png")'
    assert code.printed == ("1", "2")
    assert last.source == "```bash\n# [not](a link)\n```"


def test_all_tutorials_are_notebooks():
    assert [page.parent for page in MADE] == [DOCS / "tutorials"] * len(MADE)
    assert len(MADE) >= 5
