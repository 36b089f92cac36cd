"""Networks that ship in the wheel, with what they learned beside it; and which photos they learned from."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
