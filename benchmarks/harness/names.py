"""The names that the command line, the rows and the pages share. Nothing heavy is imported here, so `--help` is quick."""

from __future__ import annotations

STUDY_LABEL, STUDY_TEST = "masterCategory", "study-test"
HARDER_LABELS = ("subCategory", "articleType", "baseColour", "gender", "season", "usage")
CLOTHING_LABEL = (
    "label"  # of clothing-dataset-small, which is tuned on "tuning" and measured on its "validation"
)
TWINS = "twins"  # articleType on a split in which test photos have twins among the training photos
OF_ARTICLE_TYPE = "-articleType"  # the same step for the harder label, on the larger split
TAGGING = (STUDY_LABEL, *HARDER_LABELS, TWINS, "clothing")
TASKS = (
    *TAGGING,
    "retrieval",
    "same-product",
    "distortions",
    f"distortions{OF_ARTICLE_TYPE}",
    "learning-curve",
    f"learning-curve{OF_ARTICLE_TYPE}",
)
SHARES = (100, 200, 400, 800, 1600, 3200)  # photos to learn from, of the learning curves

AUTOENCODER = "autoencoder-"
DISTILLED = "distilled"
SUITABLE = "suitable"  # trained weights where a backbone has them, and none for an autoencoder
MAJORITY = "baseline-majority"  # a head that is all bias
PIXELS = {"baseline-pixels-pca-16-knn": 16, "baseline-pixels-pca-64-knn": 64}
BASELINES = {MAJORITY: "head", **dict.fromkeys(PIXELS, "knn")}
SCORERS = {"head": "linear head", "finetuned": "fine-tuned", "knn": "5 neighbours", "probe": "linear probe"}
