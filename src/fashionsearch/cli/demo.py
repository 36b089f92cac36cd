"""The whole job on one catalogue: overview, a classifier, its evaluation, an index, a few searches, and a report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fashionsearch import metrics, plots
from fashionsearch.cache import EmbeddingCache
from fashionsearch.cli.report import Picture, Section, figure_png, write_report
from fashionsearch.datasets.table import Table
from fashionsearch.errors import DataError, InputError
from fashionsearch.index import VisualIndex
from fashionsearch.pretrained import is_shipped, learned_from
from fashionsearch.results import Evaluation, Matches, text_table
from fashionsearch.tagging.classifier import Classifier
from fashionsearch.tagging.tagger import Tagger
from fashionsearch.training import FineTuning

_QUERIES = 6
_LEARNING_SIZE = 128
_RECALL_QUERIES = 500
_MISTAKES_DRAWN, _MISTAKES_LISTED = 6, 50


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo measured and where it left it.

    Attributes:
        evaluation: of the classifier on the test part.
        recall: recall@10 against exact search, of HNSW if the index is large enough to need its graph.
        indexed: items in the index.
        seconds: step -> time.
        report: the HTML file.
    """

    evaluation: Evaluation
    recall: float
    indexed: int
    seconds: dict[str, float]
    report: Path


def run_demo(
    table: Table,
    out: Path,
    *,
    label: str,
    backbone: str = "fashion",
    fine_tune: bool = False,
    study_rows: int = 5000,
    say: Callable[[str], None],
) -> DemoResult:
    """Tag, evaluate, index and search one catalogue, and write `report.html`, `classifier/` and `catalogue/`.

    The classifier is trained and evaluated on the first `study_rows` rows, split as in the study (20 % test, 20 % of the
    rest validation, seed 42); all rows are indexed. The regularisation is chosen on the validation part, and the test
    part is used once.

    Args:
        table: the catalogue.
        out: the folder to write to.
        label: the column to learn.
        backbone: a name `create_backbone` knows.
        fine_tune: let the network learn too, at 128 pixels.
        study_rows: how many rows the classifier sees.
        say: called with each line of progress.
    """
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    say(repr(table))
    overview = table.overview()
    clock.lap("overview")
    say(repr(overview))

    train, validation, test = _parts(table, label, backbone, study_rows, say)
    say(
        f"\ntraining a classifier for {label}: {len(train):,} photos, {len(validation):,} for validation, "
        f"{len(test):,} for test"
    )
    known = np.isin(validation[label], train[label])  # a class of one photo may fall into the validation part
    held_out = validation[known]
    classifier = Classifier(backbone)
    if fine_tune:
        classifier = Classifier(backbone, training=FineTuning(), image_size=_LEARNING_SIZE, random_state=0)
    classifier.fit(train.images, train[label], validation=(held_out.images, held_out[label]))
    clock.lap("training")
    evaluation = classifier.evaluate(test.images, test[label])
    clock.lap("evaluation")
    say(repr(evaluation))
    classifier.save(out / "classifier")

    say(f"\nindexing {len(table):,} photos")
    index = VisualIndex(classifier)
    with EmbeddingCache() as cache:
        added = index.add(
            table.images, ids=table["id"].tolist(), metadata=table.metadata, on_error="skip", cache=cache
        )
    if added.failures:
        say(repr(added))
    clock.lap("indexing")
    index.save(out / "catalogue")
    clock.lap("saving")
    recall = _recall(index)
    shown = _one_of_each(test, label)
    matches = _search(index, shown)
    clock.lap("searching")
    say(repr(matches))

    out.mkdir(parents=True, exist_ok=True)
    images = dict(zip(table["id"].tolist(), table.images, strict=True))
    how = (
        f"Fine-tuned with backbone {backbone} at {_LEARNING_SIZE} pixels on {len(train):,} photos, the best epoch"
        if fine_tune
        else f"A linear head on the frozen backbone {backbone}, trained on {len(train):,} photos, its regularisation"
    )
    figures = (
        ("accuracy", evaluation.accuracy),
        ("macro F1", evaluation.f1),
        ("AUC", evaluation.auc),
        (_how_searched(index), recall),
    )
    titles = "productDisplayName" if "productDisplayName" in table.columns else label
    sections = [
        Section("In short", _in_short(evaluation, label, index, recall)),
        Section(
            "The catalogue",
            f"{len(table):,} photos. {table.report}",
            (
                _picture(
                    lambda figure: plots.overview(overview, figure=figure),
                    "Classes, sizes and colours",
                    (11, 9),
                ),
            ),
        ),
        Section(
            f"Tags: {label}",
            f"{how} chosen on {len(validation):,}, measured once on {len(test):,}.",
            (
                _picture(
                    lambda figure: plots.confusion(evaluation, ax=figure.subplots()),
                    "Confusion matrix",
                    (7, 6),
                ),
                _picture(lambda figure: plots.roc(evaluation, ax=figure.subplots()), "ROC curves", (7, 5.5)),
                _picture(
                    lambda figure: plots.precision_recall(evaluation, ax=figure.subplots()),
                    "Precision and recall",
                    (7, 5.5),
                ),
            ),
            (evaluation,),
        ),
        *([_learning_section(classifier, train)] if fine_tune else []),
        _looking_section(classifier, shown, label),
        _mistakes_section(evaluation, test, label, titles),
        *_shipped_section(backbone, shown),
        Section(
            "Search by photo",
            f"Test photos with their tags, and their five nearest of {len(index):,} items, themselves left out.",
            (
                _picture(
                    lambda figure: plots.matches(
                        matches,
                        images=images,
                        queries=shown.images,
                        titles=titles,
                        query_titles=_tags(classifier, shown, label),
                        figure=figure,
                    ),
                    f"Each row is a query, tagged with the {label} it probably is, and its five nearest",
                    (10, 12),
                ),
            ),
        ),
    ]
    report = write_report(out / "report.html", title=f"fashionsearch: {table.name}", sections=sections)
    clock.lap("report")
    say("\n" + text_table(("figure", "value"), figures))
    say(
        "\n"
        + text_table(
            ("step", "seconds"), [(step, f"{time_taken:.1f}") for step, time_taken in seconds.items()]
        )
    )
    return DemoResult(evaluation, recall, len(index), seconds, report)


def _learning_section(classifier: Classifier, train: Table) -> Section:
    return Section(
        "How it learned",
        "Losses and accuracies of each epoch, and photos as the network sees them while it learns.",
        (
            _picture(
                lambda figure: plots.training_curves(classifier.history_, figure=figure),
                "Training and validation",
                (9.5, 3.6),
            ),
            _picture(
                lambda figure: plots.augmentation(train.images[:4], figure=figure),
                "Photos, framed, and augmented copies",
                (10, 8),
            ),
        ),
        (classifier.history_,),
    )


def _shipped_section(backbone: str, shown: Table) -> list[Section]:
    """Return what a network that ships says of the photos without having seen the catalogue."""
    if not is_shipped(backbone):
        return []
    tags = Tagger.from_pretrained(backbone).tag(shown.images)
    return [
        Section(
            "Tags at once",
            f"The same photos as {backbone} tags them without any training: each attribute with its confidence.",
            tables=(tags,),
        )
    ]


def _tags(classifier: Classifier, shown: Table, label: str) -> list[str]:
    """Return each photo's tag and confidence, and what is true where that is something else."""
    probabilities = classifier.predict_proba(shown.images)
    found = []
    for row, truth in zip(probabilities, shown[label].tolist(), strict=True):
        best = classifier.classes_[row.argmax()]
        found.append(f"{best} {row.max():.0%}" + ("" if best == truth else f", truly {truth}"))
    return found


def _looking_section(classifier: Classifier, shown: Table, label: str) -> Section:
    pictures = [
        _picture(
            lambda figure: plots.predictions(
                shown.images,
                classifier.predict_proba(shown.images),
                classifier.classes_,
                labels=shown[label],
                figure=figure,
            ),
            "Photos with their most probable classes; the true one is green",
            (11, 1.9 * -(-len(shown) // 3)),
        )
    ]
    with contextlib.suppress(InputError):  # a transformer's attention can't be drawn by Grad-CAM
        heat = classifier.explain(shown.images[0])
        pictures.append(
            _picture(
                lambda figure: plots.explanation(shown.images[0], heat, figure=figure),
                "Where the evidence for the predicted class lies, by Grad-CAM",
                (4.6, 3.4),
            )
        )
    return Section("What it says, and why", "Test photos of different classes.", tuple(pictures))


def _in_short(evaluation: Evaluation, label: str, index: VisualIndex, recall: float) -> str:
    low, high = evaluation.interval("accuracy")
    wrong = int((evaluation.predictions != evaluation.labels).sum())
    wrongly = f"{wrong:,} get a wrong one, and are listed below" if wrong else "none gets a wrong one"
    tagged = (
        f"{100 * evaluation.accuracy:.1f} % of {len(evaluation.labels):,} test photos get the right {label} (95 % interval "
        f"{100 * low:.1f} – {100 * high:.1f}); {wrongly}."
    )
    if not index.has_graph:
        return f"{tagged}\n\nThe {len(index):,} items are so few that each search compares the photo with all of them."
    return (
        f"{tagged}\n\nA search walks a graph (HNSW) instead of comparing a photo with all {len(index):,} items, and finds "
        f"{100 * recall:.2f} % of the ten nearest that a comparison with all finds (recall@10)."
    )


def _mistakes_section(evaluation: Evaluation, test: Table, label: str, titles: str) -> Section:
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    if not len(wrong):
        return Section("Wrong tags", "There are none: every test photo got the right tag.")
    sure = evaluation.probabilities.max(axis=1)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")]
    shown = test[worst[:_MISTAKES_DRAWN]]
    rows = [
        (
            test["id"][row],
            test[titles][row],
            evaluation.labels[row],
            evaluation.predictions[row],
            f"{sure[row]:.0%}",
        )
        for row in worst[:_MISTAKES_LISTED]
    ]
    more = f" The first {_MISTAKES_LISTED} are listed." if len(wrong) > _MISTAKES_LISTED else ""
    return Section(
        "Wrong tags",
        f"{len(wrong):,} of {len(test):,} test photos, the surest mistakes first.{more}",
        (
            _picture(
                lambda figure: plots.predictions(
                    shown.images,
                    evaluation.probabilities[worst[:_MISTAKES_DRAWN]],
                    evaluation.classes,
                    labels=shown[label],
                    figure=figure,
                ),
                "The surest mistakes; the true class is green",
                (11, 1.9 * -(-len(shown) // 3)),
            ),
        ),
        ((("id", "name" if titles != label else label, label, "predicted", "how sure"), rows),),
    )


class _Clock:
    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._start = seconds, time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self._seconds[step] = now - self._start
        self._start = now


def _parts(
    table: Table, label: str, backbone: str, rows: int, say: Callable[[str], None]
) -> tuple[Table, Table, Table]:
    """Return the study's parts; where a shipped network learned from photos, those it did not learn from are the test.

    Raises:
        DataError: if it learned from all of them.
    """
    labelled = _labelled(table, label)
    learned = learned_from(backbone, labelled.images)
    if not learned.any():
        return _labelled(table[:rows], label).split(test=0.2, validation=0.2, seed=42)
    if learned.all():
        raise DataError(
            f"{backbone!r} learned from all {len(labelled):,} photos of {table.name!r}, so any figure would flatter it; give "
            "other photos with --data, or another network with --backbone efficientnet_lite0"
        )
    say(
        f"\n{backbone!r} learned from {int(learned.sum()):,} of these {len(labelled):,} photos: it is tested on others, and "
        "they stay in the index"
    )
    left = labelled[~learned]
    if len(left) > learned.sum():
        some: Table = left[:rows]
        return some.split(test=0.2, validation=0.2, seed=42)
    # A head may learn from what its network knows; it is calibrated, as it is tested, on what the network doesn't.
    validation, _, test = left.split(test=0.75, validation=0, seed=42)
    train: Table = labelled[learned][:rows]
    return train, validation, test


def _labelled(table: Table, label: str) -> Table:
    rows: Table = table[np.flatnonzero(table[label] != "")]
    return rows


def _how_searched(index: VisualIndex) -> str:
    return "recall@10 of HNSW" if index.has_graph else "recall@10 (exact: too few items for a graph)"


def _recall(index: VisualIndex) -> float:
    chosen = np.random.default_rng(0).permutation(len(index))[:_RECALL_QUERIES]
    ids = list(index)
    vectors = np.stack([index.get(ids[position]).vector for position in chosen])
    approximate = index.search_vectors(vectors, k=min(10, len(index)))
    return metrics.recall_at_k(
        approximate.ids, index.search_vectors(vectors, k=min(10, len(index)), exact=True).ids
    )


def _one_of_each(test: Table, label: str) -> Table:
    """Return a few rows of classes as different as can be."""
    _, first = np.unique(test[label], return_index=True)
    others = np.setdiff1d(np.arange(len(test)), first)
    rows: Table = test[np.concatenate([np.sort(first), others])[:_QUERIES]]
    return rows


def _search(index: VisualIndex, queries: Table) -> Matches:
    """Search photos, and leave each query itself out of its matches."""
    found = index.search(queries.images, k=6)
    keep = np.argsort(found.ids == queries["id"].astype(object)[:, None], axis=1, kind="stable")[:, :5]
    return found.rearranged(keep)


def _picture(draw: Callable[[Figure], object], caption: str, size: tuple[float, float]) -> Picture:
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    return Picture(figure_png(figure), caption)
