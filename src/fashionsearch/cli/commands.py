"""What each command does."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer, left_out, tell_left_out
from fashionsearch.cli.inputs import (
    check_photos,
    check_saved,
    check_there,
    label_of,
    loaded,
    parts_of,
    read_table,
    table_of,
)

if TYPE_CHECKING:
    from fashionsearch.compression.optimize import Trial
    from fashionsearch.datasets.table import Table
    from fashionsearch.training import FineTuning


def demo(options: argparse.Namespace) -> Answer:
    """Run the whole job on one catalogue."""
    from fashionsearch import datasets

    table = datasets.make_catalogue(600, seed=0) if options.data is None else read_table(options)
    # The drawn garments' categories are told apart without a mistake, which shows nothing.
    label = label_of(table, options.label or ("articleType" if options.data is None else None))

    from fashionsearch.cli.demo import run_demo

    result = run_demo(
        table,
        options.out,
        label=label,
        backbone=options.backbone,
        fine_tune=options.fine_tune,
        say=lambda line: print(line, flush=True),
    )
    low, high = result.evaluation.interval("accuracy")
    return Answer(
        f"\naccuracy {result.evaluation.accuracy:.4f} (95 % interval {low:.4f} – {high:.4f}), "
        f"{result.indexed:,} items indexed\nopen {result.report}",
        {
            "accuracy": result.evaluation.accuracy,
            "interval": (low, high),
            "recall": result.recall,
            "items": result.indexed,
            "seconds": {step: round(took, 3) for step, took in result.seconds.items()},
            "report": result.report,
        },
    )


def train(options: argparse.Namespace) -> Answer:
    """Train and save a classifier or an autoencoder."""
    from fashionsearch import storage

    check_there(options.data)
    storage.check_target(options.out, "autoencoder" if options.autoencoder else "classifier")
    table = read_table(options, labelled=not options.autoencoder)
    return _train_autoencoder(options, table) if options.autoencoder else _train_classifier(options, table)


def _train_classifier(options: argparse.Namespace, table: Table) -> Answer:
    if options.latent_dim is not None:
        raise errors.InputError("--latent-dim is for an autoencoder; add --autoencoder")
    label = label_of(table, options.label)
    labelled = table[table[label] != ""]
    print(f"{len(table):,} photos, {len(table) - len(labelled):,} without {label} left out", flush=True)
    train, validation, test = parts_of(labelled, options)

    import numpy as np

    from fashionsearch.pretrained import learned_from
    from fashionsearch.tagging.classifier import Classifier

    weights = _weights(options.weights or "default")
    classifier = Classifier(
        options.backbone or ("fashion" if weights == "default" else "efficientnet_lite0"),
        weights=weights,
        training=_training(options, learns=options.fine_tune or weights is None),
        image_size=options.image_size,
        class_weight=options.class_weight,
        augmented_views=options.augmented_views or 0,
        random_state=options.random_state,
    )
    held_out = None
    if len(validation):
        rows = validation[np.isin(validation[label], train[label])]
        if len(rows) < len(validation):
            print(
                f"{len(validation) - len(rows):,} validation photos of classes with no training photo left out"
            )
        held_out = (rows.images, rows[label]) if len(rows) else None
    classifier.fit(train.images, train[label], validation=held_out, checkpoints=options.checkpoints)
    classifier.save(options.out)
    words = [] if classifier.training is None else [str(classifier.history_)]
    learned = learned_from(classifier, test.images)
    if learned.any():
        words.append(
            f"{int(learned.sum()):,} of {len(test):,} test photos left out: {classifier.backbone!r} has learned from them"
        )
        test = test[~learned]
    evaluation = classifier.evaluate(test.images, test[label]) if len(test) else None
    words += [] if evaluation is None else [str(evaluation)]
    words.append(f"saved to {options.out}; use it with: fashionsearch evaluate, or --encoder {options.out}")
    found = {
        "folder": options.out,
        "label": label,
        "photos": {"train": len(train), "validation": len(validation), "test": len(test)},
        "evaluation": None if evaluation is None else evaluation.to_dict(),
    }
    return Answer("\n".join(words), found, None if evaluation is None else evaluation.to_rows())


def _train_autoencoder(options: argparse.Namespace, table: Table) -> Answer:
    from fashionsearch.autoencoder import Autoencoder

    if options.class_weight or options.label or options.augmented_views:
        raise errors.InputError(
            "an autoencoder learns without labels; leave out --class-weight, --label and --augmented-views"
        )
    train, validation, test = parts_of(table, options)
    encoder = Autoencoder(
        options.backbone or "cnn",
        latent_dim=options.latent_dim or 16,
        weights=_weights(options.weights or "none"),
        training=_training(options, learns=True),
        image_size=options.image_size,
        random_state=options.random_state,
    )
    print(f"{len(train):,} photos to learn from", flush=True)
    held_out = validation.images if len(validation) else None
    encoder.fit(train.images, validation=held_out, checkpoints=options.checkpoints)
    encoder.save(options.out)
    words, error = [str(encoder.history_)], None
    if len(test):
        error = -encoder.score(test.images)
        words.append(f"mean squared error of {len(test):,} test photos: {error:.5f}")
    words.append(
        f"saved to {options.out}; search with it: fashionsearch index PHOTOS --encoder {options.out}"
    )
    found = {
        "folder": options.out,
        "photos": {"train": len(train), "validation": len(validation), "test": len(test)},
        "mean_squared_error": error,
    }
    return Answer("\n".join(words), found)


def _weights(text: str) -> str | None:
    return None if text == "none" else text


def _training(options: argparse.Namespace, *, learns: bool) -> FineTuning | None:
    """Return the options of a network that learns; those that nobody would hear of are an error."""
    from fashionsearch.training import FineTuning

    names = ("epochs", "learning_rate", "augment", "unfreeze", "teacher")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if not learns:
        ignored = [*given, *(["checkpoints"] if options.checkpoints else [])]
        if ignored:
            raise errors.InputError(
                f"--{ignored[0].replace('_', '-')} is for a network that learns; add --fine-tune, --autoencoder or "
                "--weights none"
            )
        return None
    return FineTuning(**given)


def explain(options: argparse.Namespace) -> Answer:
    """Write a picture of where the evidence for a tag lies."""
    check_saved(options.classifier, "classifier")
    check_photos([options.photo])

    from matplotlib.figure import Figure

    from fashionsearch import plots
    from fashionsearch.tagging.classifier import Classifier

    classifier = Classifier.load(options.classifier)
    probabilities = classifier.predict_proba(options.photo)[0]
    best = int(probabilities.argmax())
    predicted, probability = classifier.classes_[best], float(probabilities[best])
    label = options.label if options.class_name is None else options.class_name
    if label is not None:  # classes may be numbers, and the shell knows text alone
        label = next((known for known in classifier.classes_.tolist() if str(known) == label), label)
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    plots.explanation(options.photo, classifier.explain(options.photo, label=label), figure=figure)
    try:
        figure.savefig(options.out, dpi=150)
    except (OSError, ValueError) as error:  # matplotlib raises ValueError for an ending it can't write
        raise errors.StorageError(f"{options.out} can't be written: {error}") from error
    found = {
        "photo": options.photo,
        "class": predicted,
        "probability": probability,
        "explained": predicted if label is None else label,
        "picture": options.out,
    }
    return Answer(f"{predicted}  {probability:.4f}\nwritten to {options.out}", found)


def audit(options: argparse.Namespace) -> Answer:
    """Write what is probably wrong with a catalogue, and print it in words."""
    if options.tagger is not None:
        check_saved(options.tagger, "tagger")
    table = table_of(options.data, options.image_column, options.image_root)
    split = options.split
    if split is None and "split" in table.columns and "train" in table["split"]:
        split = "split"
    for column in (options.group, split):
        if column is not None:
            table[column]  # raises for a column that isn't there, before anything slow

    from fashionsearch.auditing.audit import audit
    from fashionsearch.results.audit import COLUMNS

    encoder = loaded(options.encoder if options.tagger is None else str(options.tagger))
    found = audit(
        table,
        encoder,
        group=options.group,
        split=split,
        attributes=options.attributes,
        random_state=options.random_state,
    )
    found.to_csv(options.out / "audit.csv")
    found.report(options.out / "audit.html")
    listing, page = options.out / "audit.csv", options.out / "audit.html"
    rows = found.to_rows()
    told = {
        "photos": len(found.sources),
        "counts": {name: len(getattr(found, name)) for name in found.summary()},
        "findings": rows,
        "accuracies": [dataclasses.asdict(each) for each in found.accuracies],
        "table": listing,
        "page": page,
    }
    words = f"{found!r}\nopen {page}; correct labels in {listing}"
    return Answer(words, told, rows, tuple(COLUMNS))


def optimize(options: argparse.Namespace) -> Answer:
    """Print what is fastest on this machine, and save it."""
    check_there(options.data)
    from fashionsearch import storage
    from fashionsearch.compression.optimize import optimize

    if options.out is not None:
        storage.check_target(options.out, "backbone")
    table = read_table(options, labelled=options.label is not None)
    labels = None
    if options.label is not None:
        table = table[table[options.label] != ""]
        labels = table[options.label]
    found = optimize(loaded(options.encoder), table.images, labels, max_loss=options.max_loss)
    words = str(found)
    if options.out is not None:
        found.encoder.save(options.out)
        words += f"\nsaved to {options.out}; use it with --encoder {options.out}"
    trials = [_trial_row(trial) for trial in found.trials]
    told = {
        "best": _trial_row(found.best),
        "as_given": _trial_row(found.original),
        "trials": trials,
        "not_tried": found.left_out,
        "folder": options.out,
    }
    return Answer(words, told, trials)


def _trial_row(trial: Trial) -> dict[str, Any]:
    names = ("image_size", "runtime", "precision", "images_per_second", "latency", "loss")
    return {name: getattr(trial, name) for name in names}


def embed(options: argparse.Namespace) -> Answer:
    """Write photos' embeddings to a file."""
    if options.out.suffix not in ("", ".npz"):
        raise errors.InputError(f"--out {options.out}: give a file that ends in .npz, or a folder for shards")
    table = table_of(options.data, options.image_column, options.image_root, labelled=False)
    if not options.out.suffix:
        from fashionsearch.index.shards import embed_shards

        done = embed_shards(
            loaded(options.encoder),
            table,
            options.out,
            shard_size=options.shard_size,
            workers=options.workers,
        )
        told = {
            "folder": done.folder,
            "shards": done.shards,
            "embedded": done.embedded,
            "kept": done.kept,
            "left_out": left_out(done.failures),
        }
        return Answer(
            f"{done!r}\nmake them searchable with: fashionsearch index {options.out} --out CATALOGUE", told
        )
    import numpy as np

    from fashionsearch.cache import EmbeddingCache

    with EmbeddingCache() as cache:
        on_error = "skip" if options.skip_bad else "raise"
        batches = [*loaded(options.encoder).embed_batches(table.images, on_error=on_error, cache=cache)]
    failures = [failure for batch in batches for failure in batch.failures]
    tell_left_out(failures)
    images = [str(table.images[position]) for batch in batches for position in batch.positions]
    if not images:
        raise errors.ImageError(failures)
    vectors = np.concatenate([batch.vectors for batch in batches])
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(options.out, embeddings=vectors, images=np.array(images))
    except OSError as error:
        raise errors.StorageError(f"{options.out} can't be written: {error}") from error
    told = {
        "file": options.out,
        "embeddings": len(vectors),
        "dim": vectors.shape[1],
        "left_out": left_out(failures),
    }
    return Answer(f"{len(vectors):,} embeddings of length {vectors.shape[1]} in {options.out}", told)


def export(options: argparse.Namespace) -> Answer:
    """Write a folder with a model that other programs load."""
    from fashionsearch.exporting import export

    export(loaded(options.encoder), options.out, format=options.format)
    return Answer(
        f"exported to {options.out}; try it with: python {options.out / 'use.py'} PHOTO",
        {"folder": options.out, "format": options.format},
    )
