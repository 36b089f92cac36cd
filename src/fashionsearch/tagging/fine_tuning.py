"""A tagging network that learns: fine-tuned from trained weights, or trained from scratch."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch.backbones import Backbone
from fashionsearch.device import torch_defaults
from fashionsearch.estimator import ImageEstimator, open_backbone, trained_backbone
from fashionsearch.images import Images, repeatable
from fashionsearch.results import History
from fashionsearch.tagging.distillation import FittedTagger, open_teacher
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.learner import tagging_learner
from fashionsearch.tagging.linear_probe import Labelled, fit_linear_probe
from fashionsearch.tagging.objective import TagsObjective
from fashionsearch.targets import LABEL, Targets, warn_of_unseen
from fashionsearch.training import FineTuning
from fashionsearch.training.data import Sampling
from fashionsearch.training.fit import fit_network
from fashionsearch.training.objectives import Learner, is_normalised
from fashionsearch.training.options import recipe_for
from fashionsearch.training.run import Run
from fashionsearch.training.run_folder import open_run_folder


@dataclass(frozen=True, eq=False)
class Plan:
    """What a network starts from, and what it learns by.

    Attributes:
        backbone: its module is trained in place.
        learner: the network and its objective, a `TagsObjective`.
        training: (n, …) int64 targets of the training photos.
        validation: of the validation photos, or None.
        sampling: which photos an epoch shows, and how often.
        identity: what of this decides the result, as JSON holds it.
    """

    backbone: Backbone
    learner: Learner
    training: NDArray[np.int64]
    validation: NDArray[np.int64] | None
    sampling: Sampling = field(default_factory=Sampling)
    identity: Mapping[str, Any] = field(default_factory=dict)


def fine_tune(
    estimator: ImageEstimator,
    options: FineTuning,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    make_plan: Callable[[Backbone, FineTuning, Images, Labelled | None, int], Plan],
    *,
    checkpoints: str | os.PathLike[str] | None,
    loggers: Sequence[object],
) -> tuple[Backbone, list[LinearHead], History]:
    """Train a network and its heads.

    Args:
        estimator: whose backbone, seed and progress bars.
        options: how it is trained.
        images: n images.
        targets: of the n images.
        validation: images and targets on which the best epoch is chosen, or None.
        make_plan: of the backbone, the filled recipe, images, validation and seed.
        checkpoints: a folder that is written after every epoch, or None.
        loggers: Lightning loggers.

    Returns:
        The trained backbone, a head for each attribute and a row for each epoch.
    """
    images = repeatable(images)
    if validation is not None:
        warn_of_unseen(targets, validation[1])
        validation = repeatable(validation[0]), validation[1]
    with open_run_folder(checkpoints, estimator.random_state) as folder:
        backbone = open_backbone(estimator, folder.seed)
        if backbone is estimator.backbone:  # the caller's own stays as it is
            backbone = backbone.variant(module=copy.deepcopy(backbone.module))
        options = options.recipe(recipe_for(estimator.weights), normalised=is_normalised(backbone.module))
        plan = make_plan(backbone, options, images, validation, folder.seed)
        history = fit_network(
            Run(
                folder,
                plan.learner,
                plan.backbone,
                training=(images, plan.training),
                validation=None if validation is None else (validation[0], plan.validation),
                options=options,
                sampling=plan.sampling,
                identity=plan.identity,
                loggers=loggers,
                progress=estimator.progress,
            )
        )
    objective = cast("TagsObjective", plan.learner.objective)
    return trained_backbone(plan.backbone), objective.linear_heads(), history


def fine_tune_classifier(
    estimator: ImageEstimator,
    options: FineTuning,
    images: Images,
    targets: Targets,
    validation: Labelled | None,
    *,
    class_weights: NDArray[np.float32],
    load_teacher: Callable[[str], FittedTagger],
    checkpoints: str | os.PathLike[str] | None,
    loggers: Sequence[object],
) -> tuple[Backbone, LinearHead, History]:
    """Train a classifier's network and head; from trained weights the head starts as a linear probe.

    Args:
        estimator: whose backbone, seed and progress bars.
        options: how it is trained.
        images: n images.
        targets: of the n images, for the one attribute of a classifier.
        validation: images and targets on which the head is calibrated too, or None.
        class_weights: (c,) weights in the loss.
        load_teacher: reads a teacher from its folder.
        checkpoints: a folder that is written after every epoch, or None.
        loggers: Lightning loggers.

    Returns:
        The trained backbone, the head and a row for each epoch.
    """
    if validation is not None:
        validation = repeatable(validation[0]), validation[1]

    def make_plan(
        backbone: Backbone, filled: FineTuning, photos: Images, held_out: Labelled | None, seed: int
    ) -> Plan:
        teacher = open_teacher(filled, targets.classes[LABEL], load_teacher)
        heads = None
        if recipe_for(estimator.weights) == "weights":
            probe = fit_linear_probe(
                backbone,
                photos,
                targets,
                held_out,
                class_weights={LABEL: class_weights},
                random_state=estimator.random_state,
            )
            heads = [probe[LABEL][0]]
        with torch_defaults(), backbone.placement.fork_rng():
            torch.manual_seed(seed)
            learner = tagging_learner(backbone, filled, [class_weights], heads=heads, teacher=teacher)
        return Plan(
            backbone,
            learner,
            targets.indices,
            None if held_out is None else held_out[1].indices,
            identity={
                "class_weights": class_weights.tolist(),
                "teacher": teacher and teacher.fingerprint,
            },
        )

    trained, (head,), history = fine_tune(
        estimator, options, images, targets, validation, make_plan, checkpoints=checkpoints, loggers=loggers
    )
    if validation is not None:
        # Smoothed and blended labels teach a network to be less sure than it may be. Always in torch: a runtime that
        # is there or not would round otherwise, and its export is none of this call's business.
        embedded = trained.variant(module=trained.module, runtime="torch").embed(validation[0])
        head = head.calibrated(embedded, validation[1].of(LABEL))
    return trained, head, history
