"""Telling the user what a loader left out."""

from __future__ import annotations

import warnings
from pathlib import Path

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


def path_problem(path: Path, inside: Path) -> str:
    """Return why a path can't be used as a file of the resolved folder `inside`, or an empty string."""
    try:
        if not path.resolve().is_relative_to(inside):
            return f"leaves {inside}"
        return "" if path.is_file() else "leads to no file"
    except (OSError, RuntimeError, ValueError):
        return "can't be followed (a loop of links, a null byte or a name too long)"
