"""The page of a repository."""

import numpy as np
import pytest
import yaml

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.hub import Card

CARD = Card(
    "A classifier of 2 classes.",
    "image-classification",
    [("encoder", "cnn")],
    'classifier = {load}\nprint(classifier.predict("photo.jpg"))',
    {"kind": ["shirt", "tie"]},
    ["Photos are elsewhere."],
)


def page(card=CARD, *, license="mit", about="", evaluation=None):
    return card.text("anna/shop", "Classifier", license=license, about=about, evaluation=evaluation)


@pytest.fixture
def evaluation():
    return fs.metrics.evaluate(
        np.array(["shirt", "tie", "tie", "shirt"]),
        np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]),
        np.array(["shirt", "tie"]),
    )


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_is_what_the_hub_reads(evaluation):
    assert front_matter(page(evaluation=evaluation)) == {
        "license": "mit",
        "library_name": "fashionsearch",
        "pipeline_tag": "image-classification",
        "tags": ["fashionsearch", "fashion"],
        "metrics": ["accuracy", "f1"],
    }


def test_the_page_says_all_that_is_known(evaluation):
    text = page(about="Learned from 400 photos of our own.", evaluation=evaluation)
    for part in (
        "# shop\n",
        "Learned from 400 photos of our own.",
        "| encoder | cnn |",
        "| all | 0.7500 (0.3006 – 0.9544) |",
        "| kind (2) | shirt, tie |",
        'fs.Classifier.from_pretrained("anna/shop")',
        "Photos are elsewhere.",
        "`mit`",
    ):
        assert part in text
    assert "More Information Needed" not in text


def test_its_example_is_python():
    code = page().split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")


def test_what_was_not_measured_is_said():
    assert "Nothing was measured" in page()


def test_figures_of_several_attributes_and_numbers(evaluation):
    text = page(evaluation={"kind": evaluation, "recall@10": 0.98765})
    assert "| kind | 0.7500" in text
    assert "| recall@10 | 0.9877 |" in text


def test_no_licence_reserves_all_rights():
    text = page(license=None)
    assert "license" not in front_matter(text)
    assert "all rights are reserved" in text


@pytest.mark.parametrize("license", ["MIT License", "mit\nfoo: bar", "", 3, "x" * 80])
def test_what_is_no_licence_is_refused(license):
    with pytest.raises(errors.InputError, match="license="):
        page(license=license)


@pytest.mark.parametrize("evaluation", [0.5, [1], {"a": "much"}, {"a": None}])
def test_what_is_no_figure_is_refused(evaluation):
    with pytest.raises(errors.InputError, match="evaluation"):
        page(evaluation=evaluation)


def test_names_are_escaped():
    text = page(Card("x", "y", [("<b>", "a|b\n# c")], "{load}", {"*k*": ["<script>alert(1)</script>"]}))
    assert "<script>" not in text
    assert "| &lt;b&gt; | a\\|b # c |" in text
    assert "\\*k\\*" in text


def test_very_many_classes_are_counted():
    text = page(Card("x", "y", [], "{load}", {"id": [str(number) for number in range(1000)]}))
    assert "id (1,000)" in text
    assert "199 and 800 more" in text
