"""The test photos that networks get wrong, from the probabilities that are kept of each row."""

from __future__ import annotations

from collections import Counter

import numpy as np
from benchmark_tables import table
from result_rows import Results, Row

NETWORKS = ("head", "finetuned")


def in_common(results: Results) -> str:
    """Return by how many networks the study's test photos are called something else, and which by all of them."""
    kept = [each for each in results.details.values() if _is_of_a_network(each)]
    if not kept:
        return "No network has kept its probabilities."
    classes = np.array(kept[0]["classes"])
    labels = classes[kept[0]["labels"]]
    guesses = np.stack([np.array(each["classes"])[np.argmax(each["probabilities"], axis=1)] for each in kept])
    wrong = (guesses != labels).sum(axis=0)
    counts = table(
        (f"Wrong by, of {len(kept)} networks", "Photos"),
        [[str(networks), str((wrong == networks).sum())] for networks in range(1, len(kept) + 1)],
    )
    most = [
        (str(labels[photo]), Counter(guesses[:, photo].tolist()).most_common(1)[0][0])
        for photo in np.flatnonzero(wrong == len(kept))
    ]
    named = table(
        ("Label", "Called by most of them", "Photos, wrong by all"),
        [[label, guess, str(photos)] for (label, guess), photos in Counter(most).most_common()],
    )
    return f"{counts}\n\n{named}"


def _is_of_a_network(kept: Row) -> bool:
    is_autoencoder = kept["model"].startswith("autoencoder-")
    return (
        "probabilities" in kept
        and kept["scorer"] in NETWORKS
        and not (is_autoencoder or kept["model"].startswith("baseline-"))
    )
