import fashionsearch as fs
from fashionsearch.app.fields import fields_of


def index_of(**columns):
    index = fs.VisualIndex(dim=2)
    count = len(next(iter(columns.values())))
    index.add_vectors([[1, number] for number in range(count)], metadata=columns)
    return index


def test_few_values_are_chosen_and_many_numbers_have_bounds():
    count = 40
    found = fields_of(
        index_of(
            colour=["red", "blue"] * 20,
            stock=[True, False] * 20,
            year=[2010 + number % 3 for number in range(count)],
            price=[float(number) for number in range(count)],
            title=[f"shirt {number}" for number in range(count)],
            code=[f"c{number % 39}" for number in range(count)],
            nothing=[None] * count,
        )
    )
    assert list(found.filters) == ["colour", "stock", "year", "price"]
    assert found.filters["stock"].values == {"Yes": (True,), "No": (False,)}
    assert found.filters["year"].values["2010"] == (2010,)
    price = found.filters["price"]
    assert (price.is_range, price.low, price.high) == (True, 0, 39)
    assert found.title == "title"


def test_values_that_look_alike_are_chosen_together():
    found = fields_of(index_of(size=["38", 38, "40"]))
    assert found.filters["size"].values["38"] == ("38", 38)


def test_the_field_that_tells_most_items_apart_is_the_title():
    found = fields_of(index_of(label=[f"l{number}" for number in range(30)], kind=["a", "b"] * 15))
    assert found.title == "label"
    assert fields_of(index_of(kind=["a", "b"] * 15)).title is None
