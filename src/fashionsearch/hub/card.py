"""The card of a repository: the page that people see there, and its front matter, which the hub reads."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fashionsearch import errors
from fashionsearch.results import Evaluation

Figures: TypeAlias = "Evaluation | Mapping[str, Evaluation | float]"

# A card that holds this is written again by the next push; one without it is somebody's own, and is left alone.
MARK = "<!-- Written by push_to_hub, which replaces this page; take this line away to keep your own. -->"
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_FIGURES = ("accuracy", "precision", "recall", "f1", "auc")
_SHOWN_CLASSES = 200
_FILES = (
    "The files are JSON and safetensors, or a graph of ONNX, hnswlib or faiss; none is a pickle. `manifest.json` names "
    "each with its size and SHA-256, which are compared before anything is read."
)


@dataclass(frozen=True)
class Card:
    """What is said of a model or an index.

    Attributes:
        what: it is, as a sentence.
        task: the hub's name for what it does.
        facts: what is known of it, name and value.
        classes: attribute -> its classes.
        use: lines of Python that use it, in which {load} stands for its loading.
        notes: paragraphs, on what is in the repository and what isn't.
    """

    what: str
    task: str
    facts: Sequence[tuple[str, str]]
    use: str
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def text(
        self, name: str, owner: str, *, license: str | None, about: str, evaluation: Figures | None
    ) -> str:
        """Return the page in Markdown; whatever it didn't write itself is escaped, but for `about`.

        Args:
            name: of the repository.
            owner: name of the class that loads it.
            license: the hub's identifier of a licence, such as "apache-2.0"; None if nobody says.
            about: paragraphs of Markdown in the author's words.
            evaluation: what was measured.

        Raises:
            InputError: if the licence is no identifier, or the evaluation holds what is no figure.
        """
        figures = _figure_rows(evaluation)
        matter = ["---"]
        if license is not None:
            matter.append(f"license: {check_licence(license)}")
        matter += [
            "library_name: fashionsearch",
            f"pipeline_tag: {self.task}",
            "tags:",
            "- fashionsearch",
            "- fashion",
        ]
        if evaluation is not None and _evaluations(evaluation):
            matter += ["metrics:", "- accuracy", "- f1"]
        matter.append("---")
        load = f'fs.{owner}.from_pretrained("{name}")'
        parts = ["\n".join(matter), f"# {name.split('/')[1]}", MARK, self.what]
        if about.strip():
            parts.append(about.strip())
        parts += ["## What it is", _table(("", ""), self.facts)]
        parts += ["## What was measured", *_measured(figures, evaluation)]
        parts += ["## Use it", f"```python\nimport fashionsearch as fs\n\n{self.use.format(load=load)}\n```"]
        parts.append(
            "The first call fetches the newest commit and remembers it; `revision=` with the full hash of a commit pins one, "
            "and `refresh=True` asks for the newest again. What has been fetched loads without a network."
        )
        if self.classes:
            parts += ["## Classes", _table(("attribute", "classes"), _class_rows(self.classes))]
        parts += ["## Files", _FILES, *self.notes, "## Licence"]
        parts.append(
            f"`{license}`" if license else "Its author names no licence, so all rights are reserved."
        )
        return "\n\n".join(parts) + "\n"


def check_licence(name: object) -> str:
    """Return the hub's identifier of a licence.

    Raises:
        InputError: if it can't be one.
    """
    if not isinstance(name, str) or not _LICENCE.fullmatch(name):
        raise errors.InputError(
            f"license={name!r:.80} is not an identifier such as 'apache-2.0', 'mit', 'cc-by-nc-4.0' or 'other'"
        )
    return name


def _evaluations(evaluation: Figures) -> dict[str, Evaluation]:
    if isinstance(evaluation, Evaluation):
        return {"": evaluation}
    return {name: each for name, each in evaluation.items() if isinstance(each, Evaluation)}


def _figure_rows(evaluation: Figures | None) -> list[tuple[str, ...]]:
    """Return what was measured, a row each: of an evaluation its figures, else name and number."""
    if evaluation is None:
        return []
    if not isinstance(evaluation, Evaluation | Mapping):
        raise errors.InputError(
            f"evaluation is a {type(evaluation).__name__}; give an Evaluation, or a mapping from a name to an Evaluation or "
            "a number"
        )
    measured = _evaluations(evaluation)
    rows = [
        (name or "all", *(_figure(each, figure) for figure in _FIGURES), f"{len(each.labels):,}")
        for name, each in measured.items()
    ]
    for name, value in () if isinstance(evaluation, Evaluation) else evaluation.items():
        if isinstance(value, Evaluation):
            continue
        try:
            rows.append((str(name), f"{float(value):.4f}"))
        except (TypeError, ValueError) as error:
            raise errors.InputError(
                f"evaluation[{name!r}] is {value!r:.80}, not an Evaluation or a number"
            ) from error
    return rows


def _figure(evaluation: Evaluation, figure: str) -> str:
    value = float(getattr(evaluation, figure))
    if figure != "accuracy":
        return f"{value:.4f}"
    low, high = evaluation.interval(figure)
    return f"{value:.4f} ({low:.4f} – {high:.4f})"


def _measured(figures: Sequence[tuple[str, ...]], evaluation: Figures | None) -> list[str]:
    if not figures:
        return [
            "Nothing was measured when it was pushed: measure it on photos of your own before you trust it."
        ]
    whole = [row for row in figures if len(row) > 2]
    single = [row for row in figures if len(row) == 2]
    parts = []
    if whole:
        head = ("attribute", "accuracy (95 % interval)", "precision", "recall", "F1", "AUC", "photos")
        parts += [_table(head, whole), "Precision, recall, F1 and AUC are means over the classes."]
    if single:
        parts.append(_table(("figure", "value"), single))
    return [*parts, "These figures are the author's, on photos that are not in this repository."]


def _class_rows(classes: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    rows = []
    for name, each in classes.items():
        more = f" and {len(each) - _SHOWN_CLASSES:,} more" if len(each) > _SHOWN_CLASSES else ""
        rows.append((f"{name} ({len(each):,})", ", ".join(each[:_SHOWN_CLASSES]) + more))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    r"""Return text as a cell shows it, whatever Markdown and HTML would make of it.

    Examples:
        >>> _escaped("<b>red</b> | *blue*")
        '&lt;b&gt;red&lt;/b&gt; \\| \\*blue\\*'
    """
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(errors.shown(" ".join(text.split())), quote=False))
