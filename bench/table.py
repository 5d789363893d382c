"""Tables and goals as text: columns of numbers to the right, words to the left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | float | int
_LARGE = 100
_MIDDLE = 10


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with the bound that it is held to. ``most``: it may not be above the bound, otherwise not below it."""

    name: str
    figure: float
    bound: float
    most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Tell whether the figure keeps the bound; what was not measured does not."""
        return self.figure <= self.bound if self.most else self.figure >= self.bound

    def __str__(self) -> str:
        """Return the line that is printed."""
        sign, verdict = "<=" if self.most else ">=", "met" if self.met else "MISSED"
        return f"{self.name}: {number(self.figure)}{self.unit} (goal {sign} {self.bound:g}{self.unit}: {verdict})"


def number(value: Cell) -> str:
    """Return a cell as text: about three digits that count, ``-`` for what was not measured."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "-"
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _MIDDLE else f"{value:.2f}"


def render(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return the table; the first column is of words."""
    texts = [list(head), *([number(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    lines = []
    for row in texts:
        cells = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
