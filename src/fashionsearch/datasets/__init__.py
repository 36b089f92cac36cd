"""Photos with labels: the Kaggle catalogue, folders, CSV files, and a catalogue drawn by code."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
