from . import datasets, errors, metrics, plots
from .auditing.audit import audit
from .autoencoder import Autoencoder
from .backbones.architectures import list_backbones, register_backbone
from .backbones.backbone import Backbone
from .backbones.factory import create_backbone
from .cache import EmbeddingCache
from .compression.optimize import Optimization, optimize
from .compression.precision import lower_precision
from .exporting import export
from .images import check_images
from .images.preprocess import Preprocess
from .index import VisualIndex
from .index.shards import embed_shards
from .results import Audit, Evaluation, Fidelity, History, Matches, Tags
from .tagging.classifier import Classifier
from .tagging.tagger import Tagger
from .training import Augmentation, FineTuning, MetricLearning, TrainingOptions
from .tuning import Tuning, tune

__version__: str

__all__ = [
    "Audit",
    "Augmentation",
    "Autoencoder",
    "Backbone",
    "Classifier",
    "EmbeddingCache",
    "Evaluation",
    "Fidelity",
    "FineTuning",
    "History",
    "Matches",
    "MetricLearning",
    "Optimization",
    "Preprocess",
    "Tagger",
    "Tags",
    "TrainingOptions",
    "Tuning",
    "VisualIndex",
    "__version__",
    "audit",
    "check_images",
    "create_backbone",
    "datasets",
    "embed_shards",
    "errors",
    "export",
    "list_backbones",
    "lower_precision",
    "metrics",
    "optimize",
    "plots",
    "register_backbone",
    "tune",
]
