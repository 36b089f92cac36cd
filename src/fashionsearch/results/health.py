"""How an index is."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime

from fashionsearch.results.tables import html_table, text_table

_MANY, _ALIKE, _FLAT = 0.1, 0.9, 2.0


@dataclass(frozen=True)
class Health:
    """How well an index finds, what it takes up, and whether its embeddings tell things apart.

    Attributes:
        items: in it.
        recall: recall@10 against exact search, of queries that lie between items and their neighbours; NaN without items.
        recall_interval: its 95 % interval, by bootstrap over queries.
        has_graph: whether searches walk through a graph; without one every search is exact.
        ef_search: candidates of a walk.
        deleted: share of the rows in memory that were removed or replaced, and are left out at the next rebuild.
        duplicates: share of the items whose vector another item has too.
        mean_cosine: of pairs of items; near 1 the embeddings have collapsed.
        effective_rank: of the embeddings, from 1 to their length: the exponential of the entropy of their singular values
            (Roy and Vetterli 2007).
        memory: bytes of vectors, columns and graph.
        disk: bytes of an opened index's folder; None in memory.
        checkpoint: when an opened index's last checkpoint was written; None where there is none.
    """

    items: int
    recall: float
    recall_interval: tuple[float, float]
    has_graph: bool
    ef_search: int
    deleted: float
    duplicates: float
    mean_cosine: float
    effective_rank: float
    memory: int
    disk: int | None = None
    checkpoint: datetime | None = None

    def problems(self) -> list[str]:
        """Return what is not as it should be, each with what to do."""
        found = []
        if self.duplicates > _MANY:
            found.append(
                f"{self.duplicates:.0%} of the items have the vector of another; look for photos that were added twice"
            )
        if self.mean_cosine > _ALIKE or (self.items > 1 and self.effective_rank < _FLAT):
            found.append(
                f"the embeddings are nearly all alike (mean cosine {self.mean_cosine:.3f}, effective rank "
                f"{self.effective_rank:.1f}); use another encoder, or train it with a lower learning rate"
            )
        if self.recall < _ALIKE:
            found.append(f"recall@10 is {self.recall:.3f}; raise ef_search, or give recall=0.95")
        return found

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.recall_interval
        rows = [
            ("items", f"{self.items:,}"),
            ("recall@10", f"{self.recall:.4f} ({low:.4f} – {high:.4f})"),
            ("graph", f"ef_search {self.ef_search}" if self.has_graph else "none: every search is exact"),
            ("deleted rows", f"{self.deleted:.1%}"),
            ("duplicates", f"{self.duplicates:.1%}"),
            ("mean cosine", f"{self.mean_cosine:.3f}"),
            ("effective rank", f"{self.effective_rank:.1f}"),
            ("memory", _size(self.memory)),
        ]
        if self.disk is not None:
            written = "none" if self.checkpoint is None else f"{self.checkpoint:%Y-%m-%d %H:%M:%S}"
            rows += [("disk", _size(self.disk)), ("last checkpoint", written)]
        return rows

    def __repr__(self) -> str:
        told = "".join(f"\n{problem}" for problem in self.problems())
        return text_table(("index", ""), self._rows()) + told

    def _repr_html_(self) -> str:
        told = "".join(f"<p>{html.escape(problem)}</p>" for problem in self.problems())
        return html_table(("index", ""), self._rows()) + told


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
