"""The report of a log of clicks."""

import pytest

from fashionsearch.results import ClickReport


def test_it_says_what_it_holds():
    report = ClickReport(
        5000, 6304, (1.0, 0.5, *[0.1] * 10), 0.41, 0.021, (0.01, 0.03), 0.005, (0.004, 0.006)
    )
    lines = repr(report).splitlines()
    assert lines[0] == (
        "ClickReport: 6,304 clicks on 5,000 pages; precision@10 0.4100; places are looked at by 1.00, 0.50, "
        + ", ".join(["0.10"] * 8)
        + " …"
    )
    assert lines[2].split() == ["gain", "in", "precision@10", "+0.0210", "+0.0100", "–", "+0.0300"]
    assert "<td>+0.0210</td>" in report._repr_html_()
    with pytest.raises(AttributeError):
        report.gain = 0.0
