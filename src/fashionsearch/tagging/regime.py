"""Whether a classifier's or tagger's network learns, and by which options."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.backbones import Backbone
from fashionsearch.backbones.embedder import Embedder
from fashionsearch.backbones.modules import Projected
from fashionsearch.estimator import ImageEstimator
from fashionsearch.pretrained import is_shipped
from fashionsearch.training import FineTuning, MetricLearning
from fashionsearch.training.metric_losses import check_installed

if TYPE_CHECKING:
    from fashionsearch.tagging.tagger import Tagger


def training_options(estimator: ImageEstimator, augmented_views: object) -> FineTuning | None:
    """Return the options of a network that learns, or None for one that stays frozen.

    Args:
        estimator: whose arguments.
        augmented_views: of each photo, which are for a frozen network alone.

    Raises:
        InputError: if the arguments contradict each other.
    """
    estimator._check_training()
    views = augmented_views
    if not isinstance(views, Integral) or isinstance(views, bool) or int(views) < 0:
        raise errors.InputError(f"augmented_views={views!r} is not a whole number from 0 up")
    if estimator.training is None and estimator.weights is not None:
        return None
    if views:
        raise errors.InputError(
            f"augmented_views={views} are for a head on a frozen backbone; a network that learns sees its photos "
            "augmented in every epoch: leave it out, and see FineTuning(augment=...)"
        )
    options = estimator.training or FineTuning()
    if estimator.weights is None and options.unfreeze not in (None, "all"):
        raise errors.InputError(
            f"unfreeze={options.unfreeze!r} keeps layers as they are, and with weights=None they are random; use "
            "unfreeze='all', weights='default' or a file of weights"
        )
    return options


def refuse_run(checkpoints: object, loggers: Sequence[object]) -> None:
    """Raise InputError if there is anything of a run, where a network stays frozen and there is none."""
    if checkpoints is not None or loggers:
        raise errors.InputError(
            "checkpoints and loggers are for networks that learn, and training=None fits a head on a frozen one; "
            "leave them out, or use training=FineTuning()"
        )


def check_tagger_options(tagger: Tagger) -> None:
    """Raise InputError, or MissingPackageError, unless the arguments that a tagger alone has can be used."""
    given = tagger.backbone
    shipped = isinstance(given, Backbone) and is_shipped(given.name)
    if isinstance(given, Backbone) and not shipped and isinstance(given.module, Embedder | Projected):
        raise errors.InputError(
            "backbone= is that of a fitted Tagger or Autoencoder, with layers of its own behind the network, and a Tagger "
            "around it could not be saved; give the network's name, or a Backbone without them"
        )
    if not isinstance(tagger.backbone, str | Backbone):
        raise errors.InputError(
            f"backbone= is a {type(tagger.backbone).__name__}, and a Tagger learns on a network's name or a Backbone; an "
            "encoder of your own serves Tagger.zero_shot, or register_backbone makes a network of yours one"
        )
    if tagger.metric is not None and not isinstance(tagger.metric, MetricLearning):
        raise errors.InputError(f"metric={tagger.metric!r} is neither None nor a MetricLearning(...)")
    if tagger.metric is not None:
        check_installed(tagger.metric.loss)
    dim = tagger.embedding_dim
    if not isinstance(dim, Integral) or isinstance(dim, bool) or not 1 <= int(dim) <= 65536:
        raise errors.InputError(f"embedding_dim={dim!r} is not a whole number from 1 to 65,536")
    if tagger.class_weight not in (None, "balanced"):
        raise errors.InputError(f"class_weight={tagger.class_weight!r} is neither None nor 'balanced'")
