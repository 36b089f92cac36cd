"""Write `index-opened.tar.xz`: an opened index of format 1, as `VisualIndex.open` leaves it.

    python tests/golden/make_opened.py

Run once, at the commit that introduced a format; the file stays as it is afterwards.
"""

import tarfile
import tempfile
from pathlib import Path

import numpy as np

import fashionsearch as fs

HERE = Path(__file__).parent
VECTORS = np.random.default_rng(7).normal(size=(14, 5)).astype(np.float32)


def main() -> None:
    """Make the index, and pack it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index-opened"
        with fs.VisualIndex.open(folder, dim=5, metric="euclidean", ef_search=70, progress=False) as index:
            index.add_vectors(
                VECTORS[:12],
                ids=[f"item {n} ü" for n in range(12)],
                metadata=[{"n": n, "price": n / 4, "sold": n % 2 == 0, "name": None} for n in range(12)],
            )
            index.update("item 3 ü", {"name": "half \ud800 pair", "more": "zero \0"})
            index.remove(["item 0 ü", "item 5 ü"])
            index._engine.checkpoint()
            index.add_vectors(VECTORS[12:], ids=["item 5 ü", "last"])
            index._engine._unsaved = 0  # so that closing leaves the checkpoint behind the journal
        with tarfile.open(HERE / "index-opened.tar.xz", "w:xz") as archive:
            archive.add(folder, arcname="index-opened")


if __name__ == "__main__":
    main()
