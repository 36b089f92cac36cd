"""What Prometheus reads: requests, how long they took, batches and items; of all workers together."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one worker, which meet those of the others in a folder.

    Args:
        folder: where they meet, which PROMETHEUS_MULTIPROC_DIR named before prometheus_client was imported; None is one
            worker.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._registry = CollectorRegistry()
        each: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter(
            "fashionsearch_requests", "Requests that were answered.", ("method", "route", "status"), **each
        )
        self._seconds = Histogram(
            "fashionsearch_request_seconds",
            "From the head of a request to its answer.",
            ("route",),
            buckets=_SECONDS,
            **each,
        )
        self._batches = Histogram(
            "fashionsearch_batch_photos",
            "Photos that went through the network together.",
            buckets=_SIZES,
            **each,
        )
        self.in_progress = Gauge(
            "fashionsearch_requests_in_progress",
            "Requests that are read or worked on.",
            multiprocess_mode="livesum",
            **each,
        )
        self._items = Gauge(
            "fashionsearch_items", "Items of the catalogue.", multiprocess_mode="mostrecent", **each
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def content(self, items: int | None) -> bytes:
        """Return all metrics as Prometheus reads them, with how many items there are now; None leaves it as it was."""
        if items is not None:
            self._items.set(items)
        if self._folder is None:
            return generate_latest(self._registry)
        everything = CollectorRegistry()
        multiprocess.MultiProcessCollector(everything, path=self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(everything)
