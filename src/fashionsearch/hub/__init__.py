"""Saved folders on Hugging Face's hub: pushed as they are with a card, and pulled at a pinned commit, every hash checked."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
