"""Telling the user what a loader left out."""

from __future__ import annotations

import warnings

from fashionsearch import errors
from fashionsearch.datasets.table import LoadReport


def report_left_out(report: LoadReport, where: str) -> None:
    """Warn once if rows were left out; repairs are only in the table's report."""
    if report.left_out:
        warnings.warn(
            f"{where}: {len(report.left_out)} left out, first {report.left_out[0]!r}; table.report names each",
            errors.DataWarning,
            stacklevel=3,
        )
