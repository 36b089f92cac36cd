"""The study's protocol and harder tasks, for any backbone: every figure is a row in a JSON file.

One file for a model, its weights, its scorer and its size, in the folder of results. A figure that is there is not measured
again, and a network resumes from its checkpoints, so the same command finishes what was stopped. Recipes are chosen with
--validation-only; each test part is measured once a seed. `python benchmarks/make_pages.py` makes the pages from the rows.

    python benchmarks/study.py --quick
    python benchmarks/study.py --data fashion-product-images-small --backbone efficientnet_lite0
    python benchmarks/study.py --data … --backbone vgg19_bn --weights none --image-size 64 --seeds 0 1 2
    python benchmarks/study.py --data … --backbone autoencoder-cnn --backbone baseline-majority
    python benchmarks/study.py --data … --clothing … --rerun benchmarks/results/study-baseline-majority.json --out again
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.names import BASELINES, SCORERS, SUITABLE, TASKS
from harness.rows import StudyError

import fashionsearch as fs


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    from harness.session import run  # all that measures: seconds that --help needs not

    try:
        run(options)
    except (fs.errors.FashionSearchError, StudyError) as error:
        raise SystemExit(f"error: {error}") from error


def _training(text: str) -> fs.FineTuning:
    try:
        return fs.FineTuning.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError, fs.errors.InputError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a recipe: {error}") from error


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, several = made.add_argument, "; may be given several times"
    add("--data", type=Path, help="Fashion Product Images (Small), as Kaggle ships it")
    add("--clothing", type=Path, help="clothing-dataset-small; without it its task is left out")
    add(
        "--backbone",
        action="append",
        help="any name create_backbone knows, a plug-in's too; autoencoder-<name>; or "
        f"{', '.join(BASELINES)}{several} (efficientnet_lite0)",
    )
    add(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=f"a Python file that registers backbones with fs.register_backbone{several}",
    )
    add(
        "--weights",
        default=SUITABLE,
        help="default, none, a file, or distilled: from scratch, with a teacher in --training; without it default "
        "where a backbone has some, and none for cnn and autoencoders",
    )
    add("--image-size", type=int, help="side in pixels; default: the backbone's own")
    tasks = f"of {', '.join(TASKS)}; default: all for which there are photos"
    add("--tasks", nargs="+", choices=TASKS, metavar="TASK", help=tasks)
    add("--seeds", nargs="+", type=int, default=[0], help="of training (0)")
    add("--scorers", nargs="+", choices=SCORERS, help="default: the cheap ones that suit the backbone")
    recipe = """fields of FineTuning, such as '{"epochs": 60}'; the others are the library's recipe"""
    add("--training", type=_training, metavar="JSON", help=recipe)
    add("--validation-only", action="store_true", help="leave the test parts alone: to choose a recipe")
    add("--checkpoints", type=Path, help="folder (study-checkpoints; with --rerun or --quick one in --out)")
    add("--out", type=Path, help="folder (benchmarks/results; with --validation-only study-trials)")
    again = "measure a file's rows again, each from its own configuration, into --out"
    add("--rerun", type=Path, metavar="FILE", help=again)
    quick = "a smoke run: 240 photos, drawn ones without --data, at 32 pixels, two tasks and one epoch"
    add("--quick", action="store_true", help=quick)
    return made


if __name__ == "__main__":
    main()
