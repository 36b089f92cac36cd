"""What one command line of `study.py` asks for: what it names is opened before anything is measured."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from environment import environment

import fashionsearch as fs
from fashionsearch.cache import ENVIRONMENT as CACHE
from fashionsearch.pretrained import learned_from
from harness.candidates import Candidate, make_candidates
from harness.names import TASKS
from harness.rows import StudyError
from harness.running import check_teacher, keep_details, measure, rerun, shown
from harness.tasks import CLOTHING_IS_MISSING, Bench

RESULTS = Path(__file__).parents[1] / "results"
QUICK = RESULTS / "quick-study"
TRIALS = Path("study-trials")
CHECKPOINTS = Path("study-checkpoints")
QUICK_ROWS, QUICK_SIZE, QUICK_TASKS = 240, 32, ("masterCategory", "retrieval")


def run(options: argparse.Namespace) -> None:
    """Measure what the command line asks for."""
    environment()  # reads the commit that runs
    if "clothing" in (options.tasks or ()) and options.clothing is None:
        raise StudyError(CLOTHING_IS_MISSING)
    if options.rerun is not None and (options.out is None or options.validation_only or options.quick):
        raise StudyError("--rerun measures what its file holds, and needs a folder for it: --out again")
    for plugin in options.plugin:
        _register(plugin)
    out, checkpoints = options.out or _folder(options), options.checkpoints
    if options.rerun is not None:
        # What is measured again is made again.
        os.environ[CACHE] = str(out / "embeddings")
    if options.rerun is not None or options.quick:
        checkpoints = checkpoints or out / "checkpoints"
    bench = Bench(
        unlearned(_table(options), options.backbone or ()),
        clothing=options.clothing,
        checkpoints=checkpoints or CHECKPOINTS,
        cache=fs.EmbeddingCache(),
        details=functools.partial(keep_details, out),
    )
    if options.rerun is not None:
        _compare(bench, options.rerun, out, getattr(options.training, "teacher", None))
        return
    every = QUICK_TASKS if options.quick else TASKS
    steps = options.tasks or [step for step in every if step != "clothing" or options.clothing is not None]
    wanted = candidates(options)
    for candidate in wanted:
        _ = candidate.learning
        check_teacher(bench, candidate, steps)
    for candidate in wanted:
        measure(bench, candidate, options.seeds, steps, out=out, validation_only=options.validation_only)


def _folder(options: argparse.Namespace) -> Path:
    if options.quick:
        shutil.rmtree(QUICK, ignore_errors=True)  # of another time, perhaps of another recipe
        return QUICK
    return TRIALS if options.validation_only else RESULTS


def _table(options: argparse.Namespace) -> fs.datasets.Table:
    if options.data is None and options.quick:
        return fs.datasets.make_catalogue(QUICK_ROWS, seed=0)
    if options.data is None:
        raise StudyError("give the photos with --data, or --quick for a smoke run on drawn ones")
    table = fs.datasets.load_fashion_products(options.data)
    return table[:QUICK_ROWS] if options.quick else table


def unlearned(table: fs.datasets.Table, models: Sequence[str]) -> fs.datasets.Table:
    """Return the rows whose photos no shipped network among the models learned from, and say how many are left out.

    Raises:
        StudyError: if none is left.
    """
    for model in models:
        learned = learned_from(model, table.images)
        if learned.all():
            raise StudyError(
                f"{model!r} learned from all {len(table):,} photos, so any figure would flatter it; give others with --data"
            )
        if learned.any():
            print(
                f"{int(learned.sum()):,} of {len(table):,} photos are left out: {model!r} learned from them"
            )
            table = table[~learned]
    return table


def candidates(options: argparse.Namespace) -> list[Candidate]:
    """Return what the command line names."""
    training, size = options.training, options.image_size
    if options.quick:
        training, size = dataclasses.replace(training or fs.FineTuning(), epochs=1), size or QUICK_SIZE
    return [
        candidate
        for model in options.backbone or ["efficientnet_lite0"]
        for candidate in make_candidates(
            model,
            weights=None if options.weights == "none" else options.weights,
            scorers=options.scorers or (),
            image_size=size,
            training=training,
        )
    ]


def _register(plugin: Path) -> None:
    if not plugin.is_file() or plugin.suffix != ".py":
        raise StudyError(
            f"--plugin {plugin} is no Python file; give the one that registers your backbone, such as my_backbone.py"
        )
    sys.path.insert(0, str(plugin.parent.resolve()))  # its own imports, too
    importlib.import_module(plugin.stem)


def _compare(bench: Bench, path: Path, out: Path, teacher: str | None) -> None:
    pairs = rerun(bench, path, out=out, teacher=teacher)
    for then, now in pairs:
        name = f"{then['model']} {then['scorer']} {then['task']} {then['split']} {then['metric']}"
        print(f"{name}: {shown(then['value'])}, again {shown(None if now is None else now['value'])}")
    equal = sum(now is not None and now["value"] == then["value"] for then, now in pairs)
    print(f"{equal} of {len(pairs)} figures are equal")
