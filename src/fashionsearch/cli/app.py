"""`fashionsearch app`: a page in the browser that searches an index."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionsearch import errors
from fashionsearch.cli.console import shown
from fashionsearch.cli.inputs import check_index, is_opened, open_index
from fashionsearch.cli.options import command

if TYPE_CHECKING:
    from fashionsearch.index import VisualIndex


def add_app(subcommands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        subcommands,
        "app",
        "app:app",
        "open a page in the browser to search an index, on this machine alone",
        "fashionsearch app catalogue\n"
        "fashionsearch app catalogue --photos photos/ --writable\n"
        "fashionsearch app catalogue --tagger my-tagger --port 8080",
        answers=False,
    )
    parser.add_argument("index", type=Path, help="folder of an index, saved or opened")
    parser.add_argument(
        "--tagger",
        type=Path,
        help="folder of a saved tagger, or fashion, that tags the photos; default: the index's own",
    )
    parser.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="where the items' photos are, and where added ones are put; default: where they were added from",
    )
    parser.add_argument(
        "--hide-photos",
        action="store_true",
        help="open no file that the index names: for a folder from somebody you don't know, with --rebuild",
    )
    parser.add_argument(
        "--writable",
        action="store_true",
        help="let visitors add and remove items; a saved index becomes an opened one",
    )
    parser.add_argument(
        "--port", type=int, help="of the page's address; default: the first that is free from 7860 on"
    )
    parser.add_argument("--browser", action="store_true", help="open the page in this machine's browser too")
    parser.add_argument("--url", help="the server of the items, instead of the saved address")
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="build the HNSW graph from the vectors, and read none: for a folder from somebody you don't know",
    )


def app(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted."""
    import signal

    check_index(options.index)
    print(f"opening {shown(options.index)} …", flush=True)

    from fashionsearch.app.catalogue import Catalogue
    from fashionsearch.app.server import check_packages, serve
    from fashionsearch.tagging.named import named_tagger

    check_packages()
    with _opened(options) as index:
        # A filter that no item fits is told on the page.
        warnings.simplefilter("ignore", errors.DataWarning)
        catalogue = Catalogue(
            index,
            name=options.index.resolve().name,
            tagger=None if options.tagger is None else named_tagger(options.tagger),
            photos=options.photos,
            opens_files=not options.hide_photos,
            writable=options.writable,
        )

        def ready(address: str) -> None:
            print(f"{len(index):,} items: open {address} in a browser; Ctrl+C ends it", flush=True)
            if options.browser:
                import webbrowser

                webbrowser.open(address)

        # As Ctrl+C, so that the index is closed and uploads are deleted.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            serve(catalogue, options.port, ready)
        except KeyboardInterrupt:
            print("closed")
        finally:
            signal.signal(signal.SIGTERM, before)
    return 0


def _opened(options: argparse.Namespace) -> VisualIndex:
    from fashionsearch.index import VisualIndex

    if options.writable and options.url is None and _holds_items(options.index):
        return VisualIndex.open(options.index, rebuild=options.rebuild)
    return open_index(options.index, embeds=True, rebuild=options.rebuild, url=options.url)


def _holds_items(folder: Path) -> bool:
    """Return whether an index's items are in its folder, and not on a server."""
    from fashionsearch import storage

    return is_opened(folder) or "url" not in storage.open_saved(folder, "index").json("index.json")
