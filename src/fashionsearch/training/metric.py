"""`MetricLearning`: which photos are to lie near each other in the embedding, and by which loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any

from fashionsearch import errors
from fashionsearch.results import ShowsFields

LOSS_NAMES = ("supervised_contrastive", "proxy_anchor", "multi_similarity", "triplet", "arcface")
JOINED = "+"
_TEMPERATURE = 0.1
_TEMPERED = ("supervised_contrastive", "arcface")


@dataclass(frozen=True)
class MetricLearning(ShowsFields):
    """How a `Tagger` makes its embedding fit for search, beside the tags that it learns.

    Attributes:
        loss: "supervised_contrastive" (Khosla et al. 2020, arXiv:2004.11362); or, where pytorch-metric-learning is
            installed, "proxy_anchor" (Kim et al. 2020, arXiv:2003.13911), "multi_similarity" (Wang et al. 2019,
            arXiv:1904.06627), "triplet", semi-hard as in FaceNet (Schroff et al. 2015, arXiv:1503.03832), or "arcface"
            (Deng et al. 2019, arXiv:1801.07698).
        attributes: what makes two photos alike -> how much it counts. "articleType" is one attribute, and
            "articleType+baseColour" is both together. None takes the attribute that tells most about a photo, alone, and
            together with the one that adds most to it.
        weight: of this loss beside the mean of the tags' cross-entropies, from 0 up; 0 is off.
        temperature: what similarities are divided by, above 0, in "supervised_contrastive" and between a photo's copies; one
            over it is ArcFace's scale. The other losses have none: another than 0.1 is refused with them.
        balance: how far rare classes of the first attribute are evened out in the batches, from 0, as they are, to 1, each
            class alike.
        copies: how many augmented copies of a photo are in a batch, from 1 up; with two, a photo is to find its copy among
            all others, and a product stays itself. Only where a network learns.
        distillation: weight, from 0 up, of predicting, from the embedding of the augmented photo, what the frozen network
            says of the plain one. It keeps what the network knew, and so tells apart classes that are added later. None is 1
            for a frozen network, and 0 for one that learns, where it costs time.

    Raises:
        InputError: if a value can't be used.

    Examples:
        >>> MetricLearning(attributes={"articleType": 1, "articleType+baseColour": 0.5}).weight
        0.3
    """

    loss: str = "supervised_contrastive"
    attributes: Mapping[str, float] | None = None
    weight: float = 0.3
    temperature: float = _TEMPERATURE
    balance: float = 0.0
    copies: int = 1
    distillation: float | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSS_NAMES:
            raise errors.InputError(
                f"loss={self.loss!r} is not one of {', '.join(LOSS_NAMES)}.{errors.did_you_mean(self.loss, LOSS_NAMES)}"
            )
        if self.attributes is not None:
            fine = isinstance(self.attributes, Mapping) and self.attributes
            if not fine or not all(
                isinstance(name, str) and _is_number(weight) and 0 < weight < 1e6
                for name, weight in self.attributes.items()
            ):
                raise errors.InputError(
                    f"attributes={self.attributes!r:.200} is not a mapping of attributes to numbers above 0, such as "
                    "{'articleType': 1, 'articleType+baseColour': 1}"
                )
        for name, lowest, highest in (("weight", 0, 1e6), ("distillation", 0, 1e6), ("balance", 0, 1)):
            value = getattr(self, name)
            if name == "distillation" and value is None:
                continue
            if not _is_number(value) or not lowest <= value <= highest:
                raise errors.InputError(f"{name}={value!r} is not a number from {lowest} to {highest:g}")
        if not _is_number(self.temperature) or not 0.001 <= self.temperature < 100:
            raise errors.InputError(
                f"temperature={self.temperature!r} is not a number from 0.001 up, such as 0.1"
            )
        if (
            not isinstance(self.copies, Integral)
            or isinstance(self.copies, bool)
            or not 1 <= self.copies <= 64
        ):
            raise errors.InputError(f"copies={self.copies!r} is not a whole number from 1 to 64")
        heard = self.loss in _TEMPERED or self.copies > 1
        if self.temperature != _TEMPERATURE and not heard:
            raise errors.InputError(
                f"temperature={self.temperature!r} is not heard by loss={self.loss!r}; leave it out, or use one of "
                f"{', '.join(_TEMPERED)}"
            )

    def resolved(self, *, learns: bool) -> MetricLearning:
        """Return it with a number for what is None, for a network that learns or stays as it is."""
        return self if self.distillation is not None else replace(self, distillation=0.0 if learns else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
        attributes = None if self.attributes is None else dict(self.attributes)
        return {**asdict(self), "attributes": attributes}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> MetricLearning:
        """Return what `to_dict` wrote.

        Raises:
            InputError: if a field can't be used.
        """
        unknown = sorted(saved.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            raise errors.InputError(
                f"the saved metric has {unknown[0]!r}, which this fashionsearch doesn't know; upgrade it"
            )
        return cls(**saved)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
