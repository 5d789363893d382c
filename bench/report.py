"""What a benchmark prints, and what its exit code says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.table import Cell, Goal, render

T = TypeVar("T")


@dataclass(slots=True)
class Report:
    """Prints as it goes, and keeps what was broken and which goals were missed."""

    broken: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table under its title."""
        self.say(f"\n{title}\n{render(head, rows)}")

    def goal(self, goal: Goal) -> None:
        """Print a goal; a missed one is counted."""
        self.say(str(goal))
        if not goal.met:
            self.missed.append(goal.name)

    def must(self, name: str, found: int, wanted: int) -> None:
        """Print what must be exactly so, whatever the machine; anything else makes the run fail."""
        self.say(f"{name}: {found}")
        if found != wanted:
            self.broken.append(f"{name}: {found}, must be {wanted}")


def alternate(items: Sequence[T], number: int) -> Sequence[T]:
    """Return the items in the order of round ``number``: every other round runs backwards."""
    return items if number % 2 == 0 else items[::-1]
