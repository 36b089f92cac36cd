from fashionsearch import datasets, errors, metrics, plots
from fashionsearch.backbones.base import Backbone
from fashionsearch.backbones.registry import create_backbone, list_backbones, register_backbone
from fashionsearch.classifier import Classifier
from fashionsearch.images import Preprocess, check_images
from fashionsearch.index import VisualIndex
from fashionsearch.results import Evaluation, History, Matches

__version__: str

__all__ = [
    "Backbone",
    "Classifier",
    "Evaluation",
    "History",
    "Matches",
    "Preprocess",
    "VisualIndex",
    "__version__",
    "check_images",
    "create_backbone",
    "datasets",
    "errors",
    "list_backbones",
    "metrics",
    "plots",
    "register_backbone",
]
