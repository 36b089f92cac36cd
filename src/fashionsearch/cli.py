"""The command `fashionsearch`: the library's names, thin, for the shell."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fashionsearch import __version__, errors

if TYPE_CHECKING:
    from fashionsearch.datasets.table import Table

_DATA_HELP = (
    "a folder with styles.csv and images/ (the Kaggle layout), a folder of class folders, a folder of photos, "
    "or a CSV file with a column of image paths"
)
_EXIT_CODES = """
exit codes: 0 done; 1 something could not be done, and the message says what; 2 the command line is wrong;
130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = options.run(options)
    except errors.FashionSearchError as error:
        print(f"fashionsearch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fashionsearch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a second error on closing would only confuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show the library's own warnings as sentences; those of its dependencies are not the user's business."""
    if issubclass(category, errors.DataWarning):
        print(f"warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashionsearch",
        description="Tag product photos and search them by image.",
        epilog="start with: fashionsearch demo" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fashionsearch {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(
        commands,
        "demo",
        _demo,
        "do it all on a catalogue, and write a report",
        "fashionsearch demo\nfashionsearch demo --data fashion-product-images-small --out report",
    )
    demo.add_argument("--data", type=Path, help=f"{_DATA_HELP}; without it a catalogue is drawn")
    demo.add_argument(
        "--out", type=Path, default=Path("fashionsearch-demo"), help="folder to write to (%(default)s)"
    )
    _add_label(demo)
    demo.add_argument("--backbone", default="efficientnet_lite0", help="the network (%(default)s)")

    train = _command(
        commands,
        "train",
        _train,
        "train a tagger on labelled photos",
        "fashionsearch train photos/ --out tagger\n"
        "fashionsearch train products.csv --image-column file --label kind --out tagger",
    )
    _add_data(train)
    train.add_argument("--out", type=Path, required=True, help="folder to save the tagger to")
    _add_label(train)
    train.add_argument("--backbone", default="efficientnet_lite0", help="the network (%(default)s)")
    train.add_argument("--weights", default="default", help="'default', or a .safetensors or .pth file")
    train.add_argument("--image-size", type=int, help="side in pixels; default: the network's own")
    train.add_argument(
        "--balanced", action="store_true", help="let rare classes count as much as frequent ones"
    )
    train.add_argument("--test", type=float, default=0.2, help="fraction held out for the test (%(default)s)")
    train.add_argument(
        "--validation", type=float, default=0.2, help="fraction of the rest for validation (%(default)s)"
    )
    train.add_argument("--seed", type=int, default=42, help="of the split (%(default)s)")

    evaluate = _command(
        commands,
        "evaluate",
        _evaluate,
        "compare a tagger's predictions with labels",
        "fashionsearch evaluate tagger photos/ --json figures.json",
    )
    evaluate.add_argument("tagger", type=Path, help="folder that train saved")
    _add_data(evaluate)
    _add_label(evaluate)
    evaluate.add_argument("--json", type=Path, help="also write the figures to this file")

    embed = _command(
        commands,
        "embed",
        _embed,
        "turn photos into vectors",
        "fashionsearch embed photos/ --out vectors.npz\n"
        "python -c \"import numpy; print(numpy.load('vectors.npz')['embeddings'].shape)\"",
    )
    _add_data(embed)
    embed.add_argument(
        "--out", type=Path, required=True, help=".npz file for the arrays 'embeddings' and 'images'"
    )
    embed.add_argument(
        "--encoder", default="efficientnet_lite0", help="a network's name, or a saved tagger (%(default)s)"
    )

    index = _command(
        commands, "index", _index, "make photos searchable", "fashionsearch index photos/ --out catalogue"
    )
    _add_data(index)
    index.add_argument("--out", type=Path, required=True, help="folder to save the index to")
    index.add_argument(
        "--encoder", default="efficientnet_lite0", help="a network's name, or a saved tagger (%(default)s)"
    )
    index.add_argument("--metric", default="cosine", help="cosine or euclidean (%(default)s)")
    index.add_argument("--engine", default="hnsw", help="hnsw or exact (%(default)s)")

    search = _command(
        commands,
        "search",
        _search,
        "find the items that look most like a photo",
        "fashionsearch search catalogue photo.jpg -k 5\n"
        "fashionsearch search catalogue photo.jpg --where gender=Women --where 'year>=2012'",
    )
    search.add_argument("index", type=Path, help="folder that index saved")
    search.add_argument("photos", nargs="+", help="one or several photos, each a query")
    search.add_argument("-k", type=int, default=5, help="items to find for each (%(default)s)")
    search.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE…]",
        help="only among items with such metadata; also >=, <=, > and <; may be given several times",
    )
    search.add_argument("--exact", action="store_true", help="compare with every item")
    search.add_argument("--json", action="store_true", help="print JSON, one line a query")
    return parser


def _command(commands: Any, name: str, run: Any, summary: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + textwrap.indent(examples, "  ") + "\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help=_DATA_HELP)
    parser.add_argument(
        "--image-column", default="image", help="the CSV file's column of image paths (%(default)s)"
    )
    parser.add_argument(
        "--image-root", type=Path, help="the folder those paths start from; default: the CSV file's own"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out photos that can't be read, and name them"
    )


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label", help="the column to learn; default: masterCategory, or the class folder's name"
    )


def _table(
    path: Path, image_column: str = "image", image_root: Path | None = None, *, labelled: bool = True
) -> Table:
    from fashionsearch import datasets

    if path.is_file():
        return datasets.load_csv(path, image_column=image_column, root=image_root)
    if (path / "styles.csv").exists():
        return datasets.load_fashion_products(path)
    return datasets.load_folder(path, labelled=labelled)


def _read_table(options: argparse.Namespace, *, labelled: bool = True) -> Table:
    from fashionsearch.images import check_images

    table = _table(options.data, options.image_column, options.image_root, labelled=labelled)
    if options.skip_bad:
        positions, failures = check_images(table.images)
        for failure in failures:
            print(f"left out: {failure}", file=sys.stderr)
        table = table[positions]
    return table


def _label_of(table: Table, asked: str | None) -> str:
    if asked is not None:
        table[asked]  # raises for a column that isn't there
        return asked
    for name in ("masterCategory", "label"):
        if name in table.columns:
            return name
    raise errors.DataError(
        f"which column should be learned? Name one with --label: {', '.join(table.columns)}"
    )


def _demo(options: argparse.Namespace) -> int:
    from fashionsearch import datasets
    from fashionsearch.demo import run_demo

    table = datasets.make_catalogue(600, seed=0) if options.data is None else _table(options.data)
    result = run_demo(
        table,
        options.out,
        label=_label_of(table, options.label),
        backbone=options.backbone,
        say=lambda line: print(line, flush=True),
    )
    low, high = result.evaluation.interval("accuracy")
    print(
        f"\naccuracy {result.evaluation.accuracy:.4f} (95 % interval {low:.4f} – {high:.4f}), "
        f"{result.indexed:,} items indexed"
    )
    print(f"open {result.report}")
    return 0


def _train(options: argparse.Namespace) -> int:
    import numpy as np

    from fashionsearch.classifier import Classifier

    table = _read_table(options)
    label = _label_of(table, options.label)
    labelled = table[table[label] != ""]
    print(f"{len(table):,} photos, {len(table) - len(labelled):,} without {label} left out", flush=True)
    train, validation, test = labelled.split(
        test=options.test, validation=options.validation, seed=options.seed
    )
    tagger = Classifier(
        options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        class_weight="balanced" if options.balanced else None,
        random_state=options.seed,
    )
    held_out = None
    if len(validation):
        rows = validation[np.isin(validation[label], train[label])]
        held_out = (rows.images, rows[label]) if len(rows) else None
    tagger.fit(train.images, train[label], validation=held_out)
    tagger.save(options.out)
    if len(test):
        print(tagger.evaluate(test.images, test[label]))
    print(f"saved to {options.out}; use it with: fashionsearch evaluate, or --encoder {options.out}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from fashionsearch.classifier import Classifier

    tagger = Classifier.load(options.tagger)
    table = _read_table(options)
    label = _label_of(table, options.label)
    labelled = table[table[label] != ""]
    evaluation = tagger.evaluate(labelled.images, labelled[label])
    print(evaluation)
    if options.json:
        _write_text(options.json, json.dumps(evaluation.to_dict(), indent=1))
    return 0


def _encoder(name: str) -> Any:
    """Return a saved tagger's backbone, or the backbone of that name."""
    from fashionsearch import storage
    from fashionsearch.backbones import create_backbone
    from fashionsearch.classifier import Classifier

    if (Path(name) / storage.MANIFEST).exists():
        return Classifier.load(name).backbone_
    return create_backbone(name)


def _embed(options: argparse.Namespace) -> int:
    import numpy as np

    from fashionsearch.cache import EmbeddingCache

    if options.out.suffix != ".npz":
        raise errors.InputError(f"--out {options.out}: its ending must be .npz")
    table = _read_table(options, labelled=False)
    with EmbeddingCache() as cache:
        vectors = _encoder(options.encoder).embed(table.images, cache=cache)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez(options.out, embeddings=vectors, images=np.array([str(image) for image in table.images]))
    except OSError as error:
        raise errors.StorageError(f"{options.out} can't be written: {error}") from error
    print(f"{len(vectors):,} embeddings of length {vectors.shape[1]} in {options.out}")
    return 0


def _index(options: argparse.Namespace) -> int:
    from fashionsearch.cache import EmbeddingCache
    from fashionsearch.index import VisualIndex

    table = _read_table(options, labelled=False)
    index = VisualIndex(_encoder(options.encoder), metric=options.metric, engine=options.engine)
    with EmbeddingCache() as cache:
        index.add(table.images, ids=table["id"].tolist(), metadata=table.metadata, cache=cache)
    index.save(options.out)
    print(f"{len(index):,} photos in {options.out}; search with: fashionsearch search {options.out} PHOTO")
    return 0


def _search(options: argparse.Namespace) -> int:
    from fashionsearch.index import VisualIndex

    index = VisualIndex.load(options.index)
    where = _where(options.where)
    matches = index.search(options.photos, k=options.k, where=where, exact=options.exact)
    for query, photo in enumerate(options.photos):
        found = [
            {
                "id": matches.ids[query, place],
                "similarity": round(float(matches.similarities[query, place]), 4),
                "source": matches.sources[query, place],
                "metadata": matches.metadata[query, place],
            }
            for place in range(int(matches.counts[query]))
        ]
        if options.json:
            print(json.dumps({"query": photo, "matches": found}))
            continue
        print(photo)
        for match in found:
            print(f"  {match['similarity']:.4f}  {match['id']}  {match['source'] or ''}")
        if not found:
            print("  nothing fits the filter")
    return 0


_OPERATORS = ((">=", "gte"), ("<=", "lte"), (">", "gt"), ("<", "lt"))


def _where(conditions: Sequence[str]) -> dict[str, Any] | None:
    where: dict[str, Any] = {}
    for condition in conditions:
        for sign, name in _OPERATORS:
            field, found, value = condition.partition(sign)
            if found:
                bounds = where.setdefault(field.strip(), {})
                _refuse_twice(field.strip(), not isinstance(bounds, dict) or name in bounds)
                bounds[name] = _value(value)
                break
        else:
            field, found, value = condition.partition("=")
            if not found or not field.strip():
                raise errors.InputError(f"--where {condition!r} is not FIELD=VALUE, FIELD>=VALUE or the like")
            _refuse_twice(field.strip(), field.strip() in where)
            where[field.strip()] = [_value(part) for part in value.split(",")]
    return where or None


def _refuse_twice(field: str, again: bool) -> None:
    if again:
        raise errors.InputError(f"--where names {field!r} twice; for one of several values write {field}=A,B")


def _value(text: str) -> str | float:
    """Return a number for what is written as one, and text for all else, 007 and nan among it."""
    plain = re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text.strip())
    return float(text) if plain else text.strip()


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise errors.StorageError(f"{path} can't be written: {error}") from error
