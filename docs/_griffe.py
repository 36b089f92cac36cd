"""Let mkdocstrings show `Example:` sections as code: it knows the plural only."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Rename the section in every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change one object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
