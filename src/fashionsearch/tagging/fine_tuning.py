"""A classifier whose network learns: fine-tuned from trained weights, or trained from scratch."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from fashionsearch.backbones import Backbone
from fashionsearch.device import torch_defaults
from fashionsearch.estimator import ImageEstimator, open_backbone, trained_backbone
from fashionsearch.images import Images, repeatable
from fashionsearch.results import History
from fashionsearch.tagging.distillation import DistillationObjective, FittedTagger, open_teacher
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.learner import tagging_learner
from fashionsearch.tagging.linear_probe import Labelled, fit_linear_probe
from fashionsearch.tagging.objective import TaggingObjective
from fashionsearch.targets import LABEL, Targets, warn_of_unseen
from fashionsearch.training import FineTuning
from fashionsearch.training.fit import fit_network
from fashionsearch.training.objectives import is_normalised
from fashionsearch.training.options import recipe_for
from fashionsearch.training.run import Run
from fashionsearch.training.run_folder import open_run_folder


def fine_tune(
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
    """Train a network and its head; from trained weights the head starts as a linear probe.

    Args:
        estimator: whose backbone, seed and progress bars.
        options: how it is trained.
        images: n images.
        targets: of the n images, for the one attribute of a classifier.
        validation: images and targets on which the best epoch is chosen and the head calibrated, or None.
        class_weights: (c,) weights in the loss.
        load_teacher: reads a teacher from its folder.
        checkpoints: a folder that is written after every epoch, or None.
        loggers: Lightning loggers.

    Returns:
        The trained backbone, the head and a row for each epoch.
    """
    images = repeatable(images)
    if validation is not None:
        warn_of_unseen(targets, validation[1])
        validation = repeatable(validation[0]), validation[1]
    with open_run_folder(checkpoints, estimator.random_state) as folder:
        backbone = open_backbone(estimator, folder.seed)
        if backbone is estimator.backbone:  # the caller's own stays as it is
            backbone = backbone.variant(module=copy.deepcopy(backbone.module))
        regime = recipe_for(estimator.weights)
        options = options.recipe(regime, normalised=is_normalised(backbone.module))
        teacher = open_teacher(options, targets.classes[LABEL], load_teacher)
        head = None
        if regime == "weights":
            head, _ = fit_linear_probe(
                backbone,
                images,
                targets,
                validation,
                class_weights={LABEL: class_weights},
                random_state=estimator.random_state,
            )[LABEL]
        with torch_defaults(), backbone.placement.fork_rng():
            torch.manual_seed(folder.seed)
            learner = tagging_learner(
                backbone, options, [class_weights], heads=None if head is None else [head], teacher=teacher
            )
        history = fit_network(
            Run(
                folder,
                learner,
                backbone,
                training=(images, targets.indices),
                validation=None if validation is None else (validation[0], validation[1].indices),
                options=options,
                identity={
                    "class_weights": class_weights.tolist(),
                    "teacher": teacher and teacher.fingerprint,
                },
                loggers=loggers,
                progress=estimator.progress,
            )
        )
    objective = cast("TaggingObjective | DistillationObjective", learner.objective)
    trained, (head,) = trained_backbone(backbone), objective.linear_heads()
    if validation is not None:
        # Smoothed and blended labels teach a network to be less sure than it may be. Always in torch: a runtime that
        # is there or not would round otherwise, and its export is none of this call's business.
        embedded = backbone.variant(module=backbone.module, runtime="torch").embed(validation[0])
        head = head.calibrated(embedded, validation[1].of(LABEL))
    return trained, head, history
