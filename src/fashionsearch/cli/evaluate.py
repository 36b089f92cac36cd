"""`fashionsearch evaluate`: what a classifier or a tagger says, beside the labels of a table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.cli.answer import Answer
from fashionsearch.cli.inputs import check_saved, label_of, read_table


def evaluate(options: argparse.Namespace) -> Answer:
    """Print how a classifier's or a tagger's predictions compare with labels."""
    if _is_tagger(options.classifier):
        return _evaluate_tagger(options)
    check_saved(options.classifier, "classifier")
    table = read_table(options)
    label = label_of(table, options.label)
    labelled = table[table[label] != ""]

    from fashionsearch.tagging.classifier import Classifier

    evaluation = Classifier.load(options.classifier).evaluate(labelled.images, labelled[label])
    return _answer(options, str(evaluation), evaluation.to_dict(), evaluation.to_rows())


def _is_tagger(folder: Path) -> bool:
    from fashionsearch import storage
    from fashionsearch.pretrained import is_shipped

    if (folder / storage.MANIFEST).exists():
        return storage.open_saved(folder).kind == "tagger"
    return is_shipped(str(folder)) and not folder.exists()


def _evaluate_tagger(options: argparse.Namespace) -> Answer:
    table = read_table(options)

    from fashionsearch.results import text_table
    from fashionsearch.tagging.tagger import Tagger

    folder: Path = options.classifier
    tagger = Tagger.load(folder) if folder.exists() else Tagger.from_pretrained(str(folder))
    asked = [options.label] if options.label is not None else tagger.attributes_
    labels = {name: table[name] for name in asked if options.label is not None or name in table.columns}
    if not labels:
        raise errors.DataError(
            f"{options.data} has none of the columns that {folder} tags ({', '.join(tagger.attributes_)}); it has "
            f"{', '.join(table.columns)}"
        )
    found = tagger.evaluate(table.images, labels)
    rows = []
    for name, evaluation in found.items():
        low, high = evaluation.interval("accuracy")
        figures = evaluation.accuracy, f"{low:.4f} – {high:.4f}", evaluation.f1
        rows.append((name, len(evaluation.classes), len(evaluation.labels), *figures))
    head = "attribute", "classes", "photos", "accuracy", "95 % interval", "macro F1"
    by_class = [{"attribute": name, **row} for name, each in found.items() for row in each.to_rows()]
    figures_of = {name: each.to_dict() for name, each in found.items()}
    return _answer(options, text_table(head, rows), figures_of, by_class)


def _answer(
    options: argparse.Namespace, words: str, found: dict[str, Any], rows: list[dict[str, Any]]
) -> Answer:
    if options.json_file is not None:
        _write_text(options.json_file, json.dumps(found, indent=1))
    return Answer(words, found, rows)


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise errors.StorageError(f"{path} can't be written: {error}") from error
