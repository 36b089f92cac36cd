"""Bars of long work: on a terminal, in a cell of a notebook, and nowhere else.

In a notebook a bar is one line of text that changes where it stands; it needs no widgets, and leaves one line in a notebook
that is saved.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_DELAY = 2.0  # seconds of work before a bar appears


class Bar:
    """Is told how much more is done; draws nothing.

    Attributes:
        n: how much is done.
    """

    n: float = 0

    def update(self, n: float = 1) -> object:
        """Say that so much more is done."""
        self.n += n
        return None

    def set_postfix(self, ordered_dict: dict[str, object]) -> None:
        """Say what is shown behind the bar, by name."""

    def close(self) -> None:
        """Leave the bar as it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_bar(total: float | None, what: str, unit: str, *, shown: bool = True, done: float = 0) -> Bar:
    """Return a bar, which appears once two seconds have passed if there is somebody to see it.

    Args:
        total: of all work; None if nobody knows.
        what: is done, in a word.
        unit: of the total.
        shown: whether it is wanted.
        done: of the total, when it begins.
    """
    # tqdm starts a thread and takes a lock also for a bar that isn't shown, and neither outlives a fork.
    cell = _in_notebook()
    if not shown or not (cell or sys.stderr.isatty()):
        return Bar()
    from tqdm import tqdm  # not tqdm.auto, which warns in a notebook without widgets

    options: dict[str, Any] = {"file": _CellLine(), "ncols": 100, "mininterval": 0.5} if cell else {}
    bar: Bar = tqdm(total=total, initial=done, desc=what, unit=unit, delay=_DELAY, **options)
    return bar


def quiet_tqdm() -> None:
    """Import what other packages draw their bars with, in a notebook without its advice to install widgets."""
    if "tqdm.auto" not in sys.modules and _in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tqdm.auto  # noqa: F401


def _in_notebook() -> bool:
    """Return whether this process runs the cells of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class _CellLine(io.StringIO):
    """A file whose last line is shown in the cell, each in the place of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: Any = None

    def write(self, text: str) -> int:
        """Show a line; what only moves the cursor shows nothing."""
        line = text.strip()
        if line:
            import IPython.display

            show: Any = IPython.display.display
            content = {"text/plain": line}
            if self._shown is None:
                self._shown = show(content, raw=True, display_id=True)
            else:
                self._shown.update(content, raw=True)
        return len(text)
