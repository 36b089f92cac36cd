"""What the hub's page says of a tagger."""

from __future__ import annotations

from collections.abc import Sequence

from fashionsearch.hub import Card
from fashionsearch.tagging.state import State


def card(state: State, facts: Sequence[tuple[str, str]]) -> Card:
    """Return the card of a tagger.

    Args:
        state: what it has learned beside its network.
        facts: of the network.
    """
    parents = [f"{child} is a kind of {parent}" for child, parent in state.taxonomy.parents.items()]
    if state.has_learned:
        learned = [
            ("photos that it keeps as examples", f"{len(state.embeddings):,}"),
            ("photos that corrected it", f"{len(state.corrected):,}"),
            ("confidences", "each attribute's are calibrated by a temperature on photos that were held out"),
        ]
        notes = [
            "Embeddings of photos that it learned from are in the repository (float16), and the photos are not."
        ]
    else:
        learned, notes = [("confidences", "by the names of the classes alone, and not calibrated")], []
    return Card(
        f"A tagger of {len(state.heads):,} attributes of product photos, made with fashionsearch.",
        "image-classification",
        [*facts, *learned, *([("taxonomy", "; ".join(parents))] if parents else [])],
        'tagger = {load}\nprint(tagger.tag("photo.jpg"))',
        {name: [str(label) for label in classes] for name, classes in state.targets.classes.items()},
        notes,
    )
