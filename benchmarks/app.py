"""How long does the page in the browser take from a click to its results, and does any request leave the machine?

`fashionsearch app` serves an index of 12,000 photos to Debian's Chromium, in which every name but 127.0.0.1 is blocked. A
second is from the event (a photo pasted, "Search", "Like" and "More results" pressed) until the results have been painted, by
the browser's own clock. Photos that are pasted are none of the index. A first round isn't counted.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from browsing import opened, served
from options import parser
from timing import write

import fashionsearch as fs
from fashionsearch.cache import EmbeddingCache

# Returns the milliseconds from an action until what it has changed was painted.
CLOCK = """async ([action, argument]) => {
    const actions = {
        paste: (bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        },
        type: (words) => { document.getElementById("text").value = words; },
        click: (selector) => document.querySelector(selector).click(),
    };
    const section = document.querySelector("#finding section"), before = section.dataset.turn;
    if (action === "type") return actions.type(argument);
    const changed = new Promise((done) => {
        new MutationObserver((_, observer) => {
            if (section.dataset.turn === before) return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(done));
        }).observe(section, { attributes: true });
    });
    const began = performance.now();
    actions[action](argument);
    await changed;
    return performance.now() - began;
}"""
WORDS = ("red dress", "black leather shoes", "blue jeans", "white shirt", "watch with a brown strap")


def make_index(data: Path, items: int, folder: Path) -> list[Path]:
    """Save an index of photos, and return photos that are not in it."""
    table = fs.datasets.load_fashion_products(data)
    chosen = table[:items]
    index = fs.VisualIndex("fashion", progress=False)
    with EmbeddingCache() as cache:
        index.add(chosen.images, ids=list(chosen["id"]), metadata=chosen.metadata, cache=cache)
    index.save(folder)
    return [Path(str(image)) for image in table[items:].images]


def measure(page: Any, photos: list[Path], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each action, by its name."""
    names = {"like": ".card [data-do=like]", "more": "[data-do=more]", "search": "#wishes button.main"}
    seconds: dict[str, list[float]] = {"photo": [], **{name: [] for name in names}}
    for step in range(rounds + 1):
        took = {"photo": page.evaluate(CLOCK, ["paste", list(photos[step % len(photos)].read_bytes())])}
        page.evaluate(CLOCK, ["type", WORDS[step % len(WORDS)]])
        for name in ("search", "like", "more"):
            took[name] = page.evaluate(CLOCK, ["click", names[name]])
        page.evaluate(CLOCK, ["click", "[data-do=reset]"])
        if step:
            for name, milliseconds in took.items():
                seconds[name].append(milliseconds / 1000)
    return seconds


def main() -> None:
    """Run the command line."""
    made = parser(__doc__, quick="300 photos and five rounds")
    made.add_argument("--rounds", type=int, default=50, help="how often each is done (%(default)s)")
    options = made.parse_args()
    items, rounds = (300, 5) if options.quick else (12_000, options.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        photos = make_index(options.data, items, Path(scratch) / "catalogue")
        photos = photos or [
            Path(str(image)) for image in fs.datasets.load_fashion_products(options.data).images
        ]
        with served(Path(scratch) / "catalogue") as address, opened(address) as (page, requests):
            seconds = measure(page, photos, rounds)
    rows = [
        {
            "action": name,
            "median_seconds": round(float(np.median(measured)), 4),
            "p95_seconds": round(float(np.quantile(measured, 0.95)), 4),
            "most_seconds": round(max(measured), 4),
            "count": len(measured),
        }
        for name, measured in seconds.items()
    ]
    for row in rows:
        print(
            f"{row['action']}: median {row['median_seconds']:.3f} s, 95 % within {row['p95_seconds']:.3f} s"
        )
    told = {name: len(urls) for name, urls in requests.items()}
    print(f"requests that failed: {told['failed']}, to anywhere else: {told['elsewhere']}")
    about = {"items": items, "requests_failed": told["failed"], "requests_elsewhere": told["elsewhere"]}
    write("app", rows, folder=options.out, about=about, quick=options.quick)


if __name__ == "__main__":
    main()
