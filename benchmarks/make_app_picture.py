"""Make the picture of the page, docs/images/app.png: drawn garments, searched by a photo, in Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path

import PIL.Image
from browsing import opened, served
from report.charts import reduce
from report.pages import DOCS

import fashionsearch as fs

_FIELDS = ("gender", "articleType", "baseColour", "season", "usage", "productDisplayName")


def main() -> None:
    """Run the command line."""
    table = fs.datasets.make_catalogue(400, seed=0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = [folder / f"{item}.png" for item in table["id"]]
        for path, image in zip(paths, table.images, strict=True):
            PIL.Image.fromarray(image).save(path)
        index = fs.VisualIndex("fashion", progress=False)
        asked, *others = paths
        metadata = {name: table[name].tolist()[1:] for name in _FIELDS}
        index.add(others, ids=[path.stem for path in others], metadata=metadata)
        index.save(folder / "Drawn garments")
        with served(folder / "Drawn garments") as address, opened(address, height=1000) as (page, _):
            page.set_input_files("#photo", asked)
            page.wait_for_selector(".tags")
            page.click(".card:nth-child(2) [data-do=like]")
            page.wait_for_selector(".judged")
            page.click("details[data-name='filter:baseColour'] summary")
            reduce(page.screenshot(), DOCS / "images" / "app.png")
    print(f"written: {DOCS / 'images' / 'app.png'}")


if __name__ == "__main__":
    main()
