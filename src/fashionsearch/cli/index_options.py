"""The commands of an index, their options and their help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fashionsearch.cli import changing, indexing, migrating
from fashionsearch.cli.options import add_data, add_encoder, add_reading, command


def add_index_commands(subcommands: Any) -> None:
    """Add the commands to those of the parser."""
    index = command(
        subcommands,
        "index",
        indexing.index,
        "make photos searchable",
        "fashionsearch index photos/ --out catalogue\nfashionsearch index photos/ --out catalogue --sync",
    )
    add_data(index)
    index.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder to save the index to; with --sync, to open, and a saved index becomes an opened one",
    )
    index.add_argument(
        "--encoder",
        help="a network's name, or a saved classifier, tagger, autoencoder or backbone (fashion, or what the folder holds)",
    )
    index.add_argument(
        "--sync",
        action="store_true",
        help="open the folder, and bring it in step with the photos: only new and changed ones are embedded",
    )
    index.add_argument(
        "--id-column", help="the column of ids; default: id, or the photos' paths where there is none"
    )
    index.add_argument(
        "--background",
        choices=("keep", "fuse"),
        default="keep",
        help="of photos taken in cluttered places: fuse looks also at what each shows, alone on white (%(default)s)",
    )
    index.add_argument("--metric", default="cosine", help="cosine or euclidean (%(default)s)")
    index.add_argument(
        "--engine", default="hnsw", help="hnsw, faiss, exact, qdrant or pgvector (%(default)s)"
    )
    _add_place(index)

    _add_changes(subcommands)
    _add_migration(subcommands)

    index_copy = command(
        subcommands,
        "index-copy",
        indexing.index_copy,
        "copy an index to another folder or engine",
        "fashionsearch index-copy catalogue copy\nfashionsearch index-copy catalogue copy --engine faiss\n"
        "fashionsearch index-copy catalogue shop --engine pgvector --url postgresql://me@host/shop --collection items",
    )
    index_copy.add_argument("source", type=Path, help="folder of an index, saved or opened")
    index_copy.add_argument(
        "target", type=Path, help="folder to open and copy to; what it has unchanged is left"
    )
    index_copy.add_argument(
        "--engine", help="hnsw, faiss, exact, qdrant or pgvector, of a new target (the source's)"
    )
    _add_place(index_copy)
    index_copy.add_argument("--source-url", help="the server of the source, instead of the saved address")

    learn_text = command(
        subcommands,
        "learn-text",
        changing.learn_text,
        "learn what words mean in photos from the items' titles, for search --text",
        "fashionsearch learn-text catalogue --titles productDisplayName",
    )
    _add_index(learn_text)
    learn_text.add_argument("--titles", required=True, metavar="FIELD", help="the metadata field of titles")

    calibrate = command(
        subcommands,
        "calibrate",
        changing.calibrate,
        "learn what a likeness is worth, for search --coverage and --min-probability",
        "fashionsearch calibrate catalogue --field articleType",
    )
    _add_index(calibrate)
    calibrate.add_argument(
        "--field", default="articleType", help="the metadata field of an item's kind (%(default)s)"
    )

    search = command(
        subcommands,
        "search",
        indexing.search,
        "find the items that look most like a photo, or like what words say",
        "fashionsearch search catalogue photo.jpg -k 5\n"
        "fashionsearch search catalogue --text 'red floral dress'\n"
        "fashionsearch search catalogue photo.jpg --where gender=Women --where 'year>=2012'\n"
        "fashionsearch search catalogue photo.jpg --towards baseColour=Red --group-by productDisplayName --exclude 1163\n"
        "fashionsearch search catalogue photo.jpg --like 1163 --unlike 1164 --unlike too-dark.jpg",
    )
    search.add_argument("index", type=Path, help="folder of an index, saved or opened")
    search.add_argument(
        "photos", nargs="*", help="one or several photos, each a query; none with --text or --like alone"
    )
    search.add_argument("--text", help="what is wanted in words, alone or beside each photo")
    search.add_argument(
        "--text-weight",
        type=float,
        default=0.5,
        help="what the words count beside photos, 0 to 1 (%(default)s)",
    )
    search.add_argument(
        "--text-match",
        action="store_true",
        help="also find items whose own text holds the words, as they are written",
    )
    search.add_argument("-k", type=int, default=5, help="items to find for each (%(default)s)")
    search.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE…]",
        help="only among items with such metadata; also >=, <=, > and <; may be given several times",
    )
    search.add_argument(
        "--like",
        action="append",
        default=[],
        metavar="ID",
        help="an item that is good, or a photo; left out of the answer; may be given several times",
    )
    search.add_argument(
        "--unlike",
        action="append",
        default=[],
        metavar="ID",
        help="an item or a photo that is not what is wanted; likewise",
    )
    search.add_argument(
        "--towards",
        action="append",
        default=[],
        metavar="ATTRIBUTE=VALUE",
        help="like the photo, but so, by what a tagger says of the items, such as baseColour=Red; may be given several times",
    )
    search.add_argument(
        "--tagger",
        type=Path,
        help="folder of a saved tagger, or fashion, whose attributes --towards names; default: the index's own",
    )
    search.add_argument("--group-by", metavar="FIELD", help="show each value of this metadata field once")
    search.add_argument(
        "--diversity",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="from 0 to 1, what unlikeness to the items before counts (%(default)s)",
    )
    search.add_argument(
        "--exclude", nargs="+", default=[], metavar="ID", help="items that are no answers, such as those seen"
    )
    search.add_argument("--url", help="the server of the items, instead of the saved address")
    search.add_argument(
        "--background",
        choices=("keep", "fuse"),
        help="of the photos: fuse looks also at what each shows, alone on white (default: as the index was made)",
    )
    search.add_argument(
        "--min-probability",
        type=float,
        metavar="CHANCE",
        help="leave out items that are less probably of the photo's kind, from 0 to 1; after calibrate",
    )
    search.add_argument(
        "--coverage",
        type=float,
        metavar="CHANCE",
        help="the shortest list that holds an item of the photo's kind with this chance, such as 0.95; after calibrate",
    )
    search.add_argument("--exact", action="store_true", help="compare with every item")
    search.add_argument("--json", action="store_true", help="print JSON, one line a query")
    search.add_argument(
        "--rebuild",
        action="store_true",
        help="build the HNSW graph from the vectors, and read none: for a folder from somebody you don't know",
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        help="address of the server, with qdrant (its key: QDRANT_API_KEY in the environment) and pgvector",
    )
    parser.add_argument("--collection", help="name of the items' collection or table there")


def _add_changes(subcommands: Any) -> None:
    add = command(
        subcommands,
        "add",
        changing.add,
        "add photos to an index, or put new ones in the place of those of the same ids",
        "fashionsearch add catalogue new/\n"
        "fashionsearch add catalogue shirt.jpg hat.jpg\n"
        "fashionsearch add catalogue products.csv --image-column file --id-column sku",
    )
    _add_index(add)
    add.add_argument(
        "data",
        nargs="+",
        type=Path,
        metavar="PHOTOS",
        help="photos, folders of them, or .csv files with a column of image paths",
    )
    add_reading(add)
    add.add_argument(
        "--id-column", help="the column of ids; default: id, or the photos' paths where there is none"
    )
    _add_json(add)

    remove = command(
        subcommands,
        "remove",
        changing.remove,
        "remove items from an index",
        "fashionsearch remove catalogue 1163 1164\nfashionsearch remove catalogue --ids sold-out.txt\n"
        "sort sold-out.txt | fashionsearch remove catalogue --ids -",
    )
    _add_index(remove)
    remove.add_argument("ids", nargs="*", metavar="ID", help="ids of items, all of which must be there")
    remove.add_argument(
        "--ids", dest="list", type=Path, metavar="FILE", help="a file with an id a line; - is standard input"
    )
    _add_json(remove)

    update = command(
        subcommands,
        "update",
        changing.update,
        "set fields of an item's metadata",
        "fashionsearch update catalogue 1163 price=19.9 season=Fall sold=true\n"
        "fashionsearch update catalogue 1163 note=",
    )
    _add_index(update)
    update.add_argument("id", metavar="ID", help="id of the item, which must be there")
    update.add_argument(
        "fields",
        nargs="+",
        metavar="FIELD=VALUE",
        help="a number or true or false where the value spells one, unless the item has text there; else text; nothing is "
        "an unknown value; fields that aren't named stay",
    )
    _add_json(update)


def _add_migration(subcommands: Any) -> None:
    migrate = command(
        subcommands,
        "migrate",
        migrating.migrate,
        "give an index another encoder, and embed its photos again; a run that was interrupted goes on",
        "fashionsearch migrate catalogue --encoder fashion\n"
        "fashionsearch migrate catalogue --encoder fashion --photos photos/ --field articleType --keep-old\n"
        "fashionsearch migrate catalogue --rollback",
    )
    _add_index(migrate)
    add_encoder(migrate)
    migrate.add_argument(
        "--photos", type=Path, help="folder of the photos, instead of the paths that they were added from"
    )
    migrate.add_argument(
        "--field", help="a metadata field in which the first match is to agree, to measure the loss by too"
    )
    migrate.add_argument(
        "--pairs", type=int, default=1500, help="items that the map is learned from (%(default)s)"
    )
    migrate.add_argument(
        "--translate", action="store_true", help="map the old vectors of items whose photos are missing"
    )
    ending = migrate.add_mutually_exclusive_group()
    ending.add_argument(
        "--keep-old", action="store_true", help="keep the old vectors too, so that --rollback can go back"
    )
    ending.add_argument(
        "--rollback", action="store_true", help="go back to the encoder before, and its vectors"
    )


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", type=Path, help="folder of an index; a saved one becomes an opened one")
    _add_place(parser)
    parser.set_defaults(engine=None)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
