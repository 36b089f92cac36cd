"""What a figure depends on beside the code: written into every file of results."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = (
    *("fashionsearch-kit", "torch", "torchvision", "timm", "lightning", "onnxruntime", "openvino", "hnswlib"),
    *("faiss-cpu", "usearch", "fastai", "scikit-learn", "numpy", "pillow"),
)


def environment() -> dict[str, object]:
    """Return what the figures depend on beside the code."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": _cores(),
        "device": "cpu",
        "commit": _commit(),
        **{name: version for name in PACKAGES if (version := _version(name))},
    }


def _cores() -> int | None:
    # Those this process may use: a run that taskset keeps on one core must not say that it had two.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@functools.cache  # a checkout may move on while a network learns
def _commit() -> str | None:
    folder = Path(__file__).parent.parent

    def git(*words: str) -> str:
        asked = ["git", "-C", str(folder), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        # Results are written while figures are measured, and decide none.
        changed = git("status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results")
        return git("rev-parse", "--short=12", "HEAD") + ("-changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):  # no checkout
        return None


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
