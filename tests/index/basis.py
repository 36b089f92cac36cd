"""An encoder for tests of migrations, and a process that migrates a folder's index and is to be killed."""

import sys
import time

import numpy as np

import fashionsearch as fs
from fashionsearch.images import iterate, read_image
from fashionsearch.index import reembedding


class Basis:
    """Twelve pixels of a small picture in a basis of its own, at so many seconds a photo."""

    def __init__(self, dim, seed, pause=0.0):
        self.dim, self.pause, self.embedded = dim, pause, 0
        self._basis = np.random.default_rng(seed).normal(size=(12, dim)).astype(np.float32)

    def embed(self, images):
        photos = [read_image(image) for image in iterate(images)]
        time.sleep(self.pause * len(photos))
        self.embedded += len(photos)
        pixels = np.stack([photo.reshape(-1)[:12] for photo in photos])
        return (pixels / np.float32(255) - np.float32(0.5)) @ self._basis


if __name__ == "__main__":
    reembedding._AT_ONCE = 5
    index = fs.VisualIndex.open(sys.argv[1], Basis(16, 0), progress=False)
    migration = index.migrate(Basis(10, 1, pause=0.002), pairs=50)
    while migration.done < 80:
        time.sleep(0.01)
    print("half", flush=True)
    time.sleep(60)
