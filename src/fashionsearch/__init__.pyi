from . import datasets, errors, metrics, plots
from .autoencoder import Autoencoder
from .backbones.base import Backbone
from .backbones.registry import create_backbone, list_backbones, register_backbone
from .cache import EmbeddingCache
from .classifier import Classifier
from .exporting import export
from .images import check_images
from .index import VisualIndex
from .optimization import Optimization, optimize
from .precision import lower_precision
from .preprocess import Preprocess
from .results import Evaluation, Fidelity, History, Matches
from .training import Augmentation, FineTuning
from .tuning import Tuning, tune

__version__: str

__all__ = [
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
    "Optimization",
    "Preprocess",
    "Tuning",
    "VisualIndex",
    "__version__",
    "check_images",
    "create_backbone",
    "datasets",
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
