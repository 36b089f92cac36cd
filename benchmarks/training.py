"""How long a tagger takes to 97.5 % validation accuracy, frozen and fine-tuned, against fastai with the same weights.

The study's split: the first 5,000 rows, 3,200 photos to learn from and 800 for validation; the column is masterCategory.
Both sides start from the same ImageNet weights of EfficientNet-Lite0, and each run has a process of its own, with an
empty cache. The clock starts once libraries are imported, and covers everything else: making the network, reading photos,
exporting, embedding, training and validating.

- frozen: `Classifier` at 128 px and at the default size. fastai: `vision_learner`, whose body is frozen, with
  `fit_one_cycle(n)` at 128 px, for the smallest n up to 5 whose last epoch reaches the target; only that run counts, as
  if n had been known, and the one of 5 epochs where none does; with --fewest-epochs the search begins higher. Contenders
  alternate; a round is a seed.
- fine-tuned: `Classifier` with `FineTuning()` and fastai's `fine_tune(5)`, at 128 px, both with the rates that are their
  default. What counts is the time to the end of the first epoch that reaches the target, or for fastai, where none does, of
  the last. Rounds likewise.

Each finished run is written to a file at once, and isn't repeated: the same command goes on after an interruption.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from options import parser
from timing import median, ratio, write

LABEL = "masterCategory"
TARGET = 0.975
SIZE = 128
MOST_EPOCHS = 5
Row = dict[str, Any]


def split(data: Path, rows: int) -> tuple[Any, Any]:
    """Return the training part and the validation part of the first rows."""
    import fashionsearch as fs

    train, validation, _ = fs.datasets.load_fashion_products(data)[:rows].split(
        test=0.2, validation=0.2, seed=42
    )
    return train, validation


def ours_frozen(data: Path, rows: int, seed: int, image_size: int | None) -> Row:
    """Fit a head on the frozen backbone; return seconds and accuracy."""
    import fashionsearch as fs

    train, validation = split(data, rows)
    fs.create_backbone("efficientnet_lite0")  # imports all that it needs, outside the clock
    tagger = fs.Classifier("efficientnet_lite0", image_size=image_size, random_state=seed, progress=False)
    began = time.perf_counter()
    tagger.fit(train.images, train[LABEL], validation=(validation.images, validation[LABEL]))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": tagger.score(validation.images, validation[LABEL])}


def ours_fine_tuned(data: Path, rows: int, seed: int, epochs: int | None) -> Row:
    """Fine-tune by the recipe for trained weights; return the seconds at the end of each epoch, and its accuracy."""
    import fashionsearch as fs
    from fashionsearch.training import fit as running  # noqa: F401 - imported outside the clock

    train, validation = split(data, rows)
    fs.create_backbone("efficientnet_lite0")
    tagger = fs.Classifier(
        "efficientnet_lite0",
        training=fs.FineTuning(epochs=epochs),
        image_size=SIZE,
        random_state=seed,
        progress=False,
    )
    began = time.perf_counter()
    tagger.fit(train.images, train[LABEL], validation=(validation.images, validation[LABEL]))
    total = time.perf_counter() - began
    # What is not in an epoch is counted before the first, though saving the last comes after.
    lasted = tagger.history_["seconds"]
    ends = [total - sum(lasted[place + 1 :]) for place in range(len(lasted))]
    return {"ends": ends, "accuracies": tagger.history_["validation_accuracy"]}


def fastai_learner(data: Path, rows: int, seed: int) -> Callable[[], Any]:
    """Return what makes fastai's learner, in its own documented way."""
    import pandas as pd
    import safetensors.torch
    from fastai.vision import all as vision

    import fashionsearch as fs

    train, validation = split(data, rows)
    frame = pd.DataFrame(
        {
            "photo": [os.fspath(path) for part in (train, validation) for path in part.images],
            "label": [*train[LABEL], *validation[LABEL]],
            "valid": [False] * len(train) + [True] * len(validation),
        }
    )
    weights = Path(os.environ["FASHIONSEARCH_CACHE"]) / "lite0.safetensors"
    module = fs.create_backbone("efficientnet_lite0").module
    safetensors.torch.save_file(
        {name: each.contiguous() for name, each in module.state_dict().items()}, weights
    )

    def make() -> Any:
        vision.set_seed(seed)
        loaders = vision.ImageDataLoaders.from_df(
            frame,
            path="/",
            fn_col="photo",
            label_col="label",
            valid_col="valid",
            item_tfms=vision.Resize(SIZE, method="squish"),
            bs=32,
            num_workers=2,
        )
        return vision.vision_learner(
            loaders,
            "tf_efficientnet_lite0",
            metrics=vision.accuracy,
            pretrained_cfg_overlay={"file": os.fspath(weights)},
            path=weights.parent,
        )

    return make


def fastai_frozen(data: Path, rows: int, seed: int, epochs: int) -> Row:
    """Train the head on the frozen body for some epochs; return seconds and accuracy."""
    make = fastai_learner(data, rows, seed)
    began = time.perf_counter()
    learner = make()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": float(learner.recorder.values[-1][-1])}


def fastai_fine_tuned(data: Path, rows: int, seed: int, epochs: int) -> Row:
    """Fine-tune; return the seconds at the end of each epoch, the frozen one too, and its accuracy."""
    from fastai.callback.core import Callback

    make = fastai_learner(data, rows, seed)
    ends: list[float] = []
    accuracies: list[float] = []
    began = time.perf_counter()
    learner = make()

    class Clock(Callback):
        order = 60  # after the recorder, which `fine_tune` starts anew for its second phase

        def after_epoch(self) -> None:
            ends.append(time.perf_counter() - began)
            accuracies.append(float(self.learn.recorder.values[-1][-1]))

    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs, cbs=Clock())
    return {"ends": ends, "accuracies": accuracies}


def start_processes_by(method: str) -> None:
    """Set how this process starts others. The module's own function, sent to another process, would set it nowhere."""
    multiprocessing.set_start_method(method, force=True)


def in_fresh_process(work: Callable[..., Row], *arguments: object) -> Row:
    """Run one measurement with an empty cache, in a process of its own."""
    with tempfile.TemporaryDirectory() as cold:
        os.environ["FASHIONSEARCH_CACHE"] = cold
        # A spawned process would spawn fastai's workers too, which takes them seconds an epoch; users' are forked.
        pool = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start_processes_by,
            initargs=(multiprocessing.get_start_method(),),
        )
        with pool:
            return pool.submit(work, *arguments).result()


class Runs:
    """Rows of finished runs, in a file that is written again after each.

    Args:
        path: of the file.
        about: what the runs depend on; rows of other runs are not taken.
    """

    def __init__(self, path: Path, about: Row) -> None:
        self._path, self._about = path, about
        self.rows: list[Row] = []
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            self.rows = before["rows"] if before["about"] == about else []

    def run(self, key: Row, work: Callable[..., Row], *arguments: object) -> Row:
        """Return the row of a run: from the file, or measured now."""
        for row in self.rows:
            if row.items() >= key.items():
                return row
        row = {**key, **in_fresh_process(work, *arguments)}
        if "ends" in row:
            accuracies = row["accuracies"]
            first = next((place for place, each in enumerate(accuracies) if each >= TARGET), None)
            row["seconds"] = None if first is None else row["ends"][first]
            row["accuracy"] = max(accuracies)
        self.rows.append(row)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({"about": self._about, "rows": self.rows}, indent=1) + "\n")
        print(json.dumps(row), flush=True)
        return row

    def finish(self) -> None:
        """Remove the file, once its rows are kept elsewhere."""
        self._path.unlink(missing_ok=True)


def summary(ours: str, pairs: list[tuple[Row, Row]]) -> Row:
    """Return a row that compares ours with fastai over the rounds.

    Where fastai didn't reach the target its time is that of all its epochs, and the ratio a lower bound. Where ours didn't,
    there is no ratio.
    """
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    row: Row = {"contender": ours, "against": "fastai", "rounds": len(pairs)}
    for name, rows in (("", mine), ("fastai_", theirs)):
        row[f"{name}accuracy"] = median([each["accuracy"] for each in rows]).row()
        row[f"{name}reached"] = sum(each["accuracy"] >= TARGET for each in rows)
    if row["reached"] == len(pairs):
        seconds = [each["seconds"] for each in mine]
        fastai = [each["ends"][-1] if each["seconds"] is None else each["seconds"] for each in theirs]
        row |= {"seconds": median(seconds).row(), "fastai_seconds": median(fastai).row()}
        row |= {"ratio": ratio(fastai, seconds).row(), "is_a_bound": row["fastai_reached"] < len(pairs)}
    print(json.dumps(row), flush=True)
    return row


def frozen(runs: Runs, data: Path, rows: int, rounds: int, fewest_epochs: int, most_epochs: int) -> list[Row]:
    """Run the frozen part; return its summaries."""
    sizes = {"Classifier at 128 px": SIZE, "Classifier at its default size": None}
    pairs: dict[str, list[tuple[Row, Row]]] = {name: [] for name in sizes}
    epochs = fewest_epochs
    for seed in range(rounds):

        def peer(seed: int = seed, start: int = epochs) -> Row:
            # What the seed before needed is where this one begins.
            for count in range(start, most_epochs + 1):
                key = {"contender": "fastai", "seed": seed, "epochs": count}
                row = runs.run(key, fastai_frozen, data, rows, seed, count)
                if row["accuracy"] >= TARGET:
                    break
            return row

        def own(seed: int = seed) -> dict[str, Row]:
            return {
                name: runs.run({"contender": name, "seed": seed}, ours_frozen, data, rows, seed, size)
                for name, size in sizes.items()
            }

        mine, theirs = (own(), peer()) if seed % 2 == 0 else (peer(), own())[::-1]
        epochs = theirs["epochs"]
        for name in sizes:
            pairs[name].append((mine[name], theirs))
    return [summary(name, each) for name, each in pairs.items()]


def fine_tuned(
    runs: Runs, data: Path, rows: int, rounds: int, most_epochs: int, own_epochs: int | None
) -> list[Row]:
    """Run the fine-tuned part; return its summary."""
    pairs = []
    for seed in range(rounds):
        contenders = [
            ("Classifier, fine-tuned", ours_fine_tuned, own_epochs),
            ("fastai", fastai_fine_tuned, most_epochs),
        ]
        measured = {
            name: runs.run({"contender": name, "seed": seed}, work, data, rows, seed, epochs)
            for name, work, epochs in (contenders if seed % 2 == 0 else reversed(contenders))
        }
        pairs.append((measured["Classifier, fine-tuned"], measured["fastai"]))
    return [summary("Classifier, fine-tuned", pairs)]


def main() -> None:
    """Run the command line."""
    made = parser(__doc__)
    made.add_argument("--only", choices=("frozen", "fine-tuned"), help="one part (default: both)")
    made.add_argument("--frozen-rounds", type=int, default=5, help="(%(default)s)")
    made.add_argument(
        "--fewest-epochs",
        type=int,
        default=1,
        help="of fastai's frozen body; more where fewer are known to be too few (%(default)s)",
    )
    made.add_argument("--fine-tuned-rounds", type=int, default=3, help="(%(default)s)")
    made.add_argument(
        "--quick", action="store_true", help="384 photos, one round and few epochs; its figures mean little"
    )
    options = made.parse_args()
    if not (options.data / "styles.csv").exists():
        made.error(f"--data {options.data} holds no styles.csv: give the folder of Kaggle's download")
    if not 1 <= options.fewest_epochs <= MOST_EPOCHS:
        made.error(f"--fewest-epochs {options.fewest_epochs} is not from 1 to {MOST_EPOCHS}")
    rows, most_epochs, own_epochs = (600, 1, 1) if options.quick else (5000, MOST_EPOCHS, None)
    for part in ("frozen", "fine-tuned") if options.only is None else (options.only,):
        rounds = 1 if options.quick else vars(options)[f"{part.replace('-', '_')}_rounds"]
        about: Row = {
            "data": f"Fashion Product Images (Small), first {rows:,} rows; test 0.2, validation 0.2, seed 42",
            "label": LABEL,
            "target": TARGET,
        }
        if part == "frozen":
            about["fewest_epochs"] = options.fewest_epochs
        runs = Runs(options.out / f"training-{part}-unfinished.json", about)
        if part == "frozen":
            fewest_epochs = min(options.fewest_epochs, most_epochs)
            summaries = frozen(runs, options.data, rows, rounds, fewest_epochs, most_epochs)
        else:
            summaries = fine_tuned(runs, options.data, rows, rounds, most_epochs, own_epochs)
        write(
            f"training-{part}", [*summaries, *runs.rows], folder=options.out, about=about, quick=options.quick
        )
        runs.finish()


if __name__ == "__main__":
    main()
