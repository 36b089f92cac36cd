"""The command line's words: every command, its options and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fashionsearch import __version__
from fashionsearch.cli.app import add_app
from fashionsearch.cli.index_options import INDEX_COMMANDS
from fashionsearch.cli.options import (
    DATA_HELP,
    EXIT_CODES,
    add_data,
    add_encoder,
    add_label,
    add_random_state,
    add_reading,
    command,
)
from fashionsearch.cli.serving import add_serve


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; each command's `run` says which function of which file it is.

    Args:
        only: the command that is called, whose options alone are made then; all are where it is None or no command.
    """
    parser = argparse.ArgumentParser(
        prog="fashionsearch",
        description="Tag product photos and search them by image.",
        epilog="start with: fashionsearch demo" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fashionsearch {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add in _COMMANDS.items():
        if only is None or only not in _COMMANDS or only == name:
            add(subcommands)
    return parser


def _add_demo(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "demo",
        "commands:demo",
        "do it all on a catalogue, and write a report",
        "fashionsearch demo\nfashionsearch demo --data fashion-product-images-small --out report",
    )
    parser.add_argument("--data", type=Path, help=f"{DATA_HELP}; without it a catalogue is drawn")
    add_reading(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("fashionsearch-demo"), help="folder to write to (%(default)s)"
    )
    add_label(parser)
    parser.add_argument("--backbone", default="fashion", help="the network (%(default)s)")
    parser.add_argument(
        "--fine-tune", action="store_true", help="let the network learn too, and show how; takes longer"
    )


def _add_train(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "train",
        "commands:train",
        "train a classifier on labelled photos, or an autoencoder on any",
        "fashionsearch train photos/ --out classifier\n"
        "fashionsearch train photos/ --fine-tune --image-size 128 --checkpoints run --out classifier\n"
        "fashionsearch train photos/ --autoencoder --out encoder\n"
        "fashionsearch train products.csv --image-column file --label kind --out classifier",
    )
    add_data(parser)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to save the classifier or autoencoder to"
    )
    add_label(parser)
    _add_training(parser)
    parser.add_argument(
        "--test", type=float, default=0.2, help="fraction held out for the test (%(default)s)"
    )
    parser.add_argument(
        "--validation", type=float, default=0.2, help="fraction of the rest for validation (%(default)s)"
    )
    add_random_state(parser, 42, "of the split and of training")


def _add_evaluate(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "evaluate",
        "evaluate:evaluate",
        "compare a classifier's or a tagger's predictions with labels",
        "fashionsearch evaluate classifier photos/\n"
        "fashionsearch evaluate fashion fashion-product-images-small\n"
        "fashionsearch evaluate classifier photos/ --json > figures.json",
    )
    parser.add_argument(
        "classifier",
        type=Path,
        help="folder of a saved classifier or tagger, or fashion, the tagger that ships",
    )
    add_data(parser)
    parser.add_argument(
        "--label",
        help="the column to compare with; default: masterCategory or label, and of a tagger all that the data has",
    )
    parser.set_defaults(json_file=None)


def _add_audit(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "audit",
        "commands:audit",
        "find wrong labels, copies, leaks, broken photos and contradictions",
        "fashionsearch audit photos/ --out audit\n"
        "fashionsearch audit fashion-product-images-small --group productDisplayName --attributes articleType gender\n"
        "fashionsearch audit products.csv --image-column file --split part --tagger tagger --out audit",
    )
    add_data(parser, skips=False)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("audit"),
        help="folder for audit.csv, to act on, and audit.html, to look at (%(default)s)",
    )
    parser.add_argument("--group", help="the column that says which photos are of one product")
    parser.add_argument(
        "--split",
        help="the column that says train or test; default: split, where the folders are laid out so",
    )
    parser.add_argument(
        "--attributes",
        nargs="+",
        metavar="COLUMN",
        help="columns to check; default: all that look like labels",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--tagger", type=Path, help="folder of a saved tagger whose network looks at the photos"
    )
    # A network that has learned a photo's label finds even a wrong one right.
    add_encoder(what, default="efficientnet_lite0")
    add_random_state(parser, 0, "of what is learned to check")


def _add_explain(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "explain",
        "commands:explain",
        "show where in a photo the evidence for its tag lies",
        "fashionsearch explain classifier photo.jpg --out why.png",
    )
    parser.add_argument("classifier", type=Path, help="folder that train saved")
    parser.add_argument("photo", type=Path, help="the photo")
    parser.add_argument(
        "--class", dest="class_name", metavar="CLASS", help="the class to explain; default: the predicted one"
    )
    parser.add_argument("--label", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="picture to write, such as why.png")


def _add_tag(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "tag",
        "tag:tag",
        "tag photos, with the tagger that ships with the library or your own",
        "fashionsearch tag photos/ --out tags.csv\n"
        "fashionsearch tag photos/ --out tags.csv --report tags.html --confidence 0.9\n"
        "fashionsearch tag photos/ --out tags.csv --tagger my-tagger --again\n"
        "fashionsearch tag photo.jpg --json",
    )
    parser.add_argument("data", type=Path, help=f"a photo; {DATA_HELP}")
    add_reading(parser)
    parser.add_argument(
        "--out",
        type=Path,
        help="CSV file to write; photos that it has already are left as they are. Without it the tags are printed",
    )
    parser.add_argument("--tagger", type=Path, help="folder of a saved tagger; default: fashion, which ships")
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="a tag is sure where its chance to be right is at least that (%(default)s)",
    )
    parser.add_argument("--report", type=Path, help="HTML file to write, with the photos and their tags")
    parser.add_argument("--again", action="store_true", help="tag all photos, and write the file anew")


def _add_embed(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "embed",
        "commands:embed",
        "turn photos into vectors",
        "fashionsearch embed photos/ --out vectors.npz\n"
        "fashionsearch embed photos/ --out shards --workers 2\n"
        "python -c \"import numpy; print(numpy.load('vectors.npz')['embeddings'].shape)\"",
    )
    add_data(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help=".npz file for the arrays 'embeddings' and 'images'; or a folder of Parquet shards, where an interrupted run "
        "goes on",
    )
    parser.add_argument(
        "--shard-size", type=int, default=10_000, help="photos of a shard of such a folder (%(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="actors of Ray that embed such a folder; 0 is this process (%(default)s)",
    )
    add_encoder(parser)


def _add_optimize(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "optimize",
        "commands:optimize",
        "find the image size, runtime and precision that are fastest here",
        "fashionsearch optimize photos/ --label label --out fast\n"
        "fashionsearch index photos/ --encoder fast --out catalogue",
    )
    add_data(parser)
    add_encoder(parser)
    parser.add_argument(
        "--label",
        help="a column of classes that must stay recognisable; default: the 10 nearest must stay the same",
    )
    parser.add_argument(
        "--max-loss", type=float, default=0.005, help="what may be lost, a fraction (%(default)s)"
    )
    parser.add_argument("--out", type=Path, help="folder to save the fastest encoder to")


def _add_info(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "info",
        "inspecting:info",
        "say what a folder holds: its kind, its encoder, what it knows",
        "fashionsearch info catalogue\nfashionsearch info catalogue --health\nfashionsearch info classifier --json",
    )
    parser.add_argument(
        "folder", type=Path, help="anything this library saved, or fashion, the tagger that ships"
    )
    parser.add_argument(
        "--health",
        action="store_true",
        help="of an index: measure also its recall against exact search, and how its embeddings lie",
    )


def _add_export(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "export",
        "commands:export",
        "write a folder with a model that other programs load without this library",
        "fashionsearch export classifier --out served\n"
        "fashionsearch export efficientnet_lite0 --out served --format openvino\n"
        "python served/use.py photo.jpg",
    )
    parser.add_argument("encoder", help="a network's name, or a saved classifier, autoencoder or backbone")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; an older export is replaced"
    )
    parser.add_argument("--format", default="onnx", help="onnx or openvino (%(default)s)")


def _add_completion(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "completion",
        "completion:completion",
        "print a script by which a shell completes commands, options and files",
        'eval "$(fashionsearch completion bash)"      # in ~/.bashrc\n'
        "fashionsearch completion zsh > ~/.zfunc/_fashionsearch\n"
        "fashionsearch completion fish > ~/.config/fish/completions/fashionsearch.fish",
        answers=False,
        plugins=False,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "tcsh"), help="the shell")


def _add_training(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--fine-tune", action="store_true", help="let the network learn, and not a linear head on it alone"
    )
    what.add_argument(
        "--autoencoder", action="store_true", help="learn to draw photos from a few numbers; needs no labels"
    )
    parser.add_argument(
        "--backbone",
        help="the network (fashion; efficientnet_lite0 with --weights none or a file; cnn for an autoencoder)",
    )
    parser.add_argument(
        "--weights",
        help="'default', 'none' (from scratch), or a .safetensors or .pth file (default, or none for an autoencoder)",
    )
    parser.add_argument("--image-size", type=int, help="side in pixels; default: the network's own")
    parser.add_argument(
        "--class-weight",
        choices=("balanced",),
        help="balanced lets rare classes count as much as frequent ones",
    )
    parser.add_argument(
        "--balanced",
        dest="class_weight",
        action="store_const",
        const="balanced",
        help="the same as --class-weight balanced",
    )
    parser.add_argument(
        "--augmented-views",
        type=int,
        help="augmented copies of each photo that a linear head learns of too, embedded once (0)",
    )
    parser.add_argument("--latent-dim", type=int, help="numbers an autoencoder keeps (16)")
    learning = parser.add_argument_group("where a network learns")
    learning.add_argument("--epochs", type=int, help="how often every photo is seen; default: the recipe's")
    learning.add_argument("--learning-rate", type=float, help="the highest rate; default: the recipe's")
    learning.add_argument("--augment", help="none, flips, light, strong or wild; default: the recipe's")
    learning.add_argument("--unfreeze", help="what learns: head, last, upper or all (all)")
    learning.add_argument(
        "--teacher",
        type=Path,
        help="folder of a saved classifier whose probabilities are learned beside the labels",
    )
    learning.add_argument(
        "--checkpoints", type=Path, help="folder to resume from when the same command was interrupted"
    )


_COMMANDS: Mapping[str, Callable[[Any], None]] = {
    "demo": _add_demo,
    "train": _add_train,
    "evaluate": _add_evaluate,
    "audit": _add_audit,
    "explain": _add_explain,
    "tag": _add_tag,
    "embed": _add_embed,
    "optimize": _add_optimize,
    **INDEX_COMMANDS,
    "serve": add_serve,
    "app": add_app,
    "info": _add_info,
    "export": _add_export,
    "completion": _add_completion,
}
