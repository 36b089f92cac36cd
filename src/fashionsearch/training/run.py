"""`Run`: one training, what is trained on which photos and how, in one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fashionsearch.backbones import Backbone
from fashionsearch.images import Images
from fashionsearch.training.data import Sampling
from fashionsearch.training.objectives import Learner
from fashionsearch.training.options import FineTuning
from fashionsearch.training.run_folder import RunFolder

# What follows from the photos is made when the run is known to be this one, and to need it.
Targets: TypeAlias = "NDArray[np.intp] | Callable[[], NDArray[np.float16]] | None"
Part: TypeAlias = "tuple[Images, Targets]"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        folder: where checkpoints go; the run resumes from them.
        learner: what is trained, in place.
        backbone: whose preprocessing and device are used; its module is part of the learner.
        training: n images and their targets: (n, attributes) class numbers, −1 where a label is unknown; or a function that
            makes an array with a row for each photo; or None.
        validation: likewise; None trains for all epochs.
        options: a filled recipe.
        sampling: which photos an epoch shows, and how often.
        identity: what else decides the result, as JSON holds it.
        loggers: Lightning loggers.
        progress: show bars.
    """

    folder: RunFolder
    learner: Learner
    backbone: Backbone
    training: Part
    validation: Part | None
    options: FineTuning
    sampling: Sampling = field(default_factory=Sampling)
    identity: Mapping[str, Any] = field(default_factory=dict)
    loggers: Sequence[object] = ()
    progress: bool = True
