"""What the library answers with: frozen, printable, at home in a notebook."""

from __future__ import annotations

from fashionsearch.results.audit import Audit
from fashionsearch.results.calibrated import Calibrated
from fashionsearch.results.clicks import ClickReport
from fashionsearch.results.evaluation import ClassRow, Evaluation
from fashionsearch.results.fidelity import Fidelity
from fashionsearch.results.findings import Broken, Contradiction, Duplicate, Leak, LeakFree, Mislabel
from fashionsearch.results.health import Health
from fashionsearch.results.history import History
from fashionsearch.results.items import Added, Item, Sharded, Synced
from fashionsearch.results.matches import Match, Matches
from fashionsearch.results.migrated import MigrationReport
from fashionsearch.results.shown import ShowsFields, fields_table
from fashionsearch.results.tables import html_table, text_table
from fashionsearch.results.tags import Tags

__all__ = [
    "Added",
    "Audit",
    "Broken",
    "Calibrated",
    "ClassRow",
    "ClickReport",
    "Contradiction",
    "Duplicate",
    "Evaluation",
    "Fidelity",
    "Health",
    "History",
    "Item",
    "Leak",
    "LeakFree",
    "Match",
    "Matches",
    "MigrationReport",
    "Mislabel",
    "Sharded",
    "ShowsFields",
    "Synced",
    "Tags",
    "fields_table",
    "html_table",
    "text_table",
]
