"""What a client may send, and what it gets: strict, and nothing that isn't named here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Id: TypeAlias = (
    Annotated[str, Field(min_length=1, max_length=1000)] | Annotated[int, Field(ge=-(2**63), lt=2**63)]
)
Scalar: TypeAlias = str | bool | int | float | None
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Base64: TypeAlias = Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]
_MANY = 10_000
_CONDITIONS = 200  # of a filter, each of which may look at every item


def _answerable(where: dict[str, Any]) -> dict[str, Any]:
    """Return a filter, or raise PydanticCustomError if it holds more than is looked through in time."""
    asked = values = 0
    left: list[Any] = [where]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            asked += len(each)
            left += each.values()
        elif isinstance(each, list):
            values += len(each)
            left += each
        if asked > _CONDITIONS or values > _MANY:
            told = f"a filter has at most {_CONDITIONS} conditions and {_MANY:,} values in all"
            raise PydanticCustomError("filter_too_large", told)
    return where


Where: TypeAlias = Annotated[dict[str, Any], AfterValidator(_answerable)]


class Strict(BaseModel):
    """Fields of their own types, none beside them, and no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Photo(Strict):
    """A photo in JSON."""

    photo: Base64 = Field(description="the file's bytes in base64")


class Paging(Strict):
    """What part of the answer is wanted."""

    k: int = Field(5, ge=1, description="how many items to find")
    offset: int = Field(0, ge=0, description="so many of the nearest are left out: those of the pages before")
    where: Where | None = Field(
        None,
        description="only items whose metadata fit",
        examples=[{"gender": "Women", "baseColour": ["Red", "Pink"], "year": {"gte": 2012}}],
    )
    exclude: list[Id] = Field([], max_length=_MANY, description="ids that are no answers")
    group_by: Name | None = Field(None, description="a metadata field of which each value is shown once")
    diversity: Share = Field(0.0, description="what unlikeness to the items before counts")
    min_probability: Share | None = Field(None, description="leave out what is less probably of its kind")
    coverage: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="the shortest list that holds an item of the photo's kind with this chance"
    )
    exact: bool = Field(False, description="compare with every item")


class Query(Paging):
    """What is searched for, beside a photo that is given in a form or as the body itself."""

    photo: Base64 | None = Field(None, description="the file's bytes in base64")
    vector: list[float] | None = Field(
        None,
        min_length=1,
        max_length=_MANY,
        description="instead of a photo, where the catalogue is of vectors",
    )
    id: Id | None = Field(None, description="a stored item, itself left out")
    text: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="what is wanted in words"
    )
    text_weight: Share = Field(0.5, description="what the words count beside a photo or an item")
    text_match: bool = Field(False, description="also items whose own text holds the words")
    like: list[Id | Photo] = Field([], max_length=100, description="ids of items that are good, and photos")
    unlike: list[Id | Photo] = Field([], max_length=100, description="likewise, of what is not wanted")
    towards: dict[Name, Name] | None = Field(
        None, max_length=20, description="other attributes than it has", examples=[{"baseColour": "Red"}]
    )
    region: list[Share] | None = Field(
        None,
        min_length=4,
        max_length=4,
        description="left, top, right and bottom of the photo's part, as shares",
    )
    background: Literal["keep", "fuse"] | None = Field(
        None, description="fuse looks also at what the photo shows, alone on white"
    )


class Facets(Strict):
    """Of which field the values are counted."""

    field: Name = Field(description="a metadata field")
    where: Where | None = Field(None, description="as for a search")
    most: int = Field(100, ge=1, le=_MANY, description="of the commonest values")


class Tagging(Strict):
    """A photo to tag, where it isn't given in a form or as the body itself."""

    photo: Base64 | None = Field(None, description="the file's bytes in base64")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="a tag is sure where its chance to be right is at least that"
    )


class NewItem(Strict):
    """An item to add, or to put in the place of the one of its id."""

    id: Id | None = Field(None, description="left out, it is the next number")
    photo: Base64 | None = Field(None, description="the file's bytes in base64")
    vector: list[float] | None = Field(None, min_length=1, max_length=_MANY, description="instead of a photo")
    metadata: dict[Name, Scalar] = Field({}, max_length=200)


class Changed(Strict):
    """Fields of an item's metadata to set; the others stay."""

    metadata: dict[Name, Scalar] = Field(min_length=1, max_length=200)


BODIES = (Query, Facets, Tagging, NewItem, Changed)


class Found(BaseModel):
    """An item that was found."""

    id: str | int
    similarity: float
    probability: float | None
    metadata: dict[str, Scalar]
    parts: dict[str, float]


class Matches(BaseModel):
    """Items, best first."""

    matches: list[Found]


class Count(BaseModel):
    """A value, and how many items have it."""

    value: Scalar
    count: int


class Counts(BaseModel):
    """A field's values, the commonest first."""

    field: str
    values: list[Count]


class Tag(BaseModel):
    """What a tagger says of one attribute."""

    value: Scalar
    confidence: float
    sure: bool


class Tags(BaseModel):
    """What a tagger says of a photo."""

    tags: dict[str, Tag]
    unfamiliar: bool = Field(description="it is unlike anything that was learned from")
    for_review: bool = Field(description="a tag is not sure, or the photo is unfamiliar")


class Item(BaseModel):
    """What the catalogue holds under an id."""

    id: str | int
    metadata: dict[str, Scalar]


class Done(BaseModel):
    """A change that is kept."""

    id: str | int
    items: int = Field(description="in the catalogue now")


class About(BaseModel):
    """What the catalogue is."""

    items: int
    dim: int
    metric: str
    takes_photos: bool
    attributes: list[str] = Field(description="of the tagger")
    writable: bool


class State(BaseModel):
    """How the service is."""

    status: str


class Failure(BaseModel):
    """What could not be done, and why."""

    error: str
    details: list[dict[str, Any]] = []
