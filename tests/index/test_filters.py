"""Filters: the tree that `where` becomes, what it means for each row, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fashionsearch as fs
from fashionsearch import errors
from fashionsearch.index.filters import AllOf, AnyOf, Contains, Not, nothing_fits, parse, words_of

ROWS = [
    {"colour": "Red", "price": 10, "title": "Red summer dress"},
    {"colour": "Blue", "price": 25.5, "title": "Blue Dress, for the SUMMER"},
    {"colour": "Pink", "price": None, "title": "dressing gown"},
    {"colour": None, "price": 40},
    {"title": "STRASSE straße"},
    {},
]


def met(condition, row):
    """Return what a condition is of a row, decided the slow way."""
    if isinstance(condition, Not):
        return not met(condition.condition, row)
    if isinstance(condition, AllOf | AnyOf):
        join = all if isinstance(condition, AllOf) else any
        return join(met(part, row) for part in condition.conditions)
    return condition.holds(row.get(condition.field))


@pytest.fixture(scope="module")
def index():
    index = fs.VisualIndex(dim=2)
    index.add_vectors(np.random.default_rng(0).normal(size=(len(ROWS), 2)), metadata=ROWS)
    return index


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": {"contains": "dress"}}, [0, 1]),
        ({"title": {"contains": "DRESS summer"}}, [0, 1]),
        ({"title": {"contains": "strasse"}}, [4]),
        ({"title": {"contains": "dress", "exists": True}, "price": {"lt": 20}}, [0]),
        ({"price": {"contains": "10"}}, []),
        ({"price": {"exists": True}}, [0, 1, 3]),
        ({"price": {"exists": False}}, [2, 4, 5]),
        ({"not": {"price": {"lt": 30}}}, [2, 3, 4, 5]),
        ({"colour": {"not": "Red"}}, [1, 2, 3, 4, 5]),
        ({"colour": {"not": ["Red", None]}}, [1, 2]),
        ({"price": {"gte": 10, "not": {"gt": 20}}}, [0]),
        ({"or": [{"colour": "Red"}, {"not": {"price": {"exists": True}}}]}, [0, 2, 4, 5]),
        ({"and": [{"price": {"gte": 10}}, {"or": [{"colour": "Blue"}, {"colour": None}]}]}, [1, 3]),
        ({"colour": "Red", "or": [{"price": 10}, {"price": 40}]}, [0]),
        ({"not": {"not": {"colour": "Red"}}}, [0]),
        ({"not": {"colour": "Red", "price": 10}}, [1, 2, 3, 4, 5]),
    ],
)
def test_every_form_keeps_the_rows_that_it_says(index, where, expected):
    assert [number for number, row in enumerate(ROWS) if met(parse(where), row)] == expected
    if expected:
        found = index.search_vectors([1, 1], k=10, where=where)
    else:
        with pytest.warns(errors.DataWarning, match="no item fits"):
            found = index.search_vectors([1, 1], k=10, where=where)
    assert sorted(match.id for match in found[0]) == expected


FIELDS = st.sampled_from(["colour", "price", "title"])
ASKED = st.one_of(
    st.sampled_from(["Red", "Blue", 10, 25.5, None, True]),
    st.lists(st.sampled_from(["Red", "Pink", 40, None]), min_size=1, max_size=3),
    st.fixed_dictionaries({"gte": st.integers(0, 50)}, optional={"lt": st.integers(0, 50)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"contains": st.sampled_from(["dress", "summer red", "straße"])}),
)
FILTERS = st.recursive(
    st.dictionaries(FIELDS, ASKED | st.fixed_dictionaries({"not": ASKED}), max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}, optional={"colour": ASKED}),
    ),
    max_leaves=6,
)


@pytest.mark.filterwarnings("ignore:no item fits")
@settings(max_examples=150, deadline=None)
@given(where=FILTERS)
def test_any_tree_means_the_same_for_all_rows_at_once(index, where):
    expected = [number for number, row in enumerate(ROWS) if met(parse(where), row)]
    found = index.search_vectors([1, 1], k=10, where=where)
    assert sorted(match.id for match in found[0]) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"or": {"colour": "Red"}}, r"where\['or'\]=.* is not a list of filters such as"),
        ({"or": []}, r"where\['or'\]=\[\] is not a list of filters"),
        ({"and": ["Red"]}, "is not a list of filters"),
        ({"not": "Red"}, r"where\['not'\]='Red' is not a filter such as"),
        ({"title": {"contains": "!?"}}, r"where\['title'\] is to contain '!\?', in which there is no word"),
        ({"title": {"contains": 12}}, "is to contain 12"),
        ({"price": {"exists": "yes"}}, "asks for exists='yes'; give True or False"),
        ({"price": {"near": 3}}, "the comparisons are gt, gte, lt, lte, contains, exists, not"),
        ({"price": {"not": {}}}, "the comparisons are"),
        ({"or": [{1: "Red"}]}, "the field 1; a field's name is text"),
        ({"or": [{"colour": "Red"}, {"prize": 3}]}, "'prize', which no item has.*Did you mean 'price'"),
    ],
)
def test_what_can_not_be_used_is_told(index, where, message):
    with pytest.raises(errors.InputError, match=message):
        index.search_vectors([1, 1], where=where)


@pytest.mark.parametrize("nest", [lambda inner: {"not": inner}, lambda inner: {"or": [inner]}])
def test_a_filter_nested_without_end_is_refused(nest):
    where = {"colour": "Red"}
    for _ in range(5000):
        where = nest(where)
    with pytest.raises(errors.InputError, match="nested more than 20 deep"):
        parse(where)
    field = "Red"
    for _ in range(5000):
        field = {"not": field}
    with pytest.raises(errors.InputError, match="nested more than 20 deep"):
        parse({"colour": field})


def test_words_are_whole_and_fold_their_case():
    assert words_of("Straße, STRASSE; l'été") == ["strasse", "strasse", "l", "été"]
    assert parse({"title": {"contains": "Red red DRESS"}}).conditions == (
        Contains("title", ("red", "dress")),
    )


def test_a_word_that_comes_later_is_found(index):
    fresh = fs.VisualIndex(dim=2)
    fresh.add_vectors([[1, 0]], metadata={"title": ["red dress"]})
    assert fresh.search_vectors([1, 0], where={"title": {"contains": "red"}}).counts[0] == 1
    fresh.add_vectors([[0, 1], [1, 1]], metadata={"title": ["red shirt", "blue shirt"]})
    assert fresh.search_vectors([1, 0], where={"title": {"contains": "red"}}).counts[0] == 2
    fresh.update(0, {"title": "green"})
    fresh.remove([1])
    with pytest.warns(errors.DataWarning, match="text with 'red', and holds most often"):
        assert fresh.search_vectors([1, 0], where={"title": {"contains": "red"}}).counts[0] == 0


def test_what_nothing_fits_is_told_with_what_was_not_to_be():
    told = nothing_fits(
        parse({"not": {"colour": ["Red", "Blue"]}, "price": {"exists": True}}), lambda *_: [("Red", 3)]
    )
    assert told == (
        "no item fits the filter: 'colour' was to be not 'Red' or 'Blue', and holds most often 'Red'; "
        "'price' was to be anything, and holds most often 'Red'"
    )
