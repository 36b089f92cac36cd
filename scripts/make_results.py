"""Write the pages of docs/results/ again, tables and charts, from the rows in benchmarks/results/study-*.json."""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import result_charts
from benchmark_tables import cores, table
from result_charts import STARTS, scored_by

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "results"
BLOCK = re.compile(r"<!-- study: ([\w+ -]+?) -->\n.*?<!-- end -->", re.DOTALL)

STUDY_LABEL, STUDY_TEST = "masterCategory", "study-test"
HARDER = ("subCategory", "articleType", "baseColour", "gender", "season", "usage")
DISTORTIONS = ("clean", "crop", "rotation", "blur", "colour-cast", "jpeg", "clutter")
SHARES = (100, 200, 400, 800, 1600, 3200)
# The study's Table I: accuracy, and the AUC it gives for one of them.
PUBLISHED = (
    ("the study's VGG19", "ImageNet", "fine-tuned", 0.925, "95"),
    ("the study's CNN autoencoder", "scratch", "", 0.850, "–"),
    ("the study's ResNet-50 autoencoder", "", "", 0.885, "–"),
)


@dataclass(frozen=True)
class Figure:
    """A figure over all seeds: means of the values and of the ends of their intervals.

    Attributes:
        value: fraction, or None where there was nothing to measure.
        low: lower end.
        high: upper end.
        seeds: how many.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "–"
        return f"{100 * self.value:.1f} ({100 * self.low:.1f} – {100 * self.high:.1f})"


@dataclass(frozen=True)
class Contender:
    """What a line of a table is about.

    Attributes:
        model: as in the rows; likewise `weights` and `scorer`.
        weights: None, "default", "distilled" or a file.
        scorer: how it is scored.
        size: of its photos.
    """

    model: str
    weights: str | None
    scorer: str
    size: str

    @property
    def cells(self) -> list[str]:
        """The first cells of its line."""
        if self.model.startswith("baseline-"):
            return [f"`{self.model}`", "–", "–", self.size]
        start, scored = STARTS.get(self.weights, "a file"), scored_by(self.weights, self.scorer)
        return [f"`{self.model}`", start, scored, self.size]


HEAD = ("Model", "Starts from", "Scored by", "Size")
Figures = dict[Contender, dict[tuple[str, str, str], Figure]]


def load(folder: Path) -> Figures:
    """Return every contender's figures by task, split and metric."""
    seeds: dict[Contender, dict[tuple[str, str, str], list[dict[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for path in sorted(folder.glob("study-*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            contender = Contender(row["model"], row["weights"], row["scorer"], _size(row["image_size"]))
            seeds[contender][row["task"], row["split"], row["metric"]].append(row)
    return {
        contender: {name: _over_seeds(rows) for name, rows in figures.items()}
        for contender, figures in seeds.items()
    }


def _over_seeds(rows: Sequence[dict[str, Any]]) -> Figure:
    def mean(field: str) -> float | None:
        values = [row[field] for row in rows]
        return None if None in values else fmean(values)

    return Figure(mean("value"), mean("low"), mean("high"), len(rows))


def _size(image_size: int | list[int] | None) -> str:
    if image_size is None:
        return "–"
    return f"{image_size} px" if isinstance(image_size, int) else "×".join(map(str, image_size)) + " px"


def lines(
    figures: Figures, names: Sequence[tuple[str, str, str]], by: tuple[str, str, str] | None = None
) -> list[list[str]]:
    """Return a line for each contender that has one of the figures, the best by one of them first."""
    first = by or names[0]
    having = [contender for contender in figures if any(name in figures[contender] for name in names)]

    def rank(contender: Contender) -> tuple[float, str]:
        figure = figures[contender].get(first)
        return (-(figure.value or 0.0) if figure else 0.0), str(contender)

    return [
        [*contender.cells, *(str(figures[contender].get(name, "–")) for name in names)]
        for contender in sorted(having, key=rank)
    ]


def table_one(figures: Figures) -> str:
    """Return accuracy and AUC on the study's test part, beside the study's."""
    accuracy = (STUDY_LABEL, STUDY_TEST, "accuracy")
    ours: list[tuple[float, list[str]]] = []
    for contender, known in figures.items():
        if accuracy in known:
            names = [
                (STUDY_LABEL, "validation", "accuracy"),
                accuracy,
                *((STUDY_LABEL, STUDY_TEST, metric) for metric in ("auc", "weighted_auc")),
            ]
            cells = [str(known.get(name, "–")) for name in names]
            ours.append((known[accuracy].value or 0, [*contender.cells, *cells, str(known[accuracy].seeds)]))
    theirs = [
        (value, [name, start or "–", scorer or "–", "–", "–", f"**{100 * value:.1f}**", auc, "–", "–"])
        for name, start, scorer, value, auc in PUBLISHED
    ]
    head = (*HEAD, "Validation, %", "Test, %", "AUC, %", "AUC, weighted, %", "Seeds")
    return table(head, [cells for _, cells in sorted([*ours, *theirs], key=lambda line: -line[0])])


def averages(figures: Figures) -> str:
    """Return precision, recall and F1 on the study's test part."""
    metrics = [
        f"{kind}_{metric}" for metric in ("precision", "recall", "f1") for kind in ("macro", "weighted")
    ]
    names = [(STUDY_LABEL, STUDY_TEST, metric) for metric in (*metrics, "calibration_error")]
    titles = [f"{metric.replace('_', ' ').capitalize()}, %".replace("f1", "F1") for metric in metrics]
    head = (*HEAD, *titles, "Calibration error, %")
    return table(head, lines(figures, names, (STUDY_LABEL, STUDY_TEST, "accuracy")))


def harder(figures: Figures, metric: str) -> str:
    """Return one metric of the six labels on the larger split's test part."""
    names = [(label, "test", metric) for label in HARDER]
    return table((*HEAD, *HARDER), lines(figures, names, ("articleType", "test", "accuracy")))


def clothing(figures: Figures) -> str:
    """Return the figures on clothing-dataset-small's validation part."""
    metrics = ("accuracy", "macro_f1", "weighted_f1", "calibration_error")
    head = (*HEAD, "Accuracy, %", "Macro F1, %", "Weighted F1, %", "Calibration error, %")
    return table(head, lines(figures, [("label", "validation", metric) for metric in metrics]))


def retrieval(figures: Figures, relevance: str) -> str:
    """Return the figures of test photos searched for among the training photos."""
    metrics = ("p_at_1", "p_at_5", "recall_at_5", "recall_at_10", "map_at_10")
    head = (*HEAD, "P@1, %", "P@5, %", "Recall@5, %", "Recall@10, %", "mAP@10, %")
    names = [(relevance, "test", metric) for metric in metrics]
    # An autoencoder's two scorers have the same latents.
    by_latents = {contender: known for contender, known in figures.items() if contender.scorer != "probe"}
    return table(head, lines(by_latents, names, (relevance, "test", "p_at_5")))


def distorted(figures: Figures, task: str, split: str, metric: str) -> str:
    """Return one metric on clean photos and on those of each distortion."""
    names = [(task, f"{split}-{name}", metric) for name in DISTORTIONS]
    titles = [name.replace("-", " ").replace("jpeg", "JPEG").capitalize() for name in DISTORTIONS]
    return table((*HEAD, *(title.replace("Jpeg", "JPEG") for title in titles)), lines(figures, names))


def overfitting(figures: Figures) -> str:
    """Return the accuracy on training, validation and test photos, and the distance of the outer two."""
    found = []
    for label, test in ((STUDY_LABEL, STUDY_TEST), *((label, "test") for label in HARDER)):
        for contender, known in figures.items():
            parts = [known.get((label, split, "accuracy")) for split in ("train", "validation", test)]
            if parts[0] is not None and parts[2] is not None:
                gap = (parts[0].value or 0) - (parts[2].value or 0)
                cells = [
                    label,
                    *contender.cells,
                    *(str(part or "–") for part in parts),
                    f"{round(100 * gap, 1) + 0.0:.1f}",
                ]
                found.append(((STUDY_LABEL, *HARDER).index(label), -(parts[2].value or 0), cells))
    head = ("Label", *HEAD, "Training, %", "Validation, %", "Test, %", "Training − test")
    return table(head, [cells for *_, cells in sorted(found, key=lambda line: (line[0], line[1], line[2]))])


def curves(figures: Figures, label: str) -> str:
    """Return the validation accuracy after learning from so many photos."""
    names = [(label, "validation", f"accuracy_with_{photos}") for photos in SHARES]
    names.append((label, "validation", "accuracy"))
    having = {contender: known for contender, known in figures.items() if names[0] in known}
    return table((*HEAD, *map(str, SHARES), "all"), lines(having, names, names[-1]))


def surroundings(_: Figures) -> str:
    """Return when, on what and by which versions the rows were measured."""
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in sorted(RESULTS.glob("study-*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            around = row["environment"]
            machine = f"{around['processor']}, {cores(around['cores'])}, {around['device']}"
            seen[around["date"], machine, around["python"], around["torch"], around["scikit-learn"]].add(
                f"`{path.name}`"
            )
    rows = [[*about, ", ".join(sorted(files))] for about, files in sorted(seen.items())]
    return table(("Date", "Machine", "Python", "torch", "scikit-learn", "Files"), rows)


MAKERS: dict[str, Callable[[Figures], str]] = {
    "table one": table_one,
    "averages": averages,
    **{
        f"harder {metric}": (lambda figures, metric=metric: harder(figures, metric))
        for metric in ("accuracy", "macro_f1", "calibration_error")
    },
    "clothing": clothing,
    **{
        f"retrieval {by}": (lambda figures, by=by: retrieval(figures, by))
        for by in ("articleType", "baseColour", "articleType+baseColour")
    },
    **{
        f"same product {metric}": (lambda figures, metric=metric: distorted(figures, "id", "test", metric))
        for metric in ("recall_at_1", "recall_at_5")
    },
    f"distorted {STUDY_LABEL}": lambda figures: distorted(figures, STUDY_LABEL, STUDY_TEST, "accuracy"),
    "distorted articleType": lambda figures: distorted(figures, "articleType", "test", "accuracy"),
    "overfitting": overfitting,
    f"curve {STUDY_LABEL}": lambda figures: curves(figures, STUDY_LABEL),
    "curve articleType": lambda figures: curves(figures, "articleType"),
    "environment": surroundings,
}


def filled(text: str, figures: Figures) -> str:
    """Return a page with its tables made again."""
    return BLOCK.sub(
        lambda match: f"<!-- study: {match[1]} -->\n\n{MAKERS[match[1]](figures)}\n\n<!-- end -->", text
    )


def pages() -> Iterable[Path]:
    """Return the pages of results."""
    return sorted(PAGES.glob("*.md"))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-charts", action="store_true", help="tables only")
    options = parser.parse_args()
    figures = load(RESULTS)
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if filled(text, figures) != text:
            page.write_text(filled(text, figures), encoding="utf-8")
            print(f"written: {page}")
    if not options.no_charts:
        for path in result_charts.draw(RESULTS, ROOT / "docs" / "images"):
            print(f"written: {path}")


if __name__ == "__main__":
    main()
