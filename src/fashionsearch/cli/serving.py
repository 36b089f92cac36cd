"""The command that serves a catalogue over HTTP."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from fashionsearch import errors
from fashionsearch.cli.inputs import check_index
from fashionsearch.cli.options import command

_PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
}


def serve(options: argparse.Namespace) -> int:
    """Serve a catalogue until told to stop."""
    check_index(options.index)
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise errors.MissingPackageError(
            f"serving needs {', '.join(missing)}: pip install {' '.join(missing)}"
        )
    from fashionsearch.service.processes import serve as serve_catalogue
    from fashionsearch.service.settings import Limits, Settings
    from fashionsearch.service.tokens import READ_TOKEN, TOKEN, Tokens, read_token

    settings = Settings(
        folder=options.index.expanduser().absolute(),
        host=options.host,
        port=options.port,
        workers=options.workers,
        writable=options.writable,
        tokens=Tokens(
            write=read_token(TOKEN, options.token) if options.writable else None,
            read=read_token(READ_TOKEN, options.read_token),
        ),
        cors_origins=tuple(options.cors_origin),
        photos=None if options.photos is None else options.photos.expanduser().absolute(),
        tagger=options.tagger,
        url=options.url,
        rebuild=options.rebuild,
        limits=Limits(
            body=round(options.max_body * 2**20),
            waiting=max(Limits.waiting, round(4 * options.max_body * 2**20)),
            pixels=round(options.max_megapixels * 1e6),
            k=options.max_k,
            concurrency=options.max_requests,
            head_seconds=min(Limits.head_seconds, options.body_timeout),
            body_seconds=options.body_timeout,
            seconds=options.timeout,
        ),
    )

    def tell(address: str) -> None:
        print(f"{options.index} is served at {address}, and {address}/docs says how to ask", flush=True)

    serve_catalogue(settings, tell)
    return 0


def add_serve(subcommands: Any) -> None:
    """Add the command to those of the parser."""
    made = command(
        subcommands,
        "serve",
        "serving:serve",
        "answer searches over HTTP and JSON, until interrupted",
        "fashionsearch serve catalogue\n"
        "fashionsearch serve catalogue --port 8000 --workers 2 --photos photos/\n"
        "fashionsearch serve catalogue --writable --token token.txt\n"
        "fashionsearch serve catalogue --host 0.0.0.0 --read-token read-token.txt --cors-origin https://shop.example",
        answers=False,
    )
    add = made.add_argument
    add("index", type=Path, help="folder of an index, saved, opened or on a server")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen at; another machine needs a token (%(default)s)",
    )
    add("--port", type=int, default=8000, help="0 takes one that is free (%(default)s)")
    add("--workers", type=int, default=1, help="processes that answer (%(default)s)")
    add(
        "--writable",
        action="store_true",
        help="let clients that show the token add, change and remove items; of an opened index, or one on a server",
    )
    add("--token", type=Path, metavar="FILE", help="holds that token; default: FASHIONSEARCH_TOKEN")
    add(
        "--read-token",
        type=Path,
        metavar="FILE",
        help="holds the token that clients must show to search; default: FASHIONSEARCH_READ_TOKEN, or none",
    )
    add(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="whose pages may ask from a browser, such as https://shop.example; may be given several times",
    )
    add("--photos", type=Path, metavar="FOLDER", help="show the items' photos that lie in this folder")
    add("--tagger", help="folder of a saved tagger, or fashion; default: the index's own, or fashion")
    add("--url", help="the server of the items, instead of the saved address")
    add(
        "--rebuild",
        action="store_true",
        help="read no graph's file: for a folder from somebody you don't know",
    )
    limits = made.add_argument_group("limits, of each worker").add_argument
    limits("--max-body", type=float, default=8, metavar="MIB", help="of a request (%(default)s)")
    limits("--max-megapixels", type=float, default=25, help="of a photo (%(default)s)")
    limits("--max-k", type=int, default=1000, help="items of an answer, its offset included (%(default)s)")
    limits("--max-requests", type=int, default=64, help="at once; more are to come again (%(default)s)")
    limits("--timeout", type=float, default=30, metavar="SECONDS", help="of a request (%(default)s)")
    limits(
        "--body-timeout",
        type=float,
        default=20,
        metavar="SECONDS",
        help="in which a request must have arrived, part of the former (%(default)s)",
    )
