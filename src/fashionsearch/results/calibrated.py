"""How well an index's chances hold."""

from __future__ import annotations

from dataclasses import dataclass

from fashionsearch.results.tables import html_table, text_table


@dataclass(frozen=True)
class Calibrated:
    """What `VisualIndex.calibrate` found, on queries that were held out while it fitted.

    Attributes:
        field: whose value is an item's kind.
        queries: whose kind is known.
        precision: share of the first ten items that are of the query's kind.
        auc: area under the ROC curve of the chances of the first ten items.
        calibration_error: how far these chances are from how often they come true, in 15 bins of equal size.
        length: how many items a list holds, on average, that holds one of the query's kind with a chance of 0.95.
        told_empty: share of queries that get an empty answer when all items of their kind are left out.
        false_empty: share of queries that get one though there are such items.
    """

    field: str
    queries: int
    precision: float
    auc: float
    calibration_error: float
    length: float
    told_empty: float
    false_empty: float

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("queries", f"{self.queries:,}"),
            (f"of the query's {self.field} among the first ten", f"{self.precision:.1%}"),
            ("AUC of the chances", f"{self.auc:.3f}"),
            ("calibration error", f"{self.calibration_error:.3f}"),
            ("items of a list at coverage 0.95", f"{self.length:.1f}"),
            ("told that there is no such thing, where there is none", f"{self.told_empty:.1%}"),
            ("told so where there is", f"{self.false_empty:.1%}"),
        ]

    def __repr__(self) -> str:
        return text_table(("Calibrated", "held out"), self._rows())

    def _repr_html_(self) -> str:
        return html_table(("what", "held out"), self._rows(), f"calibrated for {self.field!r}")
