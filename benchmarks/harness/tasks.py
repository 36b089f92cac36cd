"""What is measured for each candidate: a plan of measurements, each of which runs only when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fashionsearch as fs
from harness import data
from harness import figures as made
from harness.candidates import Candidate
from harness.data import Parts, labelled
from harness.distortions import DISTORTIONS, Pixels, distorted
from harness.figures import Figure
from harness.fitting import Encoder, Fitted, fit_network, fit_to_embeddings, make_encoder, most_frequent
from harness.names import (
    CLOTHING_LABEL,
    HARDER_LABELS,
    OF_ARTICLE_TYPE,
    SHARES,
    STUDY_LABEL,
    TAGGING,
    TWINS,
)
from harness.rows import StudyError

DISTORTED_PHOTOS = 1000
CLOTHING_IS_MISSING = "the task clothing needs the photos: --clothing clothing-dataset-small"
RELEVANCE = {
    "articleType": ("articleType",),
    "baseColour": ("baseColour",),
    "articleType+baseColour": ("articleType", "baseColour"),
}

Vectors = npt.NDArray[np.floating]
Measured = tuple[list[Figure], Fitted]


@dataclass(frozen=True)
class Measurement:
    """One part of one task."""

    step: str
    task: str
    split: str
    metrics: tuple[str, ...]
    photos: int
    data: str
    measure: Callable[[], Measured]

    @property
    def looks_at_test(self) -> bool:
        """Whether it looks at photos that no choice may be made on."""
        return "test" in self.split or (self.step == "clothing" and self.split == "validation")


class Bench:
    """The data, and what has been fitted to it: nothing is fitted twice for one candidate and seed.

    Without the folder of clothing-dataset-small its task is left out. `details` is called with the candidate, the seed, the
    fitted and the `Evaluation` of the study's test part.
    """

    def __init__(
        self,
        table: fs.datasets.Table,
        *,
        clothing: Path | None,
        checkpoints: Path,
        cache: fs.EmbeddingCache,
        details: Callable[[Candidate, int, Fitted, fs.Evaluation], None],
    ) -> None:
        self.table = table
        self.clothing = None if clothing is None else data.clothing_parts(clothing)
        self.checkpoints = checkpoints
        self.cache = cache
        self.details = details
        self._fitted: dict[tuple[Any, ...], Fitted] = {}
        self._encoders: dict[tuple[Any, ...], Encoder] = {}
        self._distorted: dict[tuple[str, str], list[Pixels]] = {}

    @cached_property
    def study(self) -> Parts:
        """The study's own division."""
        return data.study_parts(self.table)

    @cached_property
    def larger(self) -> Parts:
        """The division for the harder tasks."""
        return data.larger_parts(self.table)

    @cached_property
    def by_photo(self) -> Parts:
        """The division with twins."""
        return data.parts_by_photo(self.table)

    def fitted(
        self, candidate: Candidate, seed: int, parts: Parts, label: str, photos: int | None = None
    ) -> Fitted:
        """Return a candidate fitted to a label, or to its first so many labelled photos."""
        known = (repr(candidate), seed, parts.name, label, photos)
        if known not in self._fitted:
            train = learned(parts, label)[:photos]
            validation = data.of_known_classes(labelled(parts.validation, label), label, train)
            given = candidate, (train.images, train[label]), (validation.images, validation[label])
            if not candidate.embeds:
                result = most_frequent(train[label])
            elif candidate.scorer == "finetuned":
                name = f"{parts.name}-{label}" + ("" if photos is None else f"-{photos}")
                folder = self._folder(candidate, name, seed)
                result = fit_network(*given, seed=seed, checkpoints=folder, cache=self.cache)
            else:
                result = fit_to_embeddings(*given, self._encoder(candidate, seed, parts), seed)
            # Each share of a learning curve is asked for twice in a row, and then no more.
            self._fitted = {each: held for each, held in self._fitted.items() if each[-1] is None}
            self._fitted[known] = result
        return self._fitted[known]

    def forget(self) -> None:
        """Let go of what was fitted to labels: those of one seed are enough to hold."""
        self._fitted.clear()

    def _encoder(self, candidate: Candidate, seed: int, parts: Parts) -> Encoder:
        known = (repr(dataclasses.replace(candidate, scorer="knn")), seed, parts.name)
        if known not in self._encoders:
            self._encoders[known] = make_encoder(
                candidate,
                parts.train.images,
                parts.validation.images,
                seed=seed,
                checkpoints=self._folder(candidate, parts.name, seed),
                cache=self.cache,
            )
        return self._encoders[known]

    def _folder(self, candidate: Candidate, name: str, seed: int) -> Path:
        # Every scorer of an autoencoder resumes the same run; another recipe has another.
        scorer = candidate.scorer if candidate.scorer == "finetuned" else "encoder"
        network = dataclasses.replace(candidate, scorer=scorer)
        run = f"{network.stem.removeprefix('study-')}-{network.digest}"
        return self.checkpoints / run / name / f"seed-{seed}"

    def distorted(self, parts: Parts, name: str) -> tuple[fs.datasets.Table, Sequence[Any]]:
        """Return the first thousand test photos' rows, and the photos distorted; "clean" are as they are."""
        rows = parts.test[:DISTORTED_PHOTOS]
        if name == "clean":
            return rows, rows.images
        if (parts.name, name) not in self._distorted:
            self._distorted[parts.name, name] = distorted(rows.images, name, seed=0)
        return rows, self._distorted[parts.name, name]


def plan(bench: Bench, candidate: Candidate, seed: int, steps: Sequence[str]) -> Iterator[Measurement]:
    """Yield every measurement of a candidate in these steps of `TASKS`."""
    kinds = {
        "retrieval": _retrieval,
        "same-product": _same_product,
        "distortions": _distortions,
        "learning-curve": _learning_curve,
    }
    for step in steps:
        if step in TAGGING:
            yield from _tagging(bench, candidate, seed, step)
        elif candidate.embeds:
            yield from kinds[step.removesuffix(OF_ARTICLE_TYPE)](bench, candidate, seed, step)


def labels_of(bench: Bench, step: str) -> tuple[Parts, str]:
    """Return the parts of a step of `TASKS`, and the label that is learned for it.

    Raises:
        StudyError: if its photos aren't given.
    """
    if step == "clothing":
        if bench.clothing is None:
            raise StudyError(CLOTHING_IS_MISSING)
        return bench.clothing, CLOTHING_LABEL
    if step in HARDER_LABELS:
        return bench.larger, step
    if step == TWINS:
        return bench.by_photo, "articleType"
    # A network that learned from labels is asked for products by what it learned of articleType.
    of_article_type = step in ("retrieval", "same-product") or step.endswith(OF_ARTICLE_TYPE)
    return (bench.larger, "articleType") if of_article_type else (bench.study, STUDY_LABEL)


def learned(parts: Parts, label: str) -> fs.datasets.Table:
    """Return the training photos whose label is known."""
    return labelled(parts.train, label)


def _accuracy(
    metric: str, fitted: Fitted, photos: Sequence[Any], labels: npt.NDArray[Any]
) -> tuple[list[Figure], Fitted]:
    predicted = fitted.classes[fitted.probabilities(photos).argmax(axis=1)]
    return [made.share(metric, predicted == labels)], fitted


def _tagging(bench: Bench, candidate: Candidate, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)
    is_study = parts.name == "study"
    name = "clothing-dataset-small" if parts.name == "clothing" else parts.train.name

    def measured(table: fs.datasets.Table, split: str) -> Measured:
        fitted, rows = bench.fitted(candidate, seed, parts, label), labelled(table, label)
        evaluation = fs.metrics.evaluate(rows[label], fitted.probabilities(rows.images), fitted.classes)
        if split == parts.splits[0]:
            return made.training_figures(evaluation, 1 if is_study else made.MIN_SUPPORT), fitted
        if is_study and split == parts.splits[2]:
            bench.details(candidate, seed, fitted, evaluation)
        return (made.study_figures if is_study else made.harder_figures)(evaluation), fitted

    metrics = made.STUDY_METRICS if is_study else made.HARDER_METRICS
    each = (("accuracy", "macro_f1"), metrics, metrics)
    for table, split, these in zip(
        (parts.train, parts.validation, parts.test), parts.splits, each, strict=True
    ):
        photos = len(learned(parts, label))
        yield Measurement(step, label, split, these, photos, name, partial(measured, table, split))


def _retrieval(bench: Bench, candidate: Candidate, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)
    ranks: dict[str, npt.NDArray[np.intp]] = {}

    def measured(split: str, queries: fs.datasets.Table, columns: tuple[str, ...]) -> Measured:
        fitted = bench.fitted(candidate, seed, parts, label)
        if split not in ranks:
            ranks[split] = nearest(
                fitted.encoder.embed(parts.train.images), fitted.encoder.embed(queries.images), made.RANKS
            )
        ours, theirs = keys(parts.train, columns), keys(queries, columns)
        available = np.array([(ours == each).sum() if each else 0 for each in theirs])
        return made.retrieval_figures(ours[ranks[split]] == theirs[:, None], available), fitted

    about = made.RETRIEVAL_METRICS, len(parts.train), parts.train.name
    for split, queries in (("validation", parts.validation), ("test", parts.test)):
        for task, columns in RELEVANCE.items():
            yield Measurement(step, task, split, *about, partial(measured, split, queries, columns))


def keys(table: fs.datasets.Table, columns: tuple[str, ...]) -> npt.NDArray[np.object_]:
    """Return what two rows must share to be relevant to each other; "" where a label is unknown, and is shared by none."""
    rows = zip(*(table[column].tolist() for column in columns), strict=True)
    return np.array([" | ".join(row) if all(row) else "" for row in rows], dtype=object)


def nearest(collection: Vectors, queries: Vectors, k: int) -> npt.NDArray[np.intp]:
    """Return the positions of the k nearest by cosine, exactly, (n, k)."""
    index = fs.VisualIndex(dim=collection.shape[1], engine="exact")
    index.add_vectors(np.asarray(collection, dtype=np.float32))
    found = index.search_vectors(np.asarray(queries, dtype=np.float32), k=k)
    return found.ids.astype(np.intp)


def _same_product(bench: Bench, candidate: Candidate, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)
    collection: list[Vectors] = []

    def measured(name: str) -> Measured:
        fitted = bench.fitted(candidate, seed, parts, label)
        rows, photos = bench.distorted(parts, name)
        if not collection:
            collection.append(fitted.encoder.embed(bench.table.images))
        found = bench.table["id"][nearest(collection[0], fitted.encoder.embed(photos), 5)]
        own = found == rows["id"][:, None]
        return [made.share(f"recall_at_{k}", own[:, :k].any(axis=1)) for k in (1, 5)], fitted

    about = ("recall_at_1", "recall_at_5"), len(parts.train), parts.train.name
    for name in ("clean", *DISTORTIONS):
        yield Measurement(step, "id", f"test-{name}", *about, partial(measured, name))


def _distortions(bench: Bench, candidate: Candidate, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)

    def measured(name: str) -> Measured:
        rows, photos = bench.distorted(parts, name)
        return _accuracy("accuracy", bench.fitted(candidate, seed, parts, label), photos, rows[label])

    about = ("accuracy",), len(learned(parts, label)), parts.train.name
    for name in ("clean", *DISTORTIONS):
        yield Measurement(step, label, f"{parts.splits[2]}-{name}", *about, partial(measured, name))


def _learning_curve(bench: Bench, candidate: Candidate, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)
    known = learned(parts, label)

    def measured(metric: str, photos: int, split: str) -> Measured:
        fitted = bench.fitted(candidate, seed, parts, label, photos)
        rows = known[:photos] if split == "train" else labelled(parts.validation, label)
        return _accuracy(metric, fitted, rows.images, rows[label])

    for photos in (share for share in SHARES if share < len(known)):
        for split in ("train", "validation"):
            metric = f"accuracy_with_{photos}"
            measure = partial(measured, metric, photos, split)
            yield Measurement(step, label, split, (metric,), photos, parts.train.name, measure)
