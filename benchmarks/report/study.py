"""The tables of docs/results/: how good models are, by the study's rows."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from harness.candidates import HEAD, Candidate, by_todays_names
from harness.distortions import DISTORTIONS
from harness.figures import Figure
from harness.names import CLOTHING_LABEL, DISTILLED, HARDER_LABELS, SHARES, STUDY_LABEL, STUDY_TEST
from harness.rows import Row

import fashionsearch as fs
from report.charts import trained
from report.results import Name, Results, evaluation
from report.tables import cores, table

# The study's Table I: accuracy, and the AUC it gives for one of them.
PUBLISHED = (
    ("the study's VGG19", "ImageNet", "fine-tuned", 0.925, "95"),
    ("the study's CNN autoencoder", "scratch", "–", 0.850, "–"),
    ("the study's ResNet-50 autoencoder", "–", "–", 0.885, "–"),
)
# What each network was to reach on a test part: model, weights, scorer, label, split, metric, fraction.
AIMS = (
    ("vgg19_bn", None, "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.98),
    ("vgg19_bn", DISTILLED, "finetuned", STUDY_LABEL, STUDY_TEST, "accuracy", 0.985),
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
OF_SPEED = ("precision", "autotune", "workers", "devices", "nodes")
STUDY_ACCURACY = (STUDY_LABEL, STUDY_TEST, "accuracy")


def compared(
    titles: Sequence[str],
    names: Sequence[Name],
    by: Name | None = None,
    *,
    among: Callable[[Candidate, dict[Name, Figure]], bool] = lambda candidate, known: True,
) -> Callable[[Results], str]:
    """Return what makes a table of figures: a line for each candidate that has one of them, the best by one of them first."""

    def make(results: Results) -> str:
        having = {
            candidate: known
            for candidate, known in results.figures.items()
            if among(candidate, known) and any(name in known for name in names)
        }

        def rank(candidate: Candidate) -> tuple[float, str]:
            figure = having[candidate].get(by or names[0])
            return (-figure.height if figure else 0.0), str(candidate)

        lines = [
            [*candidate.cells, *(having[candidate].get(name, "–") for name in names)]
            for candidate in sorted(having, key=rank)
        ]
        return table((*HEAD, *titles), lines)

    return make


def _once(candidate: Candidate, known: dict[Name, Figure]) -> bool:
    return candidate.scorer != "probe"  # an autoencoder's two scorers have the same latents


def _where(name: Name) -> Callable[[Candidate, dict[Name, Figure]], bool]:
    return lambda candidate, known: name in known


def table_one(results: Results) -> str:
    """Return accuracy and AUC on the study's test part, beside the study's."""
    names = [(STUDY_LABEL, "validation", "accuracy"), STUDY_ACCURACY]
    names += [(STUDY_LABEL, STUDY_TEST, metric) for metric in ("auc", "weighted_auc")]
    lines: list[tuple[float, list[object]]] = [
        (
            known[STUDY_ACCURACY].height,
            [*candidate.cells, *(known.get(name, "–") for name in names), known[STUDY_ACCURACY].seeds],
        )
        for candidate, known in results.figures.items()
        if STUDY_ACCURACY in known
    ]
    lines += [
        (value, [*about, "–", "–", f"**{100 * value:.1f}**", auc, "–", "–"])
        for *about, value, auc in PUBLISHED
    ]
    head = (*HEAD, "Validation, %", "Test, %", "AUC, %", "AUC, weighted, %", "Seeds")
    return table(head, [cells for _, cells in sorted(lines, key=lambda line: -line[0])])


def aims(results: Results) -> str:
    """Return what each network was to reach, and whether it did, by the size that did best on the validation part."""
    lines: list[list[object]] = []
    for model, weights, scorer, label, split, metric, aim in AIMS:
        name, chosen_by = (label, split, metric), (label, "validation", metric)
        about = [f"{label}, {metric.replace('p_at_', 'P@').replace('_auc', ' AUC')}", f"{100 * aim:.1f}"]
        measured = {
            candidate: known
            for candidate, known in results.figures.items()
            if (candidate.model, candidate.weights, candidate.scorer) == (model, weights, scorer)
            and name in known
        }
        if not measured:
            cells = Candidate(model, weights, scorer, None).cells
            lines.append([*cells, *about, "–", "–", "–", "not measured yet"])
            continue
        best = max(measured, key=lambda candidate: measured[candidate][chosen_by].height)
        before = [
            known[name]
            for candidate, known in results.earlier.items()
            if dataclasses.replace(candidate, perceptual=best.perceptual) == best and name in known
        ]
        figure, validation = measured[best][name], measured[best][chosen_by]
        missed = [each.height < aim for each in (*before, figure)]
        reached = "**no**" if missed[-1] else "no at the first look, then yes" if any(missed) else "yes"
        looks = ", ".join(map(str, before)) or "–"
        lines.append([*best.cells, *about, validation, figure, looks, reached])
    head = (*HEAD, "Figure", "Aim, %", "Validation, %", "Test, %", "Measured before, %", "Reached")
    return table(head, lines)


def trials(results: Results) -> str:
    """Return each recipe that was tried on a validation part, and of the same network the one that was measured."""
    tried: dict[tuple[str, ...], dict[tuple[str, ...], tuple[bool, float, list[str]]]] = defaultdict(dict)
    for is_measured, files in ((True, results.rows.values()), (False, results.trials)):
        for rows, label in itertools.product(files, (STUDY_LABEL, "articleType")):
            line = tried_recipe(rows, label)
            if line is not None:
                # The trial of what was measured then is no other recipe.
                about = label, *(str(rows[0][name]) for name in ("model", "weights", "scorer"))
                tried[about].setdefault(tuple(line[1][:6]), (is_measured, *line))
    # A network with one recipe was not tried: it was measured.
    several = [sorted(lines.values(), reverse=True) for _, lines in sorted(tried.items()) if len(lines) > 1]
    others = ("Label", *HEAD, "Other than the library's recipe")
    head = (*others, "Minutes", "Training, %", "Validation, %", "Test part")
    lines = [[*cells, "measured" if yes else "–"] for each in several for yes, _, cells in each]
    return table(head, lines)


def tried_recipe(rows: list[Row], label: str) -> tuple[float, list[str]] | None:
    """Return the accuracy on the validation part and the first cells of a recipe's line; None where it has none."""
    wanted = label, "accuracy", 0
    part = {row["split"]: row for row in rows if (row["task"], row["metric"], row["seed"]) == wanted}
    training, candidate = rows[0]["configuration"]["training"], Candidate.of(rows[0])
    if "validation" not in part or training is None or candidate.scorer != "finetuned":
        return None
    given = fs.FineTuning(teacher="known" if candidate.weights == DISTILLED else None)
    deviations: list[list[str]] = []
    # A row doesn't say whether its network has normalisation layers, on which a rate depends.
    for normalised in (True, False):
        own = by_todays_names(given.recipe(candidate.recipe, normalised=normalised).to_dict())
        others = {
            name: value
            for name, value in training.items()
            if name not in OF_SPEED and not by_todays_names({name: value}).items() <= own.items()
        }
        deviations.append([f"`{name}={value!r}`" for name, value in others.items()])
    fewest: list[str] = min(deviations, key=len)
    validation, told = part["validation"], ", ".join(fewest) or "–"
    figures = [f"{100 * part[split]['value']:.1f}" for split in ("train", "validation")]
    return validation["value"], [label, *candidate.cells, told, f"{validation['seconds'] / 60:.0f}", *figures]


def errors_in_common(results: Results) -> str:
    """Return by how many networks the study's test photos are called something else, and what all get wrong."""
    evaluations = {
        Candidate.of(results.rows[stem][0]): evaluation(kept)
        for stem, kept in results.details.items()
        if kept["scorer"] in ("head", "finetuned") and not kept["model"].startswith("baseline-")
    }
    if not evaluations:
        return "No network has kept its probabilities."
    labels = next(iter(evaluations.values())).labels
    guesses = np.stack([each.predictions for each in evaluations.values()])
    wrong, networks = (guesses != labels).sum(axis=0), len(evaluations)
    by_all = wrong == networks
    counts = [[count, (wrong == count).sum()] for count in range(1, networks + 1)]
    named = Counter(
        (str(labels[photo]), Counter(guesses[:, photo].tolist()).most_common(1)[0][0])
        for photo in np.flatnonzero(by_all)
    )
    without = []
    for candidate, whole in evaluations.items():
        rest = fs.metrics.evaluate(labels[~by_all], whole.probabilities[~by_all], whole.classes)
        accuracies = (f"{100 * each.accuracy:.1f}" for each in (whole, rest))
        aucs = (f"{100 * each.weighted_auc:.2f}" for each in (whole, rest))
        without.append([*candidate.cells, *accuracies, *aucs])
    head = (*HEAD, "Accuracy, %", "Without them, %", "AUC, weighted, %", "Without them, %")
    return "\n\n".join(
        (
            table((f"Wrong by, of {networks} networks", "Photos"), counts),
            table(
                ("Label", "Called by most of them", "Photos, wrong by all"),
                [[*both, photos] for both, photos in named.most_common()],
            ),
            table(head, without),
        )
    )


def overfitting(results: Results) -> str:
    """Return the accuracy on training, validation and test photos, and the distance of the outer two."""
    parts = {STUDY_LABEL: ("train", "validation", STUDY_TEST)}
    parts |= dict.fromkeys(HARDER_LABELS, ("train", "validation", "test"))
    parts |= {CLOTHING_LABEL: ("train", "tuning", "validation")}
    found = []
    for order, (label, splits) in enumerate(parts.items()):
        shown = "clothing-dataset-small" if label == CLOTHING_LABEL else label
        for candidate, known in results.figures.items():
            train, chosen, test = (known.get((label, split, "accuracy")) for split in splits)
            if train is not None and test is not None:
                gap = round(100 * (train.height - test.height), 1) + 0.0
                cells = [shown, *candidate.cells, str(train), str(chosen or "–"), str(test), f"{gap:.1f}"]
                found.append((order, -test.height, cells))
    head = ("Label", *HEAD, "Training, %", "Validation, %", "Test, %", "Training − test")
    return table(head, [cells for *_, cells in sorted(found)])


def surroundings(results: Results) -> str:
    """Return when, on what and by which versions the rows were measured."""
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for stem, rows in results.rows.items():
        for around in (row["environment"] for row in rows):
            machine = f"{around['processor']}, {cores(around['cores'])}, {around['device']}"
            about = around["date"], machine, around["python"], around["torch"], around["scikit-learn"]
            seen[about].add(f"`{stem}.json`")
    lines = [[*about, ", ".join(sorted(files))] for about, files in sorted(seen.items())]
    return table(("Date", "Machine", "Python", "torch", "scikit-learn", "Files"), lines)


def training_curves(results: Results) -> str:
    """Return the pictures of every network that learned."""
    return "\n\n".join(
        f"![Loss by epoch, and accuracy where there are labels, of {title}](../images/{name})"
        for title, name in trained(results)
    )


def _distorted(task: str, split: str, metric: str) -> Callable[[Results], str]:
    every = ("clean", *DISTORTIONS)
    titles = ["JPEG" if name == "jpeg" else name.replace("-", " ").capitalize() for name in every]
    names = [(task, f"{split}-{name}", metric) for name in every]
    return compared(titles, names, among=_once if task == "id" else lambda candidate, known: True)


def _averages() -> Callable[[Results], str]:
    metrics = [
        f"{kind}_{metric}" for metric in ("precision", "recall", "f1") for kind in ("macro", "weighted")
    ]
    titles = [f"{metric.replace('_', ' ').capitalize()}, %".replace("f1", "F1") for metric in metrics]
    names = [(STUDY_LABEL, STUDY_TEST, metric) for metric in (*metrics, "calibration_error")]
    return compared((*titles, "Calibration error, %"), names, STUDY_ACCURACY)


def _harder(metric: str) -> Callable[[Results], str]:
    names = [(label, "test", metric) for label in HARDER_LABELS]
    return compared(HARDER_LABELS, names, ("articleType", "test", "accuracy"))


def _curve(label: str) -> Callable[[Results], str]:
    names = [(label, "validation", f"accuracy_with_{photos}") for photos in SHARES]
    every = (label, "validation", "accuracy")
    return compared((*map(str, SHARES), "all"), [*names, every], every, among=_where(names[0]))


def _retrieval(relevance: str) -> Callable[[Results], str]:
    titles = ("P@1, %", "P@5, %", "Recall@5, %", "Recall@10, %", "mAP@10, %")
    metrics = ("p_at_1", "p_at_5", "recall_at_5", "recall_at_10", "map_at_10")
    names = [(relevance, "test", metric) for metric in metrics]
    return compared(titles, names, (relevance, "test", "p_at_5"), among=_once)


_BY_PHOTO = ("articleType", "test-by-photo", "accuracy")
_CLOTHING = ("accuracy", "macro_f1", "weighted_f1", "calibration_error")

MAKERS: dict[str, Callable[[Results], str]] = {
    "table one": table_one,
    "aims": aims,
    "trials": trials,
    "errors in common": errors_in_common,
    "averages": _averages(),
    "training curves": training_curves,
    **{f"harder {metric}": _harder(metric) for metric in ("accuracy", "macro_f1", "calibration_error")},
    "twins": compared(
        ("By name, %", "By photo, %"),
        [("articleType", "test", "accuracy"), _BY_PHOTO],
        among=_where(_BY_PHOTO),
    ),
    "clothing": compared(
        ("Accuracy, %", "Macro F1, %", "Weighted F1, %", "Calibration error, %"),
        [(CLOTHING_LABEL, "validation", metric) for metric in _CLOTHING],
    ),
    **{f"retrieval {by}": _retrieval(by) for by in ("articleType", "baseColour", "articleType+baseColour")},
    **{
        f"same product {metric}": _distorted("id", "test", metric)
        for metric in ("recall_at_1", "recall_at_5")
    },
    f"distorted {STUDY_LABEL}": _distorted(*STUDY_ACCURACY),
    "distorted articleType": _distorted("articleType", "test", "accuracy"),
    "overfitting": overfitting,
    f"curve {STUDY_LABEL}": _curve(STUDY_LABEL),
    "curve articleType": _curve("articleType"),
    "environment": surroundings,
}
