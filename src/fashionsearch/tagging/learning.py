"""From a tagger's arguments, photos and labels to what it has learned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.estimator import open_backbone
from fashionsearch.images import Images
from fashionsearch.results import History
from fashionsearch.tagging import tagger_fit
from fashionsearch.tagging.linear_probe import Labelled
from fashionsearch.tagging.metric_objective import likenesses
from fashionsearch.tagging.regime import check_tagger_options, refuse_run, training_options
from fashionsearch.tagging.state import State, check_attribute_names, readable_labels
from fashionsearch.tagging.taxonomy import learn_taxonomy
from fashionsearch.targets import Targets, class_weights, encode, make_targets
from fashionsearch.training import MetricLearning

if TYPE_CHECKING:
    from fashionsearch.tagging.answers import Labels
    from fashionsearch.tagging.tagger import Tagger


def learn(
    tagger: Tagger,
    images: Images,
    labels: Labels,
    validation: tuple[Images, Labels] | None,
    *,
    checkpoints: str | os.PathLike[str] | None,
    loggers: Sequence[object],
    on_error: str,
) -> tuple[Backbone, State, History]:
    """Return the network, what was learned beside it, and the history of the epochs; the tagger stays as it is.

    Arguments and errors are those of `Tagger.fit`.
    """
    check_tagger_options(tagger)
    options = training_options(tagger, tagger.augmented_views)
    images, targets, held_out = readable_parts(images, labels, validation, on_error)
    metric = tagger.metric or MetricLearning()
    weights = {
        name: class_weights(targets.of(name), classes, tagger.class_weight, "class_weight")
        for name, classes in targets.classes.items()
    }
    task = tagger_fit.Task(
        metric, weights, int(tagger.embedding_dim), int(tagger.augmented_views), tagger.random_state
    )
    likenesses(metric, targets)  # raises where the metric names what there isn't
    taxonomy = learn_taxonomy(targets, tagger.taxonomy)
    if options is None:
        refuse_run(checkpoints, loggers)
        backbone = open_backbone(tagger, tagger.random_state)
        fit = tagger_fit.fit_frozen(backbone, images, targets, held_out, task, progress=tagger.progress)
    else:
        fit = tagger_fit.fit_network(
            tagger, options, images, targets, held_out, task, checkpoints=checkpoints, loggers=loggers
        )
    return fit.backbone, State.of(fit, taxonomy), fit.history


def readable_parts(
    images: Images,
    labels: Labels,
    validation: tuple[Images, Labels] | None,
    on_error: str,
) -> tuple[Images, Targets, Labelled | None]:
    """Return images and targets of the training part, and of the validation part in the same classes.

    Raises:
        InputError: if labels are no mapping, or the validation part has an attribute that the training part lacks.
        DataError: if labels can't be classes of these images.
    """
    images, columns = readable_labels(images, labels, on_error)
    check_attribute_names(columns)
    targets = make_targets(images, columns, allow_unknown=True)
    if validation is None:
        return images, targets, None
    rest, apart = readable_labels(*validation, on_error, "validation labels")
    for name in apart:
        if name not in columns:
            raise errors.InputError(
                f"the validation part has labels of {name!r}, which the training part lacks; it has {', '.join(columns)}."
                + errors.did_you_mean(name, columns)
            )
    n = len(next(iter(apart.values())))
    complete = {name: apart.get(name, np.full(n, None, dtype=object)) for name in columns}
    return images, targets, (rest, encode(rest, complete, targets.classes, allow_unknown=True))
