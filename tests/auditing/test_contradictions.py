"""Labels that don't go together."""

import numpy as np
import pytest

from fashionsearch.auditing.contradictions import Catalogue, contradictions
from fashionsearch.targets import Targets


def catalogue(labels, said=None, products=None, copies=None):
    classes, columns = {}, []
    for name, values in labels.items():
        classes[name], inverse = np.unique(values, return_inverse=True)
        columns.append(inverse)
    n = len(columns[0])
    probabilities = {
        name: np.eye(len(each))[column] * 0.8 + 0.2 / len(each)
        for (name, each), column in zip(classes.items(), columns, strict=True)
    }
    for (name, row, label), probability in (said or {}).items():
        place = classes[name].tolist().index(label)
        probabilities[name][row] *= (1 - probability) / (1 - probabilities[name][row, place])
        probabilities[name][row, place] = probability
    return Catalogue(
        Targets(np.stack(columns, axis=1), classes),
        probabilities,
        np.arange(n) if products is None else products,
        np.arange(n) if copies is None else copies,
        np.arange(n),
        np.full(n, None),
    )


KINDS = np.tile(["Jeans", "Shirt", "Skirt", "Vest"], 50)
ABOVE = np.tile(["Bottom", "Top", "Bottom", "Top"], 50)


@pytest.mark.parametrize(
    ("said", "attribute", "suggested"),
    [({("kind", 4, "Vest"): 0.9}, "kind", "Vest"), ({("above", 4, "Bottom"): 0.9}, "above", "Bottom")],
)
def test_a_violated_taxonomy_names_what_the_photo_speaks_against(said, attribute, suggested):
    above = ABOVE.copy()
    above[4] = "Top"  # of a photo called jeans
    found = contradictions(catalogue({"kind": KINDS, "above": above}, said))
    assert [(each.row, each.attribute, each.suggested) for each in found] == [(4, attribute, suggested)]
    assert "'Jeans'" in found[0].reason
    assert found[0].score > 0.9


def test_photos_of_a_product_that_disagree():
    kinds = np.repeat(KINDS[:40], 5)
    kinds[0] = "Vest"
    found = contradictions(catalogue({"kind": kinds}, products=np.repeat(np.arange(40), 5)))
    assert [(each.row, each.given, each.suggested) for each in found] == [(0, "Vest", "Jeans")]
    assert found[0].reason == "4 of 5 photos of the product are 'Jeans'"


def test_what_nobody_else_has():
    people = np.tile(["Men", "Women"], 100)
    shoes = np.tile(["Brogue", "Heel", "Boot", "Boot"], 50)
    shoes[0] = "Heel"
    found = contradictions(catalogue({"people": people, "shoes": shoes}, {("shoes", 0, "Brogue"): 0.9}))
    assert [(each.row, each.attribute, each.suggested) for each in found] == [(0, "shoes", "Brogue")]
    assert "are together on 1 photos, and by chance would be on" in found[0].reason


def test_copies_that_are_labelled_otherwise():
    copies = np.arange(200)
    copies[1] = 0  # called a shirt, and the photo shows jeans
    found = contradictions(catalogue({"kind": KINDS}, {("kind", 1, "Jeans"): 0.99}, copies=copies))
    assert [(each.row, each.given, each.suggested) for each in found] == [(1, "Shirt", "Jeans")]
    assert found[0].reason == "1 of 2 photos of the same pixels are 'Jeans'"
