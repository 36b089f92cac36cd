"""What the pictures share: the figure they go to, titles, and checks of what they are given."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fashionsearch import errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#3f90da"

Kind = TypeVar("Kind")


def new_figure(figure: Figure | None, size: tuple[float, float]) -> Figure:
    """Return the given figure, or a new pyplot one of this size in inches, its panels kept from overlapping."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=size)
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.06)
    return figure


def finish(ax: Axes, title: str, note: str, x: str = "", y: str = "") -> None:
    """Give axes their title, a note under it, labels, and the common look."""
    ax.set_title(title, loc="left", pad=17, fontsize=11, fontweight="bold", parse_math=False)
    above = ax.annotate(
        note, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=8
    )
    above.set(alpha=0.7, parse_math=False)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.tick_params(length=0, labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def expect(value: Any, kind: type[Kind], source: str) -> Kind:
    """Return a value of the right kind, or raise InputError naming where to get one."""
    require(isinstance(value, kind), f"can't draw a {type(value).__name__}; give what {source} returns")
    return cast(Kind, value)


def require(fine: bool, message: str) -> None:
    """Raise InputError with the message unless all is fine."""
    if not fine:
        raise errors.InputError(message)


def short(text: str, most: int) -> str:
    """Cut text to at most so many characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def wrapped(text: str) -> str:
    """Break text into at most two short lines."""
    return "\n".join(textwrap.wrap(text, 20, max_lines=2, placeholder="…"))
