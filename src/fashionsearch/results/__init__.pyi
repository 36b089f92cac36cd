from .audit import Audit
from .calibrated import Calibrated
from .clicks import ClickReport
from .evaluation import ClassRow, Evaluation
from .fidelity import Fidelity
from .findings import Broken, Contradiction, Duplicate, Leak, LeakFree, Mislabel
from .health import Health
from .history import History
from .matches import Added, Item, Match, Matches, Sharded, Synced
from .migrated import MigrationReport
from .tables import html_table, text_table
from .tags import Tags

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
    "Synced",
    "Tags",
    "html_table",
    "text_table",
]
