"""What does it cost to keep an index in step with a folder of photos: how many are embedded, and how long does it take?

    python benchmarks/syncing.py --data fashion-product-images-small

A copy of the photos is synced into an opened index by `fashion`: first all of them, then with nothing changed, then with a
hundred added (under new names), a hundred changed (another photo under the name) and a hundred removed. An encoder that
counts stands between, so what is embedded is what was asked for; nothing is taken from a cache of embeddings.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import options
from timing import write

import fashionsearch as fs
from fashionsearch.encoder import Batch

CHANGED = 100


class Counting:
    """A backbone, and how many photos it was asked to embed.

    Args:
        backbone: embeds.
    """

    def __init__(self, backbone: fs.Backbone) -> None:
        self._backbone, self.name, self.dim = backbone, backbone.name, backbone.dim
        self.embedded = 0

    def embed(self, images: Any) -> Any:
        """Embed some photos, uncounted: by one an index recognises its encoder."""
        return self._backbone.embed(images)

    def embed_batches(self, images: Any, **rest: Any) -> Iterator[Batch]:
        """Embed photos, and count them."""
        self.embedded += len(images)
        yield from self._backbone.embed_batches(images, **rest)

    def identity(self) -> dict[str, Any]:
        """Return that of the backbone."""
        return self._backbone.identity()

    def writers(self, prefix: str = "") -> Any:
        """Return those of the backbone."""
        return self._backbone.writers(prefix)


def main() -> None:
    """Measure, and write."""
    parser = options.parser(__doc__, quick="600 photos")
    given = parser.parse_args()
    photos = sorted((given.data / "images").iterdir())[: 600 if given.quick else None]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "photos")
        folder.mkdir()
        for photo in photos:
            shutil.copy(photo, folder)
        encoder = Counting(fs.create_backbone("fashion", progress=False))
        with fs.VisualIndex.open(Path(place, "index"), encoder, progress=False) as index:

            def sync(what: str) -> None:
                before, began, used = encoder.embedded, time.perf_counter(), time.process_time()
                done = index.sync(folder)
                rows.append(
                    {
                        "what": what,
                        "photos": len(list(folder.iterdir())),
                        "embedded": encoder.embedded - before,
                        "added": len(done.added),
                        "changed": len(done.changed),
                        "removed": len(done.removed),
                        "kept": done.kept,
                        "seconds": time.perf_counter() - began,
                        "cpu seconds": time.process_time() - used,
                    }
                )
                print(rows[-1], flush=True)

            sync("the first")
            sync("with nothing changed")
            for photo in photos[:CHANGED]:
                shutil.copy(photo, folder / f"new-{photo.name}")
            for photo, other in zip(photos[:CHANGED], photos[CHANGED : 2 * CHANGED], strict=True):
                shutil.copy(other, folder / photo.name)
            for photo in photos[2 * CHANGED : 3 * CHANGED]:
                (folder / photo.name).unlink()
            sync("a hundred added, changed and removed each")
            sync("with nothing changed")
    write("syncing", rows, folder=given.out, about={"encoder": "fashion"}, quick=given.quick)


if __name__ == "__main__":
    main()
