"""The study's protocol and harder tasks, for any backbone: every figure is a row in a JSON file.

One file for a model, its weights, its scorer and its size, in the folder of results. A figure that is there is not measured
again, and a network goes on from its checkpoints, so the same command finishes what was stopped. Recipes are chosen with
--validation-only; each test part is measured once a seed. `python scripts/make_results.py` makes the pages from the rows.

    python benchmarks/study.py --data fashion-product-images-small --backbone efficientnet_lite0
    python benchmarks/study.py --data … --backbone vgg19_bn --weights none --image-size 64 --seeds 0 1 2
    python benchmarks/study.py --data … --backbone autoencoder-cnn --backbone baseline-majority
    python benchmarks/study.py --data … --clothing … --rerun benchmarks/results/study-baseline-majority.json --out again
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import sys
from pathlib import Path

from environment import environment
from harness.contenders import BASELINES, SCORERS, SUITABLE, Contender, make_contenders
from harness.rows import StudyError
from harness.running import check_teacher, keep_details, measure, rerun, shown
from harness.tasks import CLOTHING_IS_MISSING, TASKS, Bench

import fashionsearch as fs
from fashionsearch.cache import ENVIRONMENT as CACHE

RESULTS = Path(__file__).parent / "results"
TRIALS = Path("study-trials")
CHECKPOINTS = Path("study-checkpoints")


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    try:
        run(options)
    except (fs.errors.FashionSearchError, StudyError) as error:
        raise SystemExit(f"error: {error}") from error


def run(options: argparse.Namespace) -> None:
    """Measure what the command line asks for; what it names is opened before anything is measured."""
    environment()  # reads the commit that runs
    if "clothing" in (options.tasks or ()) and options.clothing is None:
        raise StudyError(CLOTHING_IS_MISSING)
    if options.rerun is not None and (options.out is None or options.validation_only):
        raise StudyError("--rerun measures what its file holds, and needs a folder for it: --out again")
    for plugin in options.plugin:
        _register(plugin)
    out = options.out or (TRIALS if options.validation_only else RESULTS)
    checkpoints = options.checkpoints or CHECKPOINTS
    if options.rerun is not None:
        # What is measured again is made again.
        checkpoints = options.checkpoints or out / "checkpoints"
        os.environ[CACHE] = str(out / "embeddings")
    bench = Bench(
        fs.datasets.load_fashion_products(options.data),
        clothing=options.clothing,
        checkpoints=checkpoints,
        cache=fs.EmbeddingCache(),
        details=functools.partial(keep_details, out),
    )
    if options.rerun is not None:
        _compare(bench, options.rerun, out, getattr(options.training, "teacher", None))
        return
    steps = options.tasks or [step for step in TASKS if step != "clothing" or options.clothing is not None]
    wanted = contenders(options)
    for contender in wanted:
        contender.configuration()
        check_teacher(bench, contender, steps)
    for contender in wanted:
        measure(
            bench,
            contender,
            options.seeds,
            steps,
            out=out,
            validation_only=options.validation_only,
        )


def contenders(options: argparse.Namespace) -> list[Contender]:
    """Return what the command line names."""
    return [
        contender
        for model in options.backbone or ["efficientnet_lite0"]
        for contender in make_contenders(
            model,
            weights=None if options.weights == "none" else options.weights,
            scorers=options.scorers or (),
            image_size=options.image_size,
            training=options.training,
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


def _training(text: str) -> fs.FineTuning:
    try:
        return fs.FineTuning.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError, fs.errors.InputError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a recipe: {error}") from error


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--data", type=Path, required=True, help="Fashion Product Images (Small), as Kaggle ships it")
    add("--clothing", type=Path, help="clothing-dataset-small; without it its task is left out")
    add(
        "--backbone",
        action="append",
        help="any name create_backbone knows, a plug-in's too; autoencoder-<name>; or "
        f"{', '.join(BASELINES)}; may be given several times (efficientnet_lite0)",
    )
    add(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file that registers backbones with fs.register_backbone; may be given several times",
    )
    add(
        "--weights",
        default=SUITABLE,
        help="default, none, a file, or distilled: from scratch, with a teacher in --training; without it default "
        "where a backbone has some, and none for cnn and autoencoders",
    )
    add("--image-size", type=int, help="side in pixels; default: the backbone's own")
    add(
        "--tasks",
        nargs="+",
        choices=TASKS,
        metavar="TASK",
        help=f"of {', '.join(TASKS)}; default: all for which there are photos",
    )
    add("--seeds", nargs="+", type=int, default=[0], help="of training (0)")
    add("--scorers", nargs="+", choices=SCORERS, help="default: the cheap ones that suit the backbone")
    add(
        "--training",
        type=_training,
        metavar="JSON",
        help="""fields of FineTuning, such as '{"epochs": 60}'; the others are the library's recipe""",
    )
    add("--validation-only", action="store_true", help="leave the test parts alone: to choose a recipe")
    add("--checkpoints", type=Path, help=f"folder ({CHECKPOINTS}; with --rerun one in --out)")
    add("--out", type=Path, help=f"folder ({RESULTS}; with --validation-only {TRIALS})")
    add(
        "--rerun",
        type=Path,
        metavar="FILE",
        help="measure a file's rows again, each from its own configuration, into --out",
    )
    return made


if __name__ == "__main__":
    main()
