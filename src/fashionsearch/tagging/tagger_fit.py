"""How a `Tagger` learns: the embedding and the heads on it, and what it says of photos that it did not learn from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.architectures import find_architecture
from fashionsearch.backbones.embedder import Embedder, Projection, WithColours
from fashionsearch.cache import EmbeddingCache
from fashionsearch.device import torch_defaults
from fashionsearch.estimator import ImageEstimator, trained_backbone
from fashionsearch.images import Images, iterate, repeatable
from fashionsearch.images.decoding import Image
from fashionsearch.results import History
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.fine_tuning import Plan, fine_tune
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.linear_probe import Labelled, embed_parts
from fashionsearch.tagging.metric_objective import (
    MetricObjective,
    drawing_shares,
    first_attribute,
    likenesses,
    numbered,
)
from fashionsearch.tagging.objective import TaggingObjective
from fashionsearch.tagging.projection import HIDDEN, SCALE, familiarity, fit_projection, project
from fashionsearch.targets import UNKNOWN, Targets
from fashionsearch.training import FineTuning, MetricLearning
from fashionsearch.training.augmentation import Augmentation
from fashionsearch.training.data import Sampling
from fashionsearch.training.objectives import Learner, unfreeze
from fashionsearch.training.options import recipe_for, with_fields

_FOLDS, _ALL_FOLDS_BELOW, _ONE_IN = 4, 2000, 10

Heads = Mapping[str, LinearHead]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Photos that were not learned from.

    Attributes:
        logits: attribute -> (m, c), of heads that haven't seen them.
        targets: (m, attributes) class indices, −1 where unknown.
        familiarity: (m,) how familiar each is, as `Embedder.with_familiarity` says it.
    """

    logits: Mapping[str, NDArray[np.float64]]
    targets: NDArray[np.int64]
    familiarity: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fit:
    """A tagger that has learned.

    Attributes:
        backbone: embeds, its projection included.
        heads: attribute -> its head, not calibrated.
        history: a row for each epoch.
        embeddings: (n, dim) of the training photos.
        targets: of them.
        held_out: photos it did not learn from.
    """

    backbone: Backbone
    heads: Heads
    history: History
    embeddings: NDArray[np.float32]
    targets: Targets
    held_out: HeldOut


@dataclass(frozen=True, eq=False)
class Task:
    """What a tagger is to learn, beside photos and labels.

    Attributes:
        metric: what makes photos alike.
        class_weights: attribute -> (c,) weights of its classes.
        embedding_dim: length of an embedding.
        augmented_views: of each training photo, for a frozen network.
        random_state: of everything random; None is 0.
        hidden: units between features and embedding, which a network that learns does without.
        augmentation: what may happen to an augmented view; None is the usual.
    """

    metric: MetricLearning
    class_weights: Mapping[str, NDArray[np.float32]]
    embedding_dim: int
    augmented_views: int
    random_state: int | None
    hidden: int = HIDDEN
    augmentation: Augmentation | None = None


def with_colours(backbone: Backbone) -> Backbone:
    """Return a backbone that gives a network's embedding with the histogram of colours behind it."""
    if isinstance(backbone.module, Embedder):  # one that ships, to begin with
        return backbone.variant(module=backbone.module.features)
    with torch_defaults():
        module = WithColours(backbone.module, backbone.preprocess)
    return backbone.variant(module=module)


def with_projection(features: Backbone, projection: Projection) -> Backbone:
    """Return a backbone that embeds by a projection of features, which come from `with_colours`."""
    module = cast("WithColours", features.module)
    return trained_backbone(features, Embedder(module, projection.to(features.device)))


def fit_frozen(
    backbone: Backbone,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    task: Task,
    *,
    progress: bool,
) -> Fit:
    """Embed photos once by a network that stays as it is, and learn a projection and heads on that.

    Where there is no validation part, photos that others were fitted without stand in for it: a quarter at a time, or a
    tenth of them where there are 2,000 or more, and never all of a class.

    Args:
        backbone: stays as it is.
        images: n images; gone through more than once where there are views.
        targets: of the n images.
        validation: images and targets that are held out, or None.
        task: what is to be learned.
        progress: show a bar.

    Raises:
        ImageError: if an image can't be read.
        DataError: if there are not as many labels as images.
        WeightsError: if an embedding holds NaN or infinity.
        TrainingError: if the embeddings of different photos have become the same.
    """
    features = with_colours(backbone)
    images = repeatable(images) if task.augmented_views else images
    vectors, views, apart = embed_parts(
        features,
        images,
        targets,
        validation,
        augmented_views=task.augmented_views,
        random_state=task.random_state,
        augmentation=task.augmentation,
    )
    fit = partial(_fit_rows, vectors, views, targets, task)
    pieces = []
    if validation is None or apart is None:
        few = len(vectors) < _ALL_FOLDS_BELOW
        for rows, rest in _folds(targets, task, _FOLDS) if few else _folds(targets, task, _ONE_IN)[:1]:
            if len(rest):
                partial_fit = fit(rows, progress=progress)
                pieces.append(_held_out(partial_fit, vectors[rest], targets.indices[rest]))
    final = fit(np.arange(len(vectors)), progress=progress)
    if validation is not None and apart is not None:
        pieces.append(_held_out(final, apart, validation[1].indices))
    return Fit(
        with_projection(features, final.projection),
        final.heads,
        final.history,
        final.embeddings,
        targets,
        _joined(pieces),
    )


@dataclass(frozen=True, eq=False)
class _OnFeatures:
    """A projection and heads fitted to some rows, and the embeddings of these."""

    projection: Projection
    heads: Heads
    history: History
    embeddings: NDArray[np.float32]


def _fit_rows(
    vectors: NDArray[np.float32],
    views: NDArray[np.float32] | None,
    targets: Targets,
    task: Task,
    rows: NDArray[np.intp],
    *,
    progress: bool,
) -> _OnFeatures:
    chosen = Targets(targets.indices[rows], targets.classes)
    projection, heads, history = fit_projection(
        vectors[rows],
        chosen,
        views=None if views is None else views[:, rows],
        metric=task.metric,
        class_weights=[task.class_weights[name] for name in targets.classes],
        embedding_dim=task.embedding_dim,
        hidden=task.hidden,
        seed=task.random_state or 0,
        progress=progress,
    )
    return _OnFeatures(
        projection,
        dict(zip(targets.classes, heads, strict=True)),
        history,
        project(projection, vectors[rows]),
    )


def _folds(targets: Targets, task: Task, folds: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return which rows are learned from and which are held out, in each fold.

    Each class of the attribute that matters most is shared out evenly, and no class of any loses all its photos: where it
    would, one of them is learned from.
    """
    strata = targets.of(first_attribute(task.metric, targets))
    order = np.random.default_rng(task.random_state or 0).permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    return [_split(targets, order[fold::folds]) for fold in range(folds)]


def _split(targets: Targets, rest: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    held = np.zeros(len(targets.indices), dtype=bool)
    held[rest] = True
    for name in targets.classes:
        labels = targets.of(name)
        lost = held & (labels != UNKNOWN) & ~np.isin(labels, labels[~held])
        held[np.flatnonzero(lost)[np.unique(labels[lost], return_index=True)[1]]] = False
    return np.flatnonzero(~held), np.flatnonzero(held)


def _held_out(fitted: _OnFeatures, vectors: NDArray[np.float32], targets: NDArray[np.int64]) -> HeldOut:
    embeddings = project(fitted.projection, vectors)
    logits = {name: head.logits(embeddings) for name, head in fitted.heads.items()}
    return HeldOut(logits, targets, familiarity(fitted.projection, vectors))


def _joined(pieces: Sequence[HeldOut]) -> HeldOut:
    names = pieces[0].logits if pieces else {}
    return HeldOut(
        {name: np.concatenate([piece.logits[name] for piece in pieces]) for name in names},
        np.concatenate([np.zeros((0, 0), np.int64)] if not pieces else [piece.targets for piece in pieces]),
        np.concatenate([np.zeros(0, np.float32), *(piece.familiarity for piece in pieces)]),
    )


def fit_network(
    estimator: ImageEstimator,
    options: FineTuning,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    task: Task,
    *,
    checkpoints: str | os.PathLike[str] | None,
    loggers: Sequence[object],
) -> Fit:
    """Train a network, its projection and the heads together; from trained weights they start as `fit_frozen` leaves them.

    Where there is no validation part, a tenth of the photos is held out, and never all of a class.

    Args:
        estimator: whose backbone, seed and progress bars.
        options: how it is trained.
        images: n images.
        targets: of the n images.
        validation: images and targets on which the best epoch is chosen, or None.
        task: what is to be learned.
        checkpoints: a folder that is written after every epoch, or None.
        loggers: Lightning loggers.
    """
    for name, value, why in (
        ("teacher", options.teacher, "a teacher is for a Classifier"),
        ("mixup", options.mixup, "a metric loss needs photos that are not blended"),
        ("class_weights", options.class_weights, "a Tagger takes class_weight='balanced' itself"),
    ):
        if value:
            raise errors.InputError(f"training has {name}={value!r:.60}, and {why}; leave it out")
    options = with_fields(options, mixup=0.0)
    images = repeatable(images)
    learned = targets
    if validation is None:
        images, learned, rest = _set_apart(list(iterate(images)), targets, task)
    else:
        rest = repeatable(validation[0]), validation[1]
    make_plan = partial(_plan, estimator, targets=learned, task=task)
    backbone, found, history = fine_tune(
        estimator,
        options,
        images,
        learned,
        None if validation is None else rest,
        make_plan,
        checkpoints=checkpoints,
        loggers=loggers,
    )
    heads = dict(zip(targets.classes, found, strict=True))
    # Always in torch: a runtime that is there or not would round otherwise.
    module = cast("Embedder", backbone.module)
    by_torch = backbone.variant(module=module.features, runtime="torch")
    seen = by_torch.embed(images)
    module.projection.usual.copy_(torch.from_numpy(seen.mean(axis=0)))
    backbone = backbone.variant(module=module)  # another one: caches know the one before by its weights
    fitted = _OnFeatures(module.projection, heads, history, project(module.projection, seen))
    unseen = _held_out(fitted, by_torch.embed(rest[0]), rest[1].indices)
    return Fit(backbone, heads, history, fitted.embeddings, learned, unseen)


def _set_apart(images: list[Image], targets: Targets, task: Task) -> tuple[Images, Targets, Labelled]:
    kept, apart = _folds(targets, task, _ONE_IN)[0]
    rest = [images[place] for place in apart], Targets(targets.indices[apart], targets.classes)
    return [images[place] for place in kept], Targets(targets.indices[kept], targets.classes), rest


def _plan(
    estimator: ImageEstimator,
    backbone: Backbone,
    options: FineTuning,
    images: Images,
    validation: Labelled | None,
    seed: int,
    *,
    targets: Targets,
    task: Task,
) -> Plan:
    metric = task.metric.resolved(learns=True)
    weights = [task.class_weights[name] for name in targets.classes]
    trained = recipe_for(estimator.weights) == "weights"
    if metric.copies > 1 and metric.copies > (options.batch_size or 1) // 2:
        raise errors.InputError(
            f"copies={metric.copies} leave a batch of {options.batch_size} fewer than two photos; use a larger batch_size, "
            "or fewer copies"
        )
    known = heads = None
    if trained:
        start = fit_frozen(
            backbone,
            images,
            targets,
            validation,
            replace(task, augmented_views=0, hidden=0),  # it will see them augmented in every epoch
            progress=estimator.progress,
        )
        embedder, heads = start.backbone, [start.heads[name] for name in targets.classes]
        if metric.distillation:
            with EmbeddingCache() as cache:
                known = _at_its_own_size(estimator, backbone).embed(images, cache=cache)
    else:
        features = with_colours(backbone)
        with torch_defaults(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            embedder = with_projection(features, Projection(features.dim, task.embedding_dim))
    projection = cast("Embedder", embedder.module).projection
    projection.dropout.p = options.dropout or 0.0
    with torch_defaults(), backbone.placement.fork_rng():
        torch.manual_seed(seed)
        tags = TaggingObjective(
            task.embedding_dim,
            weights,
            label_smoothing=options.label_smoothing or 0.0,
            heads=heads,
            scale=SCALE,
        )
        alike = likenesses(metric, targets)
        sizes = {name: len(classes) for name, classes in targets.classes.items()}
        objective = MetricObjective(tags, metric, alike, sizes, dim=task.embedding_dim, known=known)
    unfreeze(embedder.module, options.unfreeze or "all", (2, 3, *backbone.preprocess.image_size))
    # The embedding is part of what stands above the network.
    projection.requires_grad_(True)
    return Plan(
        embedder,
        Learner(Network(embedder.module, embedder.preprocess), objective, fixed_statistics=trained),
        numbered(targets.indices),
        None if validation is None else numbered(validation[1].indices),
        Sampling(metric.copies, drawing_shares(metric, targets)),
        {"metric": metric.to_dict(), "class_weights": [each.tolist() for each in weights]},
    )


def _at_its_own_size(estimator: ImageEstimator, backbone: Backbone) -> Backbone:
    """Return a backbone at the image size it was made for, where it knows most."""
    if not isinstance(estimator.backbone, str):
        return backbone
    own = find_architecture(estimator.backbone).preprocess.image_size
    if own == backbone.preprocess.image_size:
        return backbone
    return backbone.variant(preprocess=replace(backbone.preprocess, image_size=own))
