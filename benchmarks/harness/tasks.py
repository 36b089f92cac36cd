"""What is measured for each contender: a plan of measurements, each of which runs only when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fashionsearch as fs
from harness import figures as made
from harness.contenders import Contender
from harness.data import (
    CLOTHING_LABEL,
    HARDER_LABELS,
    STUDY_LABEL,
    Parts,
    clothing_parts,
    labelled,
    larger_parts,
    of_known_classes,
    parts_by_photo,
    study_parts,
)
from harness.distortions import DISTORTIONS, Pixels, distorted
from harness.figures import Figure
from harness.fitting import Encoder, Fitted, encoder, fit
from harness.rows import StudyError

DISTORTED_PHOTOS = 1000
SHARES = (100, 200, 400, 800, 1600, 3200)  # photos to learn from, of the learning curves
RELEVANCE = {
    "articleType": ("articleType",),
    "baseColour": ("baseColour",),
    "articleType+baseColour": ("articleType", "baseColour"),
}
TWINS = "twins"  # articleType on a split in which test photos have twins among the training photos
CLOTHING_IS_MISSING = "the task clothing needs the photos: --clothing clothing-dataset-small"
OF_ARTICLE_TYPE = "-articleType"  # the same step for the harder label, on the larger split
TAGGING = (STUDY_LABEL, *HARDER_LABELS, TWINS, "clothing")
TASKS = (
    *TAGGING,
    "retrieval",
    "same-product",
    "distortions",
    f"distortions{OF_ARTICLE_TYPE}",
    "learning-curve",
    f"learning-curve{OF_ARTICLE_TYPE}",
)

Vectors = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Measurement:
    """One part of one task.

    Attributes:
        step: one of `TASKS`.
        task: the column's name, or "id" for the same product.
        split: the part that is measured.
        metrics: the figures that come out.
        photos: how many photos are learned from.
        data: the data set's name.
        measure: does it.
    """

    step: str
    task: str
    split: str
    metrics: tuple[str, ...]
    photos: int
    data: str
    measure: Callable[[], tuple[list[Figure], Fitted]]

    @property
    def looks_at_test(self) -> bool:
        """Whether it looks at photos that no choice may be made on."""
        return "test" in self.split or (self.step == "clothing" and self.split == "validation")


class Bench:
    """The data, and what has been fitted to it: nothing is fitted twice for one contender and seed.

    Args:
        table: of the Kaggle photos.
        clothing: the folder of clothing-dataset-small, or None to leave its task out.
        checkpoints: folder for networks that learn.
        cache: of embeddings.
        details: called with the contender, the seed, the fitted and the `Evaluation` of the study's test part.
    """

    def __init__(
        self,
        table: fs.datasets.Table,
        *,
        clothing: Path | None,
        checkpoints: Path,
        cache: fs.EmbeddingCache,
        details: Callable[[Contender, int, Fitted, fs.Evaluation], None],
    ) -> None:
        self.table = table
        self.clothing = None if clothing is None else clothing_parts(clothing)
        self.checkpoints = checkpoints
        self.cache = cache
        self.details = details
        self._fitted: dict[tuple[Any, ...], Fitted] = {}
        self._encoders: dict[tuple[Any, ...], Encoder] = {}
        self._distorted: dict[tuple[str, str], list[Pixels]] = {}

    @cached_property
    def study(self) -> Parts:
        """The study's own division."""
        return study_parts(self.table)

    @cached_property
    def larger(self) -> Parts:
        """The division for the harder tasks."""
        return larger_parts(self.table)

    @cached_property
    def by_photo(self) -> Parts:
        """The division with twins."""
        return parts_by_photo(self.table)

    def fitted(
        self, contender: Contender, seed: int, parts: Parts, label: str, photos: int | None = None
    ) -> Fitted:
        """Return a contender fitted to a label, or to its first so many labelled photos."""
        known = (repr(contender), seed, parts.name, label, photos)
        if known not in self._fitted:
            train = learned(parts, label)[:photos]
            held_out = of_known_classes(labelled(parts.validation, label), label, train)
            frozen = contender.scorer != "finetuned" and contender.embeds
            encoded = self._encoder(contender, seed, parts) if frozen else None
            name = f"{parts.name}-{label}" + ("" if photos is None else f"-{photos}")
            result = fit(
                contender,
                (train.images, train[label]),
                (held_out.images, held_out[label]),
                seed=seed,
                checkpoints=self._folder(contender, name, seed),
                embed=None if encoded is None else encoded.embed,
                cache=self.cache,
            )
            if encoded is not None:
                result = dataclasses.replace(
                    result,
                    seconds=result.seconds + encoded.seconds,
                    history=encoded.history if len(encoded.history) else result.history,
                    arithmetic=encoded.arithmetic,
                )
            # Each share of a learning curve is asked for twice in a row, and then no more.
            self._fitted = {each: held for each, held in self._fitted.items() if each[-1] is None}
            self._fitted[known] = result
        return self._fitted[known]

    def forget(self) -> None:
        """Let go of what was fitted to labels: those of one seed are enough to hold."""
        self._fitted.clear()

    def _encoder(self, contender: Contender, seed: int, parts: Parts) -> Encoder:
        known = (repr(dataclasses.replace(contender, scorer="knn")), seed, parts.name)
        if known not in self._encoders:
            self._encoders[known] = encoder(
                contender,
                parts.train.images,
                parts.validation.images,
                seed=seed,
                checkpoints=self._folder(contender, parts.name, seed),
                cache=self.cache,
            )
        return self._encoders[known]

    def _folder(self, contender: Contender, name: str, seed: int) -> Path:
        # Every scorer of an autoencoder goes on with the same run; another recipe has another.
        scorer = contender.scorer if contender.scorer == "finetuned" else "encoder"
        network = dataclasses.replace(contender, scorer=scorer)
        return (
            self.checkpoints
            / f"{network.stem.removeprefix('study-')}-{network.digest}"
            / name
            / f"seed-{seed}"
        )

    def distorted(self, parts: Parts, name: str) -> tuple[fs.datasets.Table, Sequence[Any]]:
        """Return the first thousand test photos' rows, and the photos distorted; "clean" are as they are."""
        rows = parts.test[:DISTORTED_PHOTOS]
        if name == "clean":
            return rows, rows.images
        if (parts.name, name) not in self._distorted:
            self._distorted[parts.name, name] = distorted(rows.images, name, seed=0)
        return rows, self._distorted[parts.name, name]


def plan(bench: Bench, contender: Contender, seed: int, steps: Sequence[str]) -> Iterator[Measurement]:
    """Yield every measurement of a contender in these steps of `TASKS`."""
    for step in steps:
        if step in TAGGING:
            yield from _tagging(bench, contender, seed, step)
        elif step == "retrieval" and contender.embeds:
            yield from _retrieval(bench, contender, seed)
        elif step == "same-product" and contender.embeds:
            yield from _same_product(bench, contender, seed)
        elif contender.embeds and step.startswith("distortions"):
            yield from _distortions(bench, contender, seed, step)
        elif contender.embeds and step.startswith("learning-curve"):
            yield from _learning_curve(bench, contender, seed, step)


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


def _evaluated(fitted: Fitted, images: Sequence[Any], labels: npt.NDArray[Any]) -> fs.Evaluation:
    return fs.metrics.evaluate(labels, fitted.probabilities(images), fitted.classes)


def _tagging(bench: Bench, contender: Contender, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)
    is_study = parts.name == "study"
    photos = len(learned(parts, label))
    metrics = made.STUDY_METRICS if is_study else made.HARDER_METRICS

    def on_training() -> tuple[list[Figure], Fitted]:
        fitted, rows = bench.fitted(contender, seed, parts, label), learned(parts, label)
        support = 1 if is_study else made.MIN_SUPPORT
        return made.training_figures(_evaluated(fitted, rows.images, rows[label]), support), fitted

    def on_part(part: fs.datasets.Table, *, keep: bool) -> tuple[list[Figure], Fitted]:
        fitted, rows = bench.fitted(contender, seed, parts, label), labelled(part, label)
        evaluation = _evaluated(fitted, rows.images, rows[label])
        if keep:
            bench.details(contender, seed, fitted, evaluation)
        return (made.study_figures if is_study else made.harder_figures)(evaluation), fitted

    train, validation, test = parts.splits
    data = parts.train.name if parts.name != "clothing" else "clothing-dataset-small"
    yield Measurement(step, label, train, ("accuracy", "macro_f1"), photos, data, on_training)
    yield Measurement(
        step, label, validation, metrics, photos, data, lambda: on_part(parts.validation, keep=False)
    )
    yield Measurement(step, label, test, metrics, photos, data, lambda: on_part(parts.test, keep=is_study))


def _retrieval(bench: Bench, contender: Contender, seed: int) -> Iterator[Measurement]:
    parts, label = labels_of(bench, "retrieval")
    ranks: dict[str, npt.NDArray[np.intp]] = {}

    def ranked(split: str, queries: fs.datasets.Table) -> tuple[npt.NDArray[np.intp], Fitted]:
        fitted = bench.fitted(contender, seed, parts, label)
        if split not in ranks:
            ranks[split] = nearest(fitted.embed(parts.train.images), fitted.embed(queries.images), made.RANKS)
        return ranks[split], fitted

    def measured(
        split: str, queries: fs.datasets.Table, columns: tuple[str, ...]
    ) -> tuple[list[Figure], Fitted]:
        found, fitted = ranked(split, queries)
        ours, theirs = keys(parts.train, columns), keys(queries, columns)
        available = np.array([(ours == each).sum() if each else 0 for each in theirs])
        return made.retrieval_figures(ours[found] == theirs[:, None], available), fitted

    for split, queries in (("validation", parts.validation), ("test", parts.test)):
        for task, columns in RELEVANCE.items():
            yield Measurement(
                "retrieval",
                task,
                split,
                made.RETRIEVAL_METRICS,
                len(parts.train),
                parts.train.name,
                lambda split=split, queries=queries, columns=columns: measured(split, queries, columns),  # type: ignore[misc]
            )


def keys(table: fs.datasets.Table, columns: tuple[str, ...]) -> npt.NDArray[np.object_]:
    """Return what two rows must share to be relevant to each other; "" where a label is unknown, and is shared by none."""
    rows = zip(*(table[column].tolist() for column in columns), strict=True)
    return np.array([" | ".join(row) if all(row) else "" for row in rows], dtype=object)


def nearest(collection: Vectors, queries: Vectors, k: int) -> npt.NDArray[np.intp]:
    """Return the places of the k nearest by cosine, exactly, (n, k)."""
    index = fs.VisualIndex(dim=collection.shape[1], engine="exact")
    index.add_vectors(np.asarray(collection, dtype=np.float32))
    found = index.search_vectors(np.asarray(queries, dtype=np.float32), k=k)
    return found.ids.astype(np.intp)


def _same_product(bench: Bench, contender: Contender, seed: int) -> Iterator[Measurement]:
    parts, label = labels_of(bench, "same-product")
    collection: list[Vectors] = []

    def measured(name: str) -> tuple[list[Figure], Fitted]:
        fitted = bench.fitted(contender, seed, parts, label)
        rows, photos = bench.distorted(parts, name)
        if not collection:
            collection.append(fitted.embed(bench.table.images))
        found = bench.table["id"][nearest(collection[0], fitted.embed(photos), 5)]
        own = found == rows["id"][:, None]
        return [made.share(f"recall_at_{k}", own[:, :k].any(axis=1)) for k in (1, 5)], fitted

    for name in ("clean", *DISTORTIONS):
        yield Measurement(
            "same-product",
            "id",
            f"test-{name}",
            ("recall_at_1", "recall_at_5"),
            len(parts.train),
            parts.train.name,
            lambda name=name: measured(name),  # type: ignore[misc]
        )


def _distortions(bench: Bench, contender: Contender, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)

    def measured(name: str) -> tuple[list[Figure], Fitted]:
        fitted = bench.fitted(contender, seed, parts, label)
        rows, photos = bench.distorted(parts, name)
        predicted = fitted.classes[fitted.probabilities(photos).argmax(axis=1)]
        return [made.share("accuracy", predicted == rows[label])], fitted

    for name in ("clean", *DISTORTIONS):
        yield Measurement(
            step,
            label,
            f"{parts.splits[2]}-{name}",
            ("accuracy",),
            len(learned(parts, label)),
            parts.train.name,
            lambda name=name: measured(name),  # type: ignore[misc]
        )


def _learning_curve(bench: Bench, contender: Contender, seed: int, step: str) -> Iterator[Measurement]:
    parts, label = labels_of(bench, step)

    def measured(photos: int, split: str) -> tuple[list[Figure], Fitted]:
        fitted = bench.fitted(contender, seed, parts, label, photos)
        rows = learned(parts, label)[:photos] if split == "train" else labelled(parts.validation, label)
        predicted = fitted.classes[fitted.probabilities(rows.images).argmax(axis=1)]
        return [made.share(f"accuracy_with_{photos}", predicted == rows[label])], fitted

    for photos in SHARES:
        if photos >= len(learned(parts, label)):
            break
        for split in ("train", "validation"):
            yield Measurement(
                step,
                label,
                split,
                (f"accuracy_with_{photos}",),
                photos,
                parts.train.name,
                lambda photos=photos, split=split: measured(photos, split),  # type: ignore[misc]
            )
