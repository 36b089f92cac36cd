"""Write the pages of docs/results/ again, tables and charts, from the rows in benchmarks/results/study-*.json."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import make_tables
import result_charts
import result_errors
from benchmark_tables import cores, table
from result_rows import HEAD, Contender, Figures, Results, Row, load

import fashionsearch as fs
from fashionsearch.training.options import recipe_for

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "results"
BLOCK = re.compile(r"<!-- study: ([\w+ -]+?) -->\n.*?<!-- end -->", re.DOTALL)

STUDY_LABEL, STUDY_TEST = "masterCategory", "study-test"
CLOTHING = "label"  # of clothing-dataset-small, whose chosen-on part is "tuning" and whose measured part is "validation"
HARDER = ("subCategory", "articleType", "baseColour", "gender", "season", "usage")
DISTORTIONS = ("clean", "crop", "rotation", "blur", "colour-cast", "jpeg", "clutter")
SHARES = (100, 200, 400, 800, 1600, 3200)
# The study's Table I: accuracy, and the AUC it gives for one of them.
PUBLISHED = (
    ("the study's VGG19", "ImageNet", "fine-tuned", 0.925, "95"),
    ("the study's CNN autoencoder", "scratch", "", 0.850, "–"),
    ("the study's ResNet-50 autoencoder", "", "", 0.885, "–"),
)
# What each network was to reach on a test part: model, weights, scorer, label, split, metric, fraction.
AIMS = (
    ("vgg19_bn", None, "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.98),
    ("vgg19_bn", "distilled", "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.985),
    ("resnet50", None, "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.975),
    ("cnn", None, "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.983),
    ("efficientnet_lite0", "default", "head", STUDY_LABEL, STUDY_TEST, "accuracy", 0.982),
    ("efficientnet_lite0", "default", "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.99),
    ("efficientnet_lite0", "default", "finetuned", STUDY_LABEL, STUDY_TEST, "weighted_auc", 0.999),
    ("efficientnet_lite0", "default", "finetuned", "articleType", "test", "accuracy", 0.88),
    ("autoencoder-cnn", None, "knn", STUDY_LABEL, STUDY_TEST, "accuracy", 0.965),
    ("autoencoder-resnet50", None, "knn", STUDY_LABEL, STUDY_TEST, "accuracy", 0.965),
    ("autoencoder-cnn", None, "knn", "articleType", "test", "p_at_5", 0.66),
)
# What of a recipe is about seconds, and not about what is learned.
OF_SPEED = ("precision", "workers", "devices", "nodes")


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


def aims(results: Results) -> str:
    """Return what each network was to reach, and whether it did, by the size that did best on the validation part."""
    found = []
    for model, weights, scorer, label, split, metric, aim in AIMS:
        name = label, split, metric
        about = [f"{label}, {metric.replace('p_at_', 'P@').replace('_auc', ' AUC')}", f"{100 * aim:.1f}"]
        measured = {
            contender: known
            for contender, known in results.figures.items()
            if (contender.model, contender.weights, contender.scorer) == (model, weights, scorer)
            and name in known
        }
        if not measured:
            cells = Contender(model, weights, scorer, "–", is_taught=False).cells
            found.append([*cells, *about, "–", "–", "–", "not measured yet"])
            continue
        best = max(
            measured, key=lambda contender: measured[contender][label, "validation", metric].value or 0
        )
        before = [
            known[name]
            for contender, known in results.earlier.items()
            if dataclasses.replace(contender, is_taught=best.is_taught) == best and name in known
        ]
        figure = measured[best][name]
        missed = [(each.value or 0) < aim for each in (*before, figure)]
        reached = "**no**" if missed[-1] else "no at the first look, then yes" if any(missed) else "yes"
        validation = str(measured[best][label, "validation", metric])
        looks = ", ".join(map(str, before)) or "–"
        found.append([*best.cells, *about, validation, str(figure), looks, reached])
    head = (*HEAD, "Figure", "Aim, %", "Validation, %", "Test, %", "Measured before, %", "Reached")
    return table(head, found)


def trials(results: Results) -> str:
    """Return each recipe that was tried on a validation part, and of the same network the one that was measured."""
    tried: dict[tuple[str, ...], dict[tuple[str, ...], tuple[bool, float, list[str]]]] = defaultdict(dict)
    for is_measured, files in ((True, results.rows.values()), (False, results.trials)):
        for rows, label in itertools.product(files, (STUDY_LABEL, "articleType")):
            line = _tried(rows, label)
            if line is not None:
                # The trial of what was measured then is no other recipe.
                about = label, *(str(rows[0][name]) for name in ("model", "weights", "scorer"))
                tried[about].setdefault(tuple(line[1][:6]), (is_measured, *line))
    # A network with one recipe was not tried: it was measured.
    compared = [sorted(lines.values(), reverse=True) for _, lines in sorted(tried.items()) if len(lines) > 1]
    head = (
        *("Label", *HEAD, "Other than the library's recipe"),
        *("Minutes", "Training, %", "Validation, %", "Test part"),
    )
    return table(
        head,
        [[*cells, "measured" if yes else "–"] for lines in compared for yes, _, cells in lines],
    )


def _tried(rows: list[Row], label: str) -> tuple[float, list[str]] | None:
    part = {
        row["split"]: row
        for row in rows
        if (row["task"], row["metric"], row["seed"]) == (label, "accuracy", 0)
    }
    training = rows[0]["configuration"]["training"]
    if "validation" not in part or training is None or rows[0]["scorer"] != "finetuned":
        return None
    contender = Contender.of(rows[0])
    case = recipe_for(None if contender.weights == "distilled" else contender.weights)
    given = fs.FineTuning(teacher="known" if contender.weights == "distilled" else None)
    # A row doesn't say whether its network has normalisation layers, on which a rate depends.
    recipes = [given.recipe(case, normalised=normalised).to_dict() for normalised in (True, False)]
    others = min(
        (
            {name: value for name, value in training.items() if own[name] != value and name not in OF_SPEED}
            for own in recipes
        ),
        key=len,
    )
    validation = part["validation"]
    figures = [f"{100 * part[split]['value']:.1f}" for split in ("train", "validation")]
    told = ", ".join(f"`{name}={value!r}`" for name, value in others.items()) or "–"
    return validation["value"], [label, *contender.cells, told, f"{validation['seconds'] / 60:.0f}", *figures]


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


def twins(figures: Figures) -> str:
    """Return the accuracy for articleType where a product's name is in one part, and where it may be in two."""
    names = [("articleType", split, "accuracy") for split in ("test", "test-by-photo")]
    having = {contender: known for contender, known in figures.items() if names[1] in known}
    return table((*HEAD, "By name, %", "By photo, %"), lines(having, names))


def clothing(figures: Figures) -> str:
    """Return the figures on clothing-dataset-small's validation part."""
    metrics = ("accuracy", "macro_f1", "weighted_f1", "calibration_error")
    head = (*HEAD, "Accuracy, %", "Macro F1, %", "Weighted F1, %", "Calibration error, %")
    return table(head, lines(figures, [(CLOTHING, "validation", metric) for metric in metrics]))


def retrieval(figures: Figures, relevance: str) -> str:
    """Return the figures of test photos searched for among the training photos."""
    metrics = ("p_at_1", "p_at_5", "recall_at_5", "recall_at_10", "map_at_10")
    head = (*HEAD, "P@1, %", "P@5, %", "Recall@5, %", "Recall@10, %", "mAP@10, %")
    names = [(relevance, "test", metric) for metric in metrics]
    return table(head, lines(_by_latents(figures), names, (relevance, "test", "p_at_5")))


def _by_latents(figures: Figures) -> Figures:
    # An autoencoder's two scorers have the same latents.
    return {contender: known for contender, known in figures.items() if contender.scorer != "probe"}


def distorted(figures: Figures, task: str, split: str, metric: str) -> str:
    """Return one metric on clean photos and on those of each distortion."""
    names = [(task, f"{split}-{name}", metric) for name in DISTORTIONS]
    titles = [name.replace("-", " ").replace("jpeg", "JPEG").capitalize() for name in DISTORTIONS]
    contenders = _by_latents(figures) if task == "id" else figures
    return table((*HEAD, *(title.replace("Jpeg", "JPEG") for title in titles)), lines(contenders, names))


def overfitting(figures: Figures) -> str:
    """Return the accuracy on training, validation and test photos, and the distance of the outer two."""
    parts = {
        STUDY_LABEL: ("train", "validation", STUDY_TEST),
        **dict.fromkeys(HARDER, ("train", "validation", "test")),
        CLOTHING: ("train", "tuning", "validation"),
    }
    found = []
    for place, (label, splits) in enumerate(parts.items()):
        shown = "clothing-dataset-small" if label == CLOTHING else label
        for contender, known in figures.items():
            train, chosen, test = (known.get((label, split, "accuracy")) for split in splits)
            if train is not None and test is not None:
                gap = round(100 * ((train.value or 0) - (test.value or 0)), 1) + 0.0
                cells = [shown, *contender.cells, str(train), str(chosen or "–"), str(test), f"{gap:.1f}"]
                found.append((place, -(test.value or 0), cells))
    head = ("Label", *HEAD, "Training, %", "Validation, %", "Test, %", "Training − test")
    return table(head, [cells for *_, cells in sorted(found)])


def curves(figures: Figures, label: str) -> str:
    """Return the validation accuracy after learning from so many photos."""
    names = [(label, "validation", f"accuracy_with_{photos}") for photos in SHARES]
    names.append((label, "validation", "accuracy"))
    having = {contender: known for contender, known in figures.items() if names[0] in known}
    return table((*HEAD, *map(str, SHARES), "all"), lines(having, names, names[-1]))


def surroundings(results: Results) -> str:
    """Return when, on what and by which versions the rows were measured."""
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for stem, rows in results.rows.items():
        for row in rows:
            around = row["environment"]
            machine = f"{around['processor']}, {cores(around['cores'])}, {around['device']}"
            about = around["date"], machine, around["python"], around["torch"], around["scikit-learn"]
            seen[about].add(f"`{stem}.json`")
    lines = [[*about, ", ".join(sorted(files))] for about, files in sorted(seen.items())]
    return table(("Date", "Machine", "Python", "torch", "scikit-learn", "Files"), lines)


def training_curves(results: Results) -> str:
    """Return the pictures of every network that learned."""
    return "\n\n".join(
        f"![Loss by epoch, and accuracy where there are labels, of {title}](../images/{name})"
        for title, name in result_charts.trained(results)
    )


def _of_figures(make: Callable[..., str], *given: str) -> Callable[[Results], str]:
    return lambda results: make(results.figures, *given)


MAKERS: dict[str, Callable[[Results], str]] = {
    "table one": _of_figures(table_one),
    "aims": aims,
    "trials": trials,
    "errors in common": result_errors.in_common,
    "averages": _of_figures(averages),
    "training curves": training_curves,
    **{
        f"harder {metric}": _of_figures(harder, metric)
        for metric in ("accuracy", "macro_f1", "calibration_error")
    },
    "twins": _of_figures(twins),
    "clothing": _of_figures(clothing),
    **{
        f"retrieval {by}": _of_figures(retrieval, by)
        for by in ("articleType", "baseColour", "articleType+baseColour")
    },
    **{
        f"same product {metric}": _of_figures(distorted, "id", "test", metric)
        for metric in ("recall_at_1", "recall_at_5")
    },
    f"distorted {STUDY_LABEL}": _of_figures(distorted, STUDY_LABEL, STUDY_TEST, "accuracy"),
    "distorted articleType": _of_figures(distorted, "articleType", "test", "accuracy"),
    "overfitting": _of_figures(overfitting),
    f"curve {STUDY_LABEL}": _of_figures(curves, STUDY_LABEL),
    "curve articleType": _of_figures(curves, "articleType"),
    "environment": surroundings,
}


def filled(text: str, results: Results) -> str:
    """Return a page with its tables made again."""
    return BLOCK.sub(
        lambda match: f"<!-- study: {match[1]} -->\n\n{MAKERS[match[1]](results)}\n\n<!-- end -->", text
    )


def pages() -> Iterable[Path]:
    """Return the pages of results."""
    return sorted(PAGES.glob("*.md"))


def _drawn_garments(images: Path) -> Iterator[Path]:
    """Copy the pages' pictures that are of no rows to another folder, so that its pages show them too; yield the files."""
    for page in pages():
        for name in re.findall(r"\(\.\./images/([\w.-]+)\)", page.read_text(encoding="utf-8")):
            if not name.startswith("study-") and not (images / name).exists():
                shutil.copy(ROOT / "docs" / "images" / name, images / name)
                yield images / name


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of rows (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs", help="folder for results/ and images/ (%(default)s)"
    )
    parser.add_argument("--no-charts", action="store_true", help="tables only")
    options = parser.parse_args()
    results = load(options.results)
    for page in pages():
        text = make_tables.filled(filled(page.read_text(encoding="utf-8"), results))
        made = options.out / "results" / page.name
        if not made.exists() or made.read_text(encoding="utf-8") != text:
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(text, encoding="utf-8")
            print(f"written: {made}")
    if not options.no_charts:
        for path in result_charts.draw(results, options.out / "images"):
            print(f"written: {path}")
        for path in _drawn_garments(options.out / "images"):
            print(f"written: {path}")


if __name__ == "__main__":
    main()
