"""Tag product photos and search them by image, with any backbone.

The public names load when they are first used, so `import fashionsearch` stays cheap (SPEC 1).
"""

import lazy_loader as lazy

from fashionsearch import missing

__version__ = "0.1.0"

missing.install()
__getattr__, __dir__, _names = lazy.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]
