from .audit import Audit
from .calibrated import Calibrated
from .clicks import ClickReport
from .evaluation import ClassRow, Evaluation
from .fidelity import Fidelity
from .findings import Broken, Contradiction, Duplicate, Leak, LeakFree, Mislabel
from .health import Health
from .history import History
from .items import Added, Item, Sharded, Synced
from .matches import Match, Matches
from .migrated import MigrationReport
from .shown import ShowsFields, fields_table
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
    "ShowsFields",
    "Synced",
    "Tags",
    "fields_table",
    "html_table",
    "text_table",
]
