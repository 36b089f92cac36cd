"""What a log of clicks is worth."""

from __future__ import annotations

from dataclasses import dataclass

from fashionsearch.results.tables import html_table, text_table


@dataclass(frozen=True, repr=False)
class ClickReport:
    """What was learned from clicks, and what it is likely to bring.

    An item is good here if whoever looks at it clicks. The gains are what the learned weights add to the share of good ones
    among the first ten, on queries of the log that they were not learned from.

    Attributes:
        pages: in the log.
        clicks: on them.
        looked_at: the chance of each place to be looked at, against the first, from 1 on.
        precision: share of good ones among the first ten, as the index searches without the weights.
        gain: what the weights add to it, with the bias of positions taken out.
        interval: its 95 % interval, by bootstrap over queries.
        naive_gain: what it would seem to be if every place were looked at alike.
        naive_interval: its interval.
    """

    pages: int
    clicks: int
    looked_at: tuple[float, ...]
    precision: float
    gain: float
    interval: tuple[float, float]
    naive_gain: float
    naive_interval: tuple[float, float]

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            ("gain in precision@10", f"{self.gain:+.4f}", "{:+.4f} – {:+.4f}".format(*self.interval)),
            (
                "as it seems with the bias",
                f"{self.naive_gain:+.4f}",
                "{:+.4f} – {:+.4f}".format(*self.naive_interval),
            ),
        ]

    def _title(self) -> str:
        places = ", ".join(f"{chance:.2f}" for chance in self.looked_at[:10])
        return (
            f"{self.clicks:,} clicks on {self.pages:,} pages; precision@10 {self.precision:.4f}; places are looked at by "
            f"{places}{' …' if len(self.looked_at) > 10 else ''}"
        )

    def __repr__(self) -> str:
        return f"ClickReport: {self._title()}\n{text_table(('', 'estimate', '95 % interval'), self._rows())}"

    def _repr_html_(self) -> str:
        return html_table(("", "estimate", "95 % interval"), self._rows(), self._title())
