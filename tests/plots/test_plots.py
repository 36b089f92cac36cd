"""The plots draw what the results hold, where they are told to, and leave nothing behind."""

import itertools
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from fashionsearch import errors, plots
from fashionsearch.datasets import make_catalogue
from fashionsearch.metrics import evaluate
from fashionsearch.results import Matches


@pytest.fixture(autouse=True)
def _offscreen():
    with matplotlib.rc_context({"backend": "Agg"}):
        plt.switch_backend("Agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def table():
    return make_catalogue(60)


def evaluation_of(classes, n=400, signal=2.0, **options):
    rng = np.random.default_rng(0)
    truth = rng.choice(len(classes), n, p=rng.dirichlet(np.full(len(classes), 2.0)))
    logits = rng.normal(size=(n, len(classes)))
    logits[np.arange(n), truth] += signal
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return evaluate(np.array(classes)[truth], shares, classes, **options)


def matches_of(counts, k=3, **changes):
    n = len(counts)
    filled = np.arange(k) < np.array(counts)[:, None]
    ids = np.where(filled, np.arange(n * k).reshape(n, k), None)
    metadata = np.full((n, k), None)
    for place in zip(*np.nonzero(filled), strict=True):
        metadata[place] = {"name": f"item {ids[place]}", "price": 0}
    parts = {
        "ids": ids,
        "similarities": np.where(filled, 0.5, np.nan).astype(np.float32),
        "metadata": metadata,
        "counts": np.array(counts),
        "sources": np.full((n, k), None),
    }
    return Matches(**(parts | changes))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def draw(figure):
    figure.savefig("/dev/null", format="png", dpi=40)


SIX = ["Accessories", "Apparel", "Footwear", "Free Items", "Personal Care", "Sporting Goods"]


# Where they draw


EVERY_PLOT = {
    "overview": lambda table, **where: plots.overview(table, columns=["gender"], **where)[0],
    "samples": lambda table, **where: plots.samples(table.images[:3], **where)[0],
    "confusion": lambda table, **where: plots.confusion(evaluation_of(SIX), **where),
    "roc": lambda table, **where: plots.roc(evaluation_of(SIX), **where),
    "precision_recall": lambda table, **where: plots.precision_recall(evaluation_of(SIX), **where),
    "matches": lambda table, **where: plots.matches(matches_of([3, 1]), **where)[0],
}


@pytest.fixture(params=EVERY_PLOT)
def plot(request, table):
    def draw_into(figure=None):
        several = request.param in ("overview", "samples", "matches")
        where = {"figure": figure} if several else {"ax": figure and figure.subplots()}
        return EVERY_PLOT[request.param](table, **where)

    return draw_into


def test_a_new_figure_is_one_pyplot_shows(plot):
    ax = plot()
    assert plt.get_fignums() == [ax.figure.number]
    draw(ax.figure)


def test_a_given_figure_leaves_pyplot_alone(plot):
    figure = Figure()
    assert plot(figure).figure is figure
    draw(figure)
    assert plt.get_fignums() == []


def test_rc_params_stay_as_they_were(plot):
    before = dict(matplotlib.rcParams)
    plot(Figure())
    assert dict(matplotlib.rcParams) == before


def test_importing_plots_does_not_import_matplotlib():
    code = "import sys, fashionsearch.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_class_named_like_a_formula_is_a_name():
    names = ["$\\frac$", "_hidden", "<b>"]
    for plot in (plots.confusion, plots.roc, plots.precision_recall):
        ax = plot(evaluation_of(names), ax=Figure().subplots())
        draw(ax.figure)
    assert {text.split("  ")[1] for text in legend(ax)} == {"macro average", *names}


# Data


def test_overview_bars_are_the_counts(table):
    ax, sizes, _ = plots.overview(table, columns=["gender"], figure=Figure())
    counts = table.overview().classes["gender"]
    assert [bar.get_width() for bar in ax.patches] == list(counts.values())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(counts)
    assert [label.get_text() for label in sizes.get_yticklabels()] == ["120 x 160"]


def test_overview_takes_a_table_or_an_overview_and_draws_six_columns_by_default(table):
    titles = [
        [ax.get_title("left") for ax in plots.overview(form, figure=Figure())]
        for form in (table, table.overview())
    ]
    assert titles[0] == titles[1]
    assert titles[0][-2:] == ["image size", "colour"]
    assert len(titles[0]) == 8


def test_overview_draws_fifteen_values_and_says_of_how_many(table):
    counts = {f"value {i}": 40 - i for i in range(40)}
    seen = table.overview()
    seen = type(seen)(**(vars(seen) | {"classes": {"label": counts}}))
    ax = plots.overview(seen, figure=Figure())[0]
    assert len(ax.patches) == 15
    assert any("15 of 40" in text.get_text() for text in ax.texts)


def test_base_colours_are_drawn_in_their_colour(table):
    ax = plots.overview(table, columns=["baseColour"], figure=Figure())[0]
    bars = dict(zip((label.get_text() for label in ax.get_yticklabels()), ax.patches, strict=True))
    assert bars["Red"].get_facecolor() == to_rgba("red")
    assert bars["Navy Blue"].get_facecolor() == to_rgba("xkcd:navy blue")


def test_overview_draws_the_three_histograms(table):
    seen = table.overview()
    ax = plots.overview(seen, columns=[], figure=Figure())[-1]
    np.testing.assert_array_equal([patch.get_data().values for patch in ax.patches], seen.colours)


def test_overview_of_unreadable_photos_still_draws(table):
    broken = type(table)(images=["nowhere.jpg"] * 2, data={"label": np.array(["a", ""])})
    axes = plots.overview(broken, figure=Figure())
    draw(axes[0].figure)
    assert "(unknown)" in [label.get_text() for label in axes[0].get_yticklabels()]


def test_samples_draw_each_photo_over_its_title(table):
    axes = plots.samples(table.images[:5], titles=["a", "b", "c", "d", "e"], columns=2, figure=Figure())
    assert [ax.get_xlabel() for ax in axes] == ["a", "b", "c", "d", "e"]
    assert {ax.get_subplotspec().rowspan.start for ax in axes} == {0, 1, 2}
    for ax, image in zip(axes, table.images[:5], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)


def test_a_tall_and_a_wide_photo_keep_their_shape():
    axes = plots.samples([np.zeros((40, 20, 3), np.uint8), np.zeros((20, 40, 3), np.uint8)], figure=Figure())
    shapes = []
    for ax in axes:
        left, right, bottom, top = ax.images[0].get_extent()
        assert ax.get_xlim() == (0, 1)
        shapes.append((top - bottom) / (right - left))
    assert shapes == pytest.approx([2, 0.5])


# Evaluations


def test_confusion_holds_the_row_shares_and_writes_the_counts():
    evaluation = evaluation_of(SIX)
    ax = plots.confusion(evaluation, ax=Figure().subplots())
    counts = evaluation.confusion
    np.testing.assert_allclose(ax.images[0].get_array(), counts / counts.sum(axis=1, keepdims=True))
    written = {text.get_position(): text.get_text() for text in ax.texts if type(text) is Text}
    for row, column in zip(*np.nonzero(counts), strict=True):
        assert written[column, row] == f"{counts[row, column]:,}"


def test_confusion_can_be_coloured_by_counts():
    evaluation = evaluation_of(SIX)
    ax = plots.confusion(evaluation, ax=Figure().subplots(), normalize=False)
    np.testing.assert_array_equal(ax.images[0].get_array(), evaluation.confusion)


def test_a_class_without_examples_is_an_empty_row():
    evaluation = evaluate(["a", "a"], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    ax = plots.confusion(evaluation, ax=Figure().subplots())
    assert ax.images[0].get_array().tolist() == [[0.5, 0.5], [0, 0]]


def test_the_names_of_150_classes_do_not_overlap():
    ax = plots.confusion(evaluation_of([f"Class {i:03d} of long garment name" for i in range(150)], 3000))
    ax.figure.canvas.draw()
    for labels, low, high in ((ax.get_yticklabels(), "y0", "y1"), (ax.get_xticklabels(), "x0", "x1")):
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: getattr(box, low))
        assert len(boxes) >= 30
        for before, after in itertools.pairwise(boxes):
            assert getattr(before, high) <= getattr(after, low) + 1


def test_roc_legend_holds_the_auc_of_the_largest_classes():
    evaluation = evaluation_of(SIX)
    ax = plots.roc(evaluation, ax=Figure().subplots(), most=3)
    largest = sorted(evaluation.per_class, key=lambda row: -row.support)[:3]
    expected = [f"{row.auc:.3f}  {row.label}" for row in largest]
    assert legend(ax) == [f"{evaluation.auc:.3f}  macro average", *expected]


def test_the_area_under_each_drawn_curve_is_the_score_beside_it():
    evaluation = evaluation_of(SIX, signal=1.0)
    for plot in (plots.roc, plots.precision_recall):
        ax = plot(evaluation, ax=Figure().subplots())
        for line in ax.get_legend().get_lines():
            drawn = next(other for other in ax.lines if other.get_label() == line.get_label())
            area = np.trapezoid(drawn.get_ydata(), drawn.get_xdata())
            assert area == pytest.approx(float(line.get_label().split()[0]), abs=2e-3)


def test_precision_recall_legend_holds_the_average_precision():
    from sklearn.metrics import average_precision_score

    evaluation = evaluation_of(SIX)
    scores = {
        name: average_precision_score(evaluation.labels == name, evaluation.probabilities[:, i])
        for i, name in enumerate(SIX)
    }
    first, *others = legend(plots.precision_recall(evaluation, ax=Figure().subplots()))
    assert first == f"{np.mean(list(scores.values())):.3f}  macro average"
    assert sorted(others) == sorted(f"{score:.3f}  {name}" for name, score in scores.items())


def test_classes_that_cannot_be_scored_are_left_out_and_named():
    evaluation = evaluate(["a", "b", "b"], [[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0]], ["a", "b", "rare"])
    for plot in (plots.roc, plots.precision_recall):
        ax = plot(evaluation, ax=Figure().subplots())
        assert not any("rare" in text for text in legend(ax))
        assert "rare" in ax.get_legend().get_title().get_text()


# Matches


def test_matches_draw_each_query_and_each_match_once():
    found = matches_of([3, 1, 0])
    axes = plots.matches(found, figure=Figure())
    assert len(axes) == found.counts.sum() + len(found)
    assert all(len(ax.images) == 1 for ax in axes)
    assert len(axes[0].figure.axes) == len(axes)
    assert [ax.get_xlabel() for ax in axes][:2] == ["query 0", "0\n0.500"]


def test_a_query_is_framed_and_a_match_is_not():
    query, match = plots.matches(matches_of([1]), figure=Figure())
    assert all(spine.get_visible() for spine in query.spines.values())
    assert not any(spine.get_visible() for spine in match.spines.values())


def test_most_limits_the_queries_and_says_so():
    axes = plots.matches(matches_of([1, 1, 1]), most=2, figure=Figure())
    assert len(axes) == 4
    assert axes[0].get_title("left") == "2 of 3 queries"


def test_photos_come_from_the_source_then_from_images_then_are_grey(tmp_path, table):
    Image.fromarray(table.images[0]).save(tmp_path / "kept.png")
    sources = np.array([[str(tmp_path / "kept.png"), str(tmp_path / "moved.png"), None]], dtype=object)
    found = matches_of([3], sources=sources)
    _, kept, moved, grey = plots.matches(found, images={1: table.images[1]}, figure=Figure())
    np.testing.assert_array_equal(kept.images[0].get_array(), table.images[0])
    np.testing.assert_array_equal(moved.images[0].get_array(), table.images[1])
    assert [text.get_text() for text in grey.texts] == ["2"]


def test_a_sequence_of_images_is_indexed_by_the_id(table):
    found = matches_of([3], ids=np.array([[5, -1, 10**6]], dtype=object))
    _, fifth, negative, beyond = plots.matches(found, images=table.images, figure=Figure())
    np.testing.assert_array_equal(fifth.images[0].get_array(), table.images[5])
    assert [len(ax.texts) for ax in (fifth, negative, beyond)] == [0, 1, 1]


def test_the_query_is_the_given_photo_or_the_one_in_the_matches(table):
    found = matches_of([0, 0], queries=(table.images[0], None))
    kept, missing = plots.matches(found, figure=Figure())
    np.testing.assert_array_equal(kept.images[0].get_array(), table.images[0])
    assert [text.get_text() for text in missing.texts] == ["no photo"]
    given = plots.matches(found, queries=table.images[:2], figure=Figure())
    np.testing.assert_array_equal(given[1].images[0].get_array(), table.images[1])


def test_titles_are_a_mapping_or_a_metadata_field():
    found = matches_of([2])
    by_field = plots.matches(found, titles="name", figure=Figure())
    by_id = plots.matches(found, titles={1: "the second"}, figure=Figure())
    assert [ax.get_xlabel().splitlines()[2:] for ax in by_field[1:]] == [["item 0"], ["item 1"]]
    by_number = plots.matches(found, titles="price", figure=Figure())
    assert [ax.get_xlabel().splitlines()[2:] for ax in by_number[1:]] == [["0"], ["0"]]
    assert [ax.get_xlabel().splitlines()[2:] for ax in by_id[1:]] == [[], ["the second"]]


def test_a_text_under_each_query_stands_for_its_number():
    axes = plots.matches(matches_of([0, 0]), query_titles=["red 75%", "blue 90%"], figure=Figure())
    assert [ax.get_xlabel() for ax in axes if "%" in ax.get_xlabel()] == ["red 75%", "blue 90%"]
    assert not [ax for ax in axes if "query" in ax.get_xlabel()]


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.overview([1]), "can't draw a list; give what table.overview"),
        (lambda: plots.overview(make_catalogue(5), columns=["gendre"]), "'gendre'.*Did you mean 'gender'"),
        (lambda: plots.samples([]), "1 to 240 photos"),
        (lambda: plots.samples(np.zeros((241, 2, 2, 3), np.uint8)), "1 to 240 photos"),
        (lambda: plots.samples(np.zeros((2, 4, 4, 3), np.uint8), titles=["a"]), "1 titles for 2 photos"),
        (lambda: plots.samples(np.zeros((2, 4, 4, 3), np.uint8), columns=0), "columns is 0"),
        (lambda: plots.samples(["nowhere.jpg"]), "image 0 .*no such file"),
        (lambda: plots.confusion(np.eye(3)), "can't draw a ndarray; give what clf.evaluate"),
        (lambda: plots.roc(evaluation_of(SIX), most=-1), "most is -1"),
        (lambda: plots.roc(evaluate(["a"], [[1.0]], ["a"])), "no class can be scored"),
        (lambda: plots.precision_recall(None), "can't draw a NoneType"),
        (lambda: plots.matches("abc"), "can't draw a str; give what index.search"),
        (lambda: plots.matches(matches_of([1]), most=0), "most is 0"),
        (lambda: plots.matches(matches_of([1]), queries=[]), "0 photos for 1"),
        (lambda: plots.matches(matches_of([1]), query_titles=["a", "b"]), "2 texts for 1 queries"),
        (lambda: plots.matches(matches_of([1]), titles="nmae"), "'nmae'.*Did you mean 'name'"),
        (
            lambda: plots.matches(matches_of([1], ids=np.array([["x"]], object)), images=[]),
            "id 'x' is no position",
        ),
    ],
)
def test_bad_input_is_told_what_is_wrong_and_opens_no_figure(call, message):
    with pytest.raises(errors.InputError, match=message):
        call()
    assert plt.get_fignums() == []
