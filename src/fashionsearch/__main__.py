"""`python -m fashionsearch` is the command `fashionsearch`."""

import sys

from fashionsearch.cli import main

sys.exit(main())
