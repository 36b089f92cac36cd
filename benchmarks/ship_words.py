"""Learns the words that ship beside `fashion` from the titles of its training photos, and writes them as they ship.

    python benchmarks/ship_words.py --data ../shared/data --out src/fashionsearch/pretrained

The titles are those of rows 1 to 10,000 and of `fashion-product-images-more`. The folder's `shipped.json` is completed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from buying.data import embedded, encoder, read
from shipping import write_weights

from fashionsearch.words.learning import learn_words

_NAME = "fashion"
_LARGEST = 12_000_000  # bytes of the words and the network together
_MOST_PIECES = 14_400  # which bounds the file


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="the folder of fashion.safetensors")
    options = parser.parse_args()
    data = read(options.data)
    titles = data.known["productDisplayName"]
    there = titles != ""
    vectors = embedded(_NAME, data.known.images)[there]
    words = learn_words(
        titles[there].tolist(), vectors, most_pieces=_MOST_PIECES, random_state=0, progress=True
    )
    config, arrays = words.state()
    path = options.out / f"{_NAME}-words.safetensors"
    write_weights(path, arrays, {"version": 1, **config})
    size = sum((options.out / f"{_NAME}{kind}.safetensors").stat().st_size for kind in ("", "-words"))
    if size > _LARGEST:
        raise SystemExit(f"{size:,} bytes together, and at most {_LARGEST:,} may ship; lower _MOST_PIECES")
    listed = json.loads((options.out / "shipped.json").read_text(encoding="utf-8"))
    listed[_NAME] |= {
        "words": hashlib.sha256(path.read_bytes()).hexdigest(),
        "words_for": encoder(_NAME).fingerprint,
    }
    (options.out / "shipped.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    print(f"{len(words.hashes):,} pieces, {path.stat().st_size:,} bytes, {size:,} with the network")


if __name__ == "__main__":
    main()
