"""The way to the hub and back: the largest difference of what comes back, and the sockets that a second load opens.

The hub is a stand-in of its HTTP on loopback (`harness/hub_server.py`); the network is `fashion`, and photos are drawn. A
classifier, a tagger, an autoencoder and an index are pushed, loaded at the commit, and loaded again in a fresh process
whose sockets are counted by an audit hook, which hears of every socket that Python opens. Differences are between the
answers of what was pushed and of what both loads made, all on torch: another runtime rounds otherwise.

    python benchmarks/hub.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness.hub_server import HubServer
from numpy.typing import NDArray
from options import parser
from timing import write

AGAIN = """
import sys, time
sockets = []
sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith("socket.") else None)
import numpy as np, fashionsearch as fs
from hub import answers
kind, name, commit, photos, out = sys.argv[1:]
started = time.perf_counter()
loaded = getattr(fs, kind).from_pretrained(name, revision=commit, runtime="torch", progress=False)
seconds = time.perf_counter() - started
np.savez(out, **answers(loaded, np.load(photos)), sockets=len(sockets), seconds=seconds)
"""


def answers(model: Any, photos: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return all that a model or an index says of photos, as numbers."""
    if hasattr(model, "search"):
        found = model.search(list(photos), k=10)
        return {"similarities": found.similarities, "ids": found.ids.astype(np.int64)}
    said = {"embeddings": model.embed(photos)}
    if hasattr(model, "reconstruct"):
        said["drawn"] = model.reconstruct(photos)
    chances = model.predict_proba(photos) if hasattr(model, "predict_proba") else {}
    return said | (chances if isinstance(chances, dict) else {"chances": chances})


def largest(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> float:
    """Return the largest difference between answers."""
    return max(float(np.abs(one[name].astype(np.float64) - other[name]).max()) for name in one)


def models(photos: int) -> tuple[NDArray[np.uint8], dict[str, Callable[[], Any]]]:
    """Return photos, and what makes each model."""
    import fashionsearch as fs

    table = fs.datasets.make_catalogue(photos, seed=0)
    labels = {name: table[name] for name in ("articleType", "baseColour")}
    made: dict[str, Any] = {"random_state": 0, "runtime": "torch", "progress": False}

    def index() -> fs.VisualIndex:
        shop = fs.VisualIndex(
            fs.Classifier("fashion", **made).fit(table.images, labels["articleType"]), progress=False
        )
        shop.add(table.images)
        return shop

    short = fs.FineTuning(epochs=1)
    return np.stack(table.images), {
        "Classifier": lambda: fs.Classifier("fashion", **made).fit(table.images, labels["articleType"]),
        "Tagger": lambda: fs.Tagger("fashion", **made).fit(table.images, labels),
        "Autoencoder": lambda: fs.Autoencoder("cnn", image_size=32, training=short, **made).fit(table.images),
        "VisualIndex": index,
    }


def measure(
    kind: str, make: Callable[[], Any], photos: NDArray[np.uint8], hub: HubServer, folder: Path
) -> dict[str, Any]:
    """Push and load one model, and load it again in a fresh process."""
    import fashionsearch as fs

    model, name = make(), f"bench/{kind.lower()}"
    started = time.perf_counter()
    commit = model.push_to_hub(name)
    pushed = time.perf_counter() - started
    before = answers(model, photos)
    started = time.perf_counter()
    first = getattr(fs, kind).from_pretrained(name, revision=commit, runtime="torch", progress=False)
    fetched = time.perf_counter() - started
    np.save(folder / "photos.npy", photos)
    asked = len(hub.requests)
    words = [kind, name, commit, str(folder / "photos.npy"), str(folder / "again.npz")]
    subprocess.run([sys.executable, "-c", AGAIN, *words], check=True)  # noqa: S603
    again = dict(np.load(folder / "again.npz"))
    return {
        "what": kind,
        "bytes": sum(map(len, hub.files(name).values())),
        "largest_difference": max(largest(before, answers(first, photos)), largest(before, again)),
        "sockets_on_second_load": int(again["sockets"]),
        "requests_on_second_load": len(hub.requests) - asked,
        "seconds": {
            "push": pushed,
            "first load": fetched,
            "second load, fresh process": float(again["seconds"]),
        },
    }


def main() -> None:
    """Run the command line."""
    options = parser(__doc__, data=False, quick="24 photos").parse_args()
    with tempfile.TemporaryDirectory() as name, HubServer() as hub:
        folder = Path(name)
        sources = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])
        os.environ |= {
            "PYTHONPATH": sources,
            "HF_HOME": str(folder / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": hub.TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # which the stand-in doesn't speak
            "FASHIONSEARCH_CACHE": str(folder / "cache"),
        }
        photos, models_of = models(24 if options.quick else 240)
        rows = []
        for kind, make in models_of.items():
            rows.append(measure(kind, make, photos, hub, folder))
            print(rows[-1])
    about = {"protocol": __doc__, "photos": len(photos)}
    write("hub", rows, folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()
