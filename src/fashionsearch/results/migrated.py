"""What a new encoder's queries lose while they search the old encoder's vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fashionsearch.results.tables import html_table, text_table


@dataclass(frozen=True)
class MigrationReport:
    """How well mapped queries do on items that the map was not learned from, against the new encoder's own exact search.

    Attributes:
        old_encoder: its name; "" of an index of vectors only.
        new_encoder: its name.
        items: in the index.
        pairs: items that the map was learned from.
        held_out: items that it was measured on, each a query among the others.
        map: "procrustes" or "ridge".
        recall: which share of the new encoder's 10 nearest a mapped query finds; NaN where nothing was held out.
        recall_interval: its 95 % interval, by bootstrap over queries.
        field: the metadata field that is to agree, or None.
        precision: how often the first one found by a mapped query has the query's value of that field; NaN without one.
        old_precision: likewise of the old encoder's own queries.
        new_precision: likewise of the new encoder on its own vectors.
        kept: `precision` over `new_precision`.
        kept_interval: its 95 % interval, by bootstrap over queries.
    """

    old_encoder: str
    new_encoder: str
    items: int
    pairs: int
    held_out: int
    map: str
    recall: float
    recall_interval: tuple[float, float]
    field: str | None = None
    precision: float = math.nan
    old_precision: float = math.nan
    new_precision: float = math.nan
    kept: float = math.nan
    kept_interval: tuple[float, float] = (math.nan, math.nan)

    def _rows(self) -> list[tuple[str, str]]:
        rows = [
            ("items", f"{self.items:,}"),
            ("from", self.old_encoder or "vectors"),
            ("to", self.new_encoder),
            ("map", f"{self.map} of {self.pairs:,} pairs"),
            ("measured on", f"{self.held_out:,} others"),
            ("recall@10 of the new encoder's own search", _share(self.recall, self.recall_interval)),
        ]
        if self.field is not None:
            rows += [
                (f"first of the same {self.field}: old queries", f"{self.old_precision:.1%}"),
                ("mapped queries", f"{self.precision:.1%}"),
                ("new encoder on its own vectors", f"{self.new_precision:.1%}"),
                ("of which mapped queries keep", _share(self.kept, self.kept_interval)),
            ]
        return rows

    def __repr__(self) -> str:
        return text_table(("until all is embedded again", ""), self._rows())

    def _repr_html_(self) -> str:
        return html_table(("until all is embedded again", ""), self._rows())


def _share(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return "unknown" if math.isnan(value) else f"{value:.1%} ({low:.1%} – {high:.1%})"
