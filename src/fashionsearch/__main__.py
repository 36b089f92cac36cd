"""`python -m fashionsearch` is the command `fashionsearch`."""

import sys

from fashionsearch.cli import run

sys.exit(run())
