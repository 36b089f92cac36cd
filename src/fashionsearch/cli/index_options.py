"""The commands of an index, their options and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fashionsearch.cli.options import (
    ENGINES,
    add_data,
    add_encoder,
    add_id_column,
    add_reading,
    add_server,
    add_skip_bad,
    command,
)


def _add_index(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "index",
        "indexing:index",
        "make photos searchable",
        "fashionsearch index photos/ --out catalogue\nfashionsearch index photos/ --out catalogue --sync",
    )
    add_data(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of the index: a saved one is made anew, and an opened one holds these photos afterwards and no others; "
        "with --sync, to open, and a saved index becomes an opened one",
    )
    parser.add_argument(
        "--encoder",
        help="a network's name, or a saved classifier, tagger, autoencoder or backbone (fashion, or what the folder holds)",
    )
    parser.add_argument(
        "--sync",
        action="store_true",
        help="open the folder, and bring it in step with the photos: only new and changed ones are embedded",
    )
    add_id_column(parser)
    parser.add_argument(
        "--background",
        choices=("keep", "fuse"),
        help="of photos taken in cluttered places: fuse looks also at what each shows, alone on white (keep, or likewise)",
    )
    parser.add_argument("--metric", help="cosine or euclidean (cosine, or as the opened folder was made)")
    parser.add_argument("--engine", help=f"{ENGINES} (hnsw, or likewise)")
    add_server(parser)


def _add_add(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "add",
        "changing:add",
        "add photos to an index, or put new ones in the place of those of the same ids",
        "fashionsearch add catalogue new/\n"
        "fashionsearch add catalogue shirt.jpg hat.jpg\n"
        "fashionsearch add catalogue products.csv --image-column file --id-column sku",
    )
    _add_folder(parser)
    parser.add_argument(
        "data",
        nargs="+",
        type=Path,
        metavar="PHOTOS",
        help="photos, folders of them, or .csv files with a column of image paths",
    )
    add_reading(parser)
    add_id_column(parser)


def _add_remove(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "remove",
        "changing:remove",
        "remove items from an index",
        "fashionsearch remove catalogue 1163 1164\nfashionsearch remove catalogue --ids sold-out.txt\n"
        "sort sold-out.txt | fashionsearch remove catalogue --ids -",
    )
    _add_folder(parser)
    parser.add_argument("ids", nargs="*", metavar="ID", help="ids of items, all of which must be there")
    parser.add_argument(
        "--ids", dest="list", type=Path, metavar="FILE", help="a file with an id a line; - is standard input"
    )


def _add_update(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "update",
        "changing:update",
        "set fields of an item's metadata",
        "fashionsearch update catalogue 1163 price=19.9 season=Fall sold=true\n"
        "fashionsearch update catalogue 1163 note=",
    )
    _add_folder(parser)
    parser.add_argument("id", metavar="ID", help="id of the item, which must be there")
    parser.add_argument(
        "fields",
        nargs="+",
        metavar="FIELD=VALUE",
        help="a number or true or false where the value spells one, unless the item has text there; else text; nothing is "
        "an unknown value; fields that aren't named stay",
    )


def _add_migrate(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "migrate",
        "migrating:migrate",
        "give an index another encoder, and embed its photos again; a run that was interrupted goes on",
        "fashionsearch migrate catalogue --encoder fashion\n"
        "fashionsearch migrate catalogue --encoder fashion --photos photos/ --field articleType --keep-old\n"
        "fashionsearch migrate catalogue --rollback",
    )
    _add_folder(parser)
    add_encoder(parser)
    parser.add_argument(
        "--photos", type=Path, help="folder of the photos, instead of the paths that they were added from"
    )
    parser.add_argument(
        "--field", help="a metadata field in which the first match is to agree, to measure the loss by too"
    )
    parser.add_argument(
        "--pairs", type=int, default=1500, help="items that the map is learned from (%(default)s)"
    )
    parser.add_argument(
        "--translate", action="store_true", help="map the old vectors of items whose photos are missing"
    )
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument(
        "--keep-old", action="store_true", help="keep the old vectors too, so that --rollback can go back"
    )
    ending.add_argument(
        "--rollback", action="store_true", help="go back to the encoder before, and its vectors"
    )


def _add_index_copy(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "index-copy",
        "indexing:index_copy",
        "copy an index to another folder or engine",
        "fashionsearch index-copy catalogue copy\nfashionsearch index-copy catalogue copy --engine faiss\n"
        "fashionsearch index-copy catalogue shop --engine pgvector --url postgresql://me@host/shop --collection items",
    )
    parser.add_argument("source", type=Path, help="folder of an index, saved or opened")
    parser.add_argument("target", type=Path, help="folder to open and copy to; what it has unchanged is left")
    parser.add_argument("--engine", help=f"{ENGINES}, of a new target (the source's)")
    add_server(parser)
    parser.add_argument("--source-url", help="the server of the source, instead of the saved address")


def _add_learn_text(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "learn-text",
        "changing:learn_text",
        "learn what words mean in photos from the items' titles, for search --text",
        "fashionsearch learn-text catalogue --titles productDisplayName",
    )
    _add_folder(parser)
    parser.add_argument("--titles", required=True, metavar="FIELD", help="the metadata field of titles")


def _add_calibrate(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "calibrate",
        "changing:calibrate",
        "learn what a likeness is worth, for search --coverage and --min-probability",
        "fashionsearch calibrate catalogue --field articleType",
    )
    _add_folder(parser)
    parser.add_argument(
        "--field", default="articleType", help="the metadata field of an item's kind (%(default)s)"
    )


def _add_search(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "search",
        "searching:search",
        "find the items that look most like a photo, or like what words say",
        "fashionsearch search catalogue photo.jpg -k 5\n"
        "fashionsearch search catalogue photo.jpg --tag --json\n"
        "fashionsearch search catalogue --id 1163\n"
        "fashionsearch search catalogue --text 'red floral dress'\n"
        "fashionsearch search catalogue photo.jpg --where gender=Women --where 'year>=2012'\n"
        "fashionsearch search catalogue photo.jpg --towards baseColour=Red --group-by productDisplayName --exclude 1163\n"
        "fashionsearch search catalogue photo.jpg --like 1163 --unlike 1164 --unlike too-dark.jpg",
    )
    parser.add_argument("index", type=Path, help="folder of an index, saved or opened")
    parser.add_argument(
        "photos",
        nargs="*",
        help="one or several photos, each a query; none with --id, --text or --like alone",
    )
    parser.add_argument("--id", metavar="ID", help="search by this item, itself left out")
    parser.add_argument(
        "--vectors",
        type=Path,
        metavar="FILE",
        help="search by embeddings: a .npz file that embed wrote, or a .npy file of (n, dim)",
    )
    parser.add_argument("--text", help="what is wanted in words, alone or beside each photo")
    parser.add_argument(
        "--tag",
        action="store_true",
        help="tell also what is on each photo; where the index's own network knows that, each photo is looked at once",
    )
    parser.add_argument(
        "--text-weight",
        type=float,
        default=0.5,
        help="what the words count beside photos, 0 to 1 (%(default)s)",
    )
    parser.add_argument(
        "--text-match",
        action="store_true",
        help="also find items whose own text holds the words, as they are written",
    )
    parser.add_argument("-k", type=int, default=5, help="items to find for each (%(default)s)")
    _add_where(parser, "only among items with such metadata")
    parser.add_argument(
        "--like",
        action="append",
        default=[],
        metavar="ID",
        help="an item that is good, or a photo; left out of the answer; may be given several times",
    )
    parser.add_argument(
        "--unlike",
        action="append",
        default=[],
        metavar="ID",
        help="an item or a photo that is not what is wanted; likewise",
    )
    parser.add_argument(
        "--towards",
        action="append",
        default=[],
        metavar="ATTRIBUTE=VALUE",
        help="like the photo, but so, by what a tagger says of the items, such as baseColour=Red; may be given several times",
    )
    parser.add_argument(
        "--tagger",
        type=Path,
        help="folder of a saved tagger, or fashion, that --towards and --tag ask; default: the index's own",
    )
    parser.add_argument("--group-by", metavar="FIELD", help="show each value of this metadata field once")
    parser.add_argument(
        "--diversity",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="from 0 to 1, what unlikeness to the items before counts (%(default)s)",
    )
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="ID", help="items that are no answers, such as those seen"
    )
    _add_address(parser)
    parser.add_argument(
        "--background",
        choices=("keep", "fuse"),
        help="of the photos: fuse looks also at what each shows, alone on white (default: as the index was made)",
    )
    parser.add_argument(
        "--min-probability",
        type=float,
        metavar="CHANCE",
        help="leave out items that are less probably of the photo's kind, from 0 to 1; after calibrate",
    )
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="CHANCE",
        help="the shortest list that holds an item of the photo's kind with this chance, such as 0.95; after calibrate",
    )
    parser.add_argument("--exact", action="store_true", help="compare with every item")
    add_skip_bad(parser)
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="build the HNSW graph from the vectors, and read none: for a folder from somebody you don't know",
    )


def _add_facets(subcommands: Any) -> None:
    parser = command(
        subcommands,
        "facets",
        "inspecting:facets",
        "count the values of a metadata field",
        "fashionsearch facets catalogue baseColour\n"
        "fashionsearch facets catalogue articleType --where gender=Women --csv",
        plugins=False,
    )
    parser.add_argument("index", type=Path, help="folder of an index, saved or opened")
    parser.add_argument("field", metavar="FIELD", help="the metadata field")
    _add_where(parser, "count only items with such metadata")
    _add_address(parser)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", type=Path, help="folder of an index; a saved one becomes an opened one")
    add_server(parser)
    parser.set_defaults(engine=None)


def _add_where(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE…]",
        help=f"{what}; also >=, <=, > and <; may be given several times",
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the server of the items, instead of the saved address")


INDEX_COMMANDS: Mapping[str, Callable[[Any], None]] = {
    "index": _add_index,
    "add": _add_add,
    "remove": _add_remove,
    "update": _add_update,
    "migrate": _add_migrate,
    "index-copy": _add_index_copy,
    "learn-text": _add_learn_text,
    "calibrate": _add_calibrate,
    "search": _add_search,
    "facets": _add_facets,
}
