"""What does a search over HTTP cost beside the same by hand, how long does a client wait, and what do hostile requests do?

    python benchmarks/service.py --data fashion-product-images-small

`fashionsearch serve` answers for 12,000 items; eight clients send photos of 60×80 pixels, one after the other each, in rounds
of twelve seconds. Between these a plain script of onnxruntime, simplejpeg and hnswlib does the same in batches of eight in a
process of its own kind: decode, resize, embed and search, with as many threads; once as ONNX Runtime comes, whose threads
wait for each other spinning, and once without that, as the service runs it. Compared are photos for each second of CPU,
of all threads of either; clients are in another process than the service. Then come requests that mean no good
(`benchmarks/hostile.py`), after as many others of their kind to warm up: none may be answered by 5xx other than 503 and 504,
or tell of the server's files, and the service's memory may not grow.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hnswlib
import hostile
import numpy as np
import onnxruntime
import options
import PIL.Image
import raw_http
import simplejpeg
from timing import median, ratio, write

import fashionsearch as fs

ITEMS, CLIENTS, BATCH, K, EF = 12_000, 8, 8, 10, 50
SECONDS, WARM_UP, AT_ONCE, LIMIT = 12.0, 3.0, 8, 2.0
TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Script:
    """The same by hand.

    Args:
        vectors: (n, 256) of the items.
        graph: the network's file.
        spins: whether the network's threads wait for each other spinning.
    """

    def __init__(self, vectors: np.ndarray, graph: Path, *, spins: bool) -> None:
        settings = onnxruntime.SessionOptions()
        settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
        self._session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
        self._index = hnswlib.Index(space="cosine", dim=vectors.shape[1])
        self._index.init_index(len(vectors), ef_construction=200, M=16)
        self._index.add_items(vectors)
        self._index.set_ef(EF)

    def search(self, files: Sequence[bytes]) -> np.ndarray:
        """Return the places of the nearest items."""
        decoded = [PIL.Image.fromarray(simplejpeg.decode_jpeg(file, "RGB")) for file in files]
        pixels = np.stack([np.asarray(picture.resize((160, 160), 3)) for picture in decoded])
        (vectors,) = self._session.run(["embeddings"], {"pixels": pixels})
        return np.asarray(self._index.knn_query(vectors, k=K)[0])

    def round(self, files: Sequence[bytes], seconds: float) -> float:
        """Return photos a second of CPU."""
        began, until, done = time.process_time(), time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            start = done % (len(files) - BATCH)
            self.search(files[start : start + BATCH])
            done += BATCH
        return done / (time.process_time() - began)


class Served:
    """The service, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "fashionsearch",
            "serve",
            str(folder),
            "--port",
            "0",
            "--body-timeout",
            str(LIMIT),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        line = self._process.stdout.readline() if self._process.stdout else ""
        host, _, port = line.split(" is served at http://")[1].split(",")[0].partition(":")
        self.place = host, int(port)

    def cpu(self) -> float:
        """Return seconds of CPU that it has used."""
        fields = (
            Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Return MiB that it holds."""
        return (
            int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="utf-8").split()[1])
            * PAGE
            / 2**20
        )

    def stop(self) -> int:
        """Stop it, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)


def load(place: tuple[str, int], files: Sequence[bytes], seconds: float) -> tuple[list[float], int]:
    """Return how long each answer took in seconds, and how many were none, of clients at the same time."""
    waited: list[float] = []
    wrong = Counter[str]()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(*place, timeout=30)
        until, turn = time.perf_counter() + seconds, number
        while (began := time.perf_counter()) < until:
            body = files[turn % len(files)]
            connection.request("POST", f"/search?query={{%22k%22:{K}}}", body, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            content = answer.read()
            waited.append(time.perf_counter() - began)
            if answer.status != 200 or len(json.loads(content)["matches"]) != K:
                wrong["wrong"] += 1
            turn += CLIENTS
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waited, wrong["wrong"]


def attack(served: Served, count: int, secrets: Sequence[str]) -> dict[str, Any]:
    """Return what hostile requests did."""

    def answers(seed: int, many: int) -> list[raw_http.Answer]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(
                pool.map(lambda each: raw_http.send(served.place, each), hostile.requests(many, seed))
            )

    answers(1, count)
    before = served.memory()
    found = answers(0, count)
    statuses = Counter(answer.status for answer in found)
    return {
        "what": "hostile requests",
        "requests": count,
        "statuses": {str(status): number for status, number in sorted(statuses.items(), key=str)},
        "5xx": sum(
            number
            for status, number in statuses.items()
            if status and status >= 500 and status not in (503, 504)
        ),
        "leaks": sum(answer.leaks(secrets) for answer in found),
        "memory before (MiB)": round(before, 1),
        "growth of memory (MiB)": round(served.memory() - before, 1),
    }


def main() -> None:
    """Measure, and write."""
    parser = options.parser(__doc__, pairs=5, quick="600 photos, rounds of two seconds, 210 hostile requests")
    given = parser.parse_args()
    seconds, count = (2.0, 210) if given.quick else (SECONDS, 1000)
    files = [
        path.read_bytes()
        for path in sorted((given.data / "images").iterdir())[: 600 if given.quick else ITEMS]
    ]
    encoder = fs.create_backbone("fashion", progress=False)
    vectors = encoder.embed(files)
    if len(vectors) < ITEMS:
        drawn = (
            np.random.default_rng(0).normal(size=(ITEMS - len(vectors), vectors.shape[1])).astype(np.float32)
        )
        vectors = np.concatenate([vectors, drawn])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "catalogue")
        index = fs.VisualIndex(encoder, progress=False)
        index.add_vectors(vectors, ids=[str(number) for number in range(len(vectors))])
        index.save(folder)
        graph = Path(fs.__file__).parent / "pretrained" / "fashion.onnx"
        scripts = {
            "by hand": Script(vectors, graph, spins=True),
            "by hand, not spinning": Script(vectors, graph, spins=False),
        }
        served = Served(folder)
        try:
            rows = [
                measured(scripts, served, files, given.pairs, seconds),
                attack(served, count, [place, str(Path.home())]),
            ]
        finally:
            code = served.stop()
    rows[1]["exit code after SIGTERM"] = code
    write("service", rows, folder=given.out, about={"items": ITEMS, "clients": CLIENTS}, quick=given.quick)


def measured(
    scripts: dict[str, Script], served: Served, files: Sequence[bytes], pairs: int, seconds: float
) -> dict[str, Any]:
    """Return the figures of the load."""
    for script in scripts.values():
        script.round(files, WARM_UP)
    load(served.place, files, WARM_UP)
    rates: dict[str, list[float]] = {name: [] for name in ("service", *scripts)}
    waited: list[float] = []
    wrong = photos = 0
    for number in range(pairs):
        names = list(rates)
        for name in names if number % 2 == 0 else reversed(names):
            if name in scripts:
                rates[name].append(scripts[name].round(files, seconds))
                continue
            before = served.cpu()
            times, bad = load(served.place, files, seconds)
            rates[name].append(len(times) / (served.cpu() - before))
            waited += times
            wrong += bad
            photos += len(times)
        told = ", ".join(f"{name} {found[-1]:.1f}" for name, found in rates.items())
        print(f"round {number + 1} of {pairs}, photos a second of CPU: {told}", flush=True)
    return {
        "what": "photos a second of CPU",
        **{name: median(found).row() for name, found in rates.items()},
        **{f"over {name}": ratio(rates["service"], rates[name]).row() for name in scripts},
        "photos": photos,
        "photos a second": round(photos / (pairs * seconds), 1),
        "p50 (ms)": round(1000 * float(np.percentile(waited, 50)), 1),
        "p99 (ms)": round(1000 * float(np.percentile(waited, 99)), 1),
        "errors": wrong,
    }


if __name__ == "__main__":
    main()
