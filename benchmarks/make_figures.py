"""Make the pictures in docs/images/, from garments that the library draws; or the same from real photos, elsewhere.

The study's Figures 1, 2, 9 and 10 are among them: the data, augmented photos, predictions, and matches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from report.charts import save

import fashionsearch as fs

QUERIES = ("Ties", "Heels", "Backpacks")
EXPLAINED = "Tshirts"


def main() -> None:
    """Draw a catalogue, index it, and save the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    docs = Path(__file__).parent.parent / "docs"
    parser.add_argument("--out", type=Path, default=docs / "images", help="folder to write to (docs/images)")
    parser.add_argument("--items", type=int, default=400, help="garments to draw and index (%(default)s)")
    parser.add_argument(
        "--data", type=Path, help="Fashion Product Images (Small), instead of drawn garments; needs --out"
    )
    options = parser.parse_args()
    if options.data is not None and options.out == docs / "images":
        parser.error("--data needs --out: pictures of real photos don't belong in the repository")
    options.out.mkdir(parents=True, exist_ok=True)

    if options.data is None:
        drawn = fs.datasets.make_catalogue(options.items + 100, seed=0)
    else:
        drawn = fs.datasets.load_fashion_products(options.data)[: options.items + 100]
    table, unseen = drawn[: options.items], drawn[options.items :]
    save(search_figure(table, unseen), options.out / "search.png")
    figure = Figure(figsize=(7.2, 6.6))
    fs.plots.overview(table, columns=["masterCategory", "articleType"], figure=figure)
    save(figure, options.out / "overview.png")
    learning_figures(drawn, options.out)
    figure = Figure(figsize=(10, 6))
    fs.plots.samples(table.images[:24], titles=table["articleType"][:24], columns=8, figure=figure)
    save(figure, options.out / "catalogue.png")


def search_figure(table: fs.datasets.Table, unseen: fs.datasets.Table) -> Figure:
    """Draw photos that aren't in the index, each with its five nearest."""
    index = fs.VisualIndex("efficientnet_lite0")
    index.add(table.images, ids=table["id"].tolist(), metadata=table.metadata)
    kinds = unseen["articleType"].tolist()
    queries = unseen[[kinds.index(kind) for kind in QUERIES if kind in kinds]]
    found = index.search(queries.images, k=5)
    photos = dict(zip(table["id"].tolist(), table.images, strict=True))
    figure = Figure(figsize=(8.4, 8))
    fs.plots.matches(found, images=photos, queries=queries.images, titles="productDisplayName", figure=figure)
    return figure


def learning_figures(drawn: fs.datasets.Table, out: Path) -> None:
    """Draw how a tagger and an autoencoder learn, what they see, and what they say."""
    train, validation, test = drawn.split(test=0.2, validation=0.2, seed=42)
    label = "articleType"
    figure = Figure(figsize=(9, 4.6))
    fs.plots.augmentation(train.images[:3], "light", copies=6, figure=figure)
    save(figure, out / "augmentation.png")

    tagger = fs.Classifier("efficientnet_lite0", training=fs.FineTuning(), image_size=128, random_state=0)
    known = [row for row, kind in enumerate(validation[label]) if kind in set(train[label])]
    held_out = validation[known]
    tagger.fit(train.images, train[label], validation=(held_out.images, held_out[label]))
    figure = Figure(figsize=(9, 3.4))
    fs.plots.training_curves(tagger.history_, figure=figure)
    save(figure, out / "curves.png")
    shown = test[:6]
    figure = Figure(figsize=(10, 4))
    fs.plots.predictions(
        shown.images,
        tagger.predict_proba(shown.images),
        tagger.classes_,
        labels=shown[label],
        figure=figure,
    )
    save(figure, out / "predictions.png")
    figure = Figure(figsize=(4.6, 3.3))
    photo = test.images[test["articleType"].tolist().index(EXPLAINED)]
    fs.plots.explanation(photo, tagger.explain(photo), figure=figure)
    save(figure, out / "explanation.png")

    longer = fs.FineTuning(epochs=40, batch_size=16, augment="none")  # a few hundred photos need more steps
    encoder = fs.Autoencoder("cnn", training=longer, random_state=0)
    encoder.fit(train.images, validation=validation.images)
    figure = Figure(figsize=(10, 3.8))
    few = test.images[:8]
    fs.plots.reconstructions(few, encoder.reconstruct(few), figure=figure)
    save(figure, out / "reconstructions.png")


if __name__ == "__main__":
    main()
