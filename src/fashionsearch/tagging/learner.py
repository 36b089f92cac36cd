"""What a tagging network is trained as, from its options: network, heads, mixup and a teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fashionsearch.backbones import Backbone
from fashionsearch.runtimes.network import Network
from fashionsearch.tagging.distillation import DistillationObjective, Teacher
from fashionsearch.tagging.head import LinearHead
from fashionsearch.tagging.objective import TaggingObjective
from fashionsearch.training.augmentation import MixUp
from fashionsearch.training.objectives import Learner, unfreeze
from fashionsearch.training.options import FineTuning


def tagging_learner(
    backbone: Backbone,
    options: FineTuning,
    class_weights: Sequence[NDArray[np.float32]],
    *,
    heads: Sequence[LinearHead] | None = None,
    teacher: Teacher | None = None,
) -> Learner:
    """Return what is trained: the backbone's network, with an objective as the options say.

    Args:
        backbone: its module is trained in place.
        options: a filled recipe.
        class_weights: of each attribute, (c,) weights of its classes in the loss.
        heads: where the heads start; None is at random.
        teacher: whose probabilities are learned beside the labels of the one attribute, if any.
    """
    tagging = TaggingObjective(
        backbone.dim,
        class_weights,
        dropout=options.dropout or 0.0,
        label_smoothing=options.label_smoothing or 0.0,
        heads=heads,
    )
    objective: TaggingObjective | DistillationObjective = tagging
    if teacher is not None:
        weight, temperature = options.distillation_weight or 0.0, options.temperature or 1.0
        objective = DistillationObjective(tagging, teacher, weight=weight, temperature=temperature)
    mixup = MixUp(options.mixup, [len(weights) for weights in class_weights]) if options.mixup else None
    unfreeze(backbone.module, options.unfreeze or "all", (2, 3, *backbone.preprocess.image_size))
    # Heads that were fitted know the embeddings that the running statistics give. Those of a batch give others: on a few
    # hundred photos the loss then starts far above chance, and the network ends worse than it was.
    return Learner(
        Network(backbone.module, backbone.preprocess), objective, mixup, fixed_statistics=heads is not None
    )
