"""The study's protocol and harder tasks, for any backbone: every figure is a row in a JSON file.

One file for a model, its weights and its scorer, in the folder of results. A figure that is there is not measured again, and
a network goes on from its checkpoints, so the same command finishes what was stopped. Recipes are chosen with
--validation-only; each test part is measured once a seed. `python scripts/make_results.py` makes the pages from the rows.

    python benchmarks/study.py --data fashion-product-images-small --backbone efficientnet_lite0
    python benchmarks/study.py --data … --backbone vgg19_bn --weights none --image-size 64 --seeds 0 1 2
    python benchmarks/study.py --data … --backbone autoencoder-cnn --backbone baseline-majority
    python benchmarks/study.py --data … --rerun benchmarks/results/study-baseline-majority.json --out again
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path

from harness.contenders import BASELINES, SCORERS, make_contenders
from harness.running import OtherConfigurationError, keep_details, measure, rerun
from harness.tasks import TASKS, Bench

import fashionsearch as fs


def main() -> None:
    """Run the command line."""
    options = parser().parse_args()
    bench = Bench(
        fs.datasets.load_fashion_products(options.data),
        clothing=options.clothing,
        checkpoints=options.checkpoints,
        cache=fs.EmbeddingCache(),
        details=functools.partial(keep_details, options.out),
    )
    try:
        if options.rerun is not None:
            for then, now in rerun(bench, options.rerun, out=options.out):
                name = f"{then['model']} {then['scorer']} {then['task']} {then['split']} {then['metric']}"
                print(f"{name}: {_shown(then['value'])}, again {_shown(now and now['value'])}")
            return
        for model in options.backbone or ["efficientnet_lite0"]:
            contenders = make_contenders(
                model,
                weights=None if options.weights == "none" else options.weights,
                scorers=options.scorers or (),
                image_size=options.image_size,
                training=options.training,
            )
            for contender in contenders:
                measure(
                    bench,
                    contender,
                    options.seeds,
                    options.tasks,
                    out=options.out,
                    validation_only=options.validation_only,
                )
    except (fs.errors.FashionSearchError, OtherConfigurationError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4f}"


def _training(text: str) -> fs.FineTuning:
    try:
        return fs.FineTuning.from_dict(json.loads(text))
    except (ValueError, AttributeError, fs.errors.InputError) as error:
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
        "--weights",
        default="default",
        help="default, none, a file, or distilled: from scratch, with a teacher in --training; autoencoders start "
        "from none (%(default)s)",
    )
    add("--image-size", type=int, help="side in pixels; default: the backbone's own")
    add(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=list(TASKS),
        metavar="TASK",
        help=f"of {', '.join(TASKS)}; default: all",
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
    add("--checkpoints", type=Path, default=Path("study-checkpoints"), help="folder (%(default)s)")
    add("--out", type=Path, default=Path(__file__).parent / "results", help="folder (%(default)s)")
    add(
        "--rerun",
        type=Path,
        metavar="FILE",
        help="measure a file's rows again, each from its own configuration",
    )
    return made


if __name__ == "__main__":
    main()
