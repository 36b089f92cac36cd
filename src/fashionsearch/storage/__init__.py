"""A saved thing is a folder of generations, written so that a crash at any moment loses nothing.

```text
classifier/
  manifest.json        names the current generation; SHA-256 and size of each of its files; renamed into place last
  generation-2/        what the manifest points to
  generation-1/        the one before, and any other that somebody is still reading
```

Files are written and synced first, then the manifest is renamed over the old one, so a reader finds the old state or
the new one and never a mixture. Tensors are safetensors and the rest is JSON: nothing here unpickles.

A hash tells of accidents and not of attackers, who can write a hash that fits. So what is read is also checked for what
it means: `Saved.json` and `Saved.arrays` raise CorruptFileError, and nothing else, whatever the files hold.
"""

from __future__ import annotations

from fashionsearch.files import PathLike, write_atomically
from fashionsearch.storage.arrays import parse_arrays, parse_metadata, write_arrays
from fashionsearch.storage.fields import Fields, write_json
from fashionsearch.storage.folder import (
    MANIFEST,
    LeftOut,
    Writer,
    check_target,
    open_saved,
    save,
    write_bytes,
)
from fashionsearch.storage.saved import Held, Mapped, Saved, write_copy

__all__ = [
    "MANIFEST",
    "Fields",
    "Held",
    "LeftOut",
    "Mapped",
    "PathLike",
    "Saved",
    "Writer",
    "check_target",
    "open_saved",
    "parse_arrays",
    "parse_metadata",
    "save",
    "write_arrays",
    "write_atomically",
    "write_bytes",
    "write_copy",
    "write_json",
]
