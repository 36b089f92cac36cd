"""The command that gives an index another encoder."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

from fashionsearch import errors
from fashionsearch.cli.answer import Answer
from fashionsearch.cli.console import shown
from fashionsearch.cli.inputs import is_opened, loaded
from fashionsearch.cli.target import to_change

if TYPE_CHECKING:
    from fashionsearch.index.migration import Migration

_TOLD = 5  # items without a photo that are named


def migrate(options: argparse.Namespace) -> Answer:
    """Give an index another encoder, or go back to the one before."""
    from fashionsearch.cache import EmbeddingCache

    with to_change(options, embeds=True) as index:
        if options.rollback:
            if index.migration is None:
                raise errors.InputError(f"{options.index} isn't being migrated, or that was finished")
            index.migration.rollback()
            return Answer(f"{options.index} has its encoder before again", {"state": "rolled back"})
        with EmbeddingCache() as cache:
            migration = index.migrate(
                loaded(options.encoder), options.photos, pairs=options.pairs, field=options.field, cache=cache
            )
            is_whole = migration.wait()
        found = {
            "items": len(index),
            "report": dataclasses.asdict(migration.report),
            "missing": dict(migration.missing),
            "translated": 0,
        }
        words = ""
        if not is_whole and options.translate:
            found["translated"] = len(migration.translate())
            words = f"{found['translated']:,} items keep what the map makes of their old vectors\n"
        elif not is_whole:
            _tell_missing(migration)
            return Answer("", {"state": migration.state, **found}, code=1)
        if options.keep_old:
            words += (
                f"{len(index):,} photos embedded again; the old vectors are kept: migrate without --keep-old ends that, "
                "with --rollback it goes back"
            )
            return Answer(words, {"state": migration.state, **found})
        migration.finish()
        if not is_opened(options.index):  # which names the collection on the server
            index.save(options.index)
        return Answer(f"{words}{len(index):,} photos embedded again", {"state": "finished", **found})


def _tell_missing(migration: Migration) -> None:
    missing = migration.missing
    for item, why in list(missing.items())[:_TOLD]:
        print(f"{shown(item)}: {shown(why)}", file=sys.stderr)
    print(
        f"{len(missing):,} photos are missing; their items are found by mapped queries: name the photos' folder by --photos, "
        "or give --translate",
        file=sys.stderr,
    )
