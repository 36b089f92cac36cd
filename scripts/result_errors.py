"""The test photos that networks get wrong, from the probabilities that are kept of each row."""

from __future__ import annotations

from collections import Counter

import numpy as np
from benchmark_tables import table
from result_rows import HEAD, Contender, Results, evaluation

import fashionsearch as fs

NETWORKS = ("head", "finetuned")


def in_common(results: Results) -> str:
    """Return by how many networks the study's test photos are called something else, and what all get wrong."""
    kept = {
        stem: each
        for stem, each in results.details.items()
        if each["scorer"] in NETWORKS and not each["model"].startswith("baseline-")
    }
    if not kept:
        return "No network has kept its probabilities."
    evaluations = {stem: evaluation(each) for stem, each in kept.items()}
    labels = next(iter(evaluations.values())).labels
    guesses = np.stack([each.predictions for each in evaluations.values()])
    wrong = (guesses != labels).sum(axis=0)
    by_all = wrong == len(kept)
    counts = table(
        (f"Wrong by, of {len(kept)} networks", "Photos"),
        [[str(networks), str((wrong == networks).sum())] for networks in range(1, len(kept) + 1)],
    )
    named = Counter(
        (str(labels[photo]), Counter(guesses[:, photo].tolist()).most_common(1)[0][0])
        for photo in np.flatnonzero(by_all)
    )
    what = table(
        ("Label", "Called by most of them", "Photos, wrong by all"),
        [[label, guess, str(photos)] for (label, guess), photos in named.most_common()],
    )
    ceilings = []
    for stem, whole in evaluations.items():
        rest = fs.metrics.evaluate(labels[~by_all], whole.probabilities[~by_all], whole.classes)
        aucs = (f"{100 * each.weighted_auc:.2f}" for each in (whole, rest))
        accuracies = (f"{100 * each.accuracy:.1f}" for each in (whole, rest))
        ceilings.append([*Contender.of(results.rows[stem][0]).cells, *accuracies, *aucs])
    without = table(
        (*HEAD, "Accuracy, %", "Without them, %", "AUC, weighted, %", "Without them, %"), ceilings
    )
    return f"{counts}\n\n{what}\n\n{without}"
