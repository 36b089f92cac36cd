"""What a buyer says (words, likes, "in red", "not the same again") and what an index makes of it.

    python benchmarks/buyer.py --data ../shared/data
    python benchmarks/buyer.py --data ../shared/data --only sliders chances --encoders fashion

Each part is a module of `buying`, which says what its rows are; it writes its results as `buyer-PART-ENCODER`.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from buying.data import ENCODERS, read
from timing import write

PARTS = ("words", "feedback", "sliders", "chances", "migration", "scenes")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="some parts alone")
    parser.add_argument(
        "--encoders", nargs="*", choices=ENCODERS, default=ENCODERS, help="some encoders alone"
    )
    parser.add_argument("--validation", action="store_true", help="on the validation part, and write nothing")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="where results go"
    )
    options = parser.parse_args()
    data = read(options.data)
    for part in options.only:
        module = importlib.import_module(f"buying.{part}")
        for encoder in options.encoders:
            rows = module.measure(data, encoder, validation=options.validation)
            for row in rows:
                print(part, encoder, row, flush=True)
            if not options.validation:
                about = {"about": (module.__doc__ or "").split("\n")[0], "encoder": encoder}
                write(f"buyer-{part}-{encoder}", rows, folder=options.out, about=about)


if __name__ == "__main__":
    main()
