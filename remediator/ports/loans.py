"""What was lent, and how it goes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from remediator.model.loan import Loan, Move, Step
from remediator.model.undo import Former

Judge = Callable[[Step], Move]


class Lent(Struct, frozen=True, kw_only=True):
    """A loan: the action that lent, the latest step of its return (at first the same), what was written since by us."""

    lent: Former
    last: Former
    later: tuple[Former, ...] = ()


class LoanStore(Protocol):
    """Finds what was lent, asks for what is due, and follows what becomes of it."""

    async def step(self, limit: int, judge: Judge) -> int:
        """Go on with up to ``limit`` loans, in one transaction; return how many returns were asked for.

        Any replica may do it: what another one has in its hands is left to it.
        """
        ...

    async def former(self, number: int) -> Lent | None:
        """Return what is to be brought back; None where nothing was lent."""
        ...

    async def uneasy(self, number: int, fresh_s: float) -> tuple[str, ...]:
        """Return what of the measures that an action lent something for is not known to be well, each with why.

        ``fresh_s``: a row that nobody has looked at for so many seconds is unknown.
        """
        ...


class LoanView(Protocol):
    """What is lent, for people to read."""

    async def lent(self, limit: int) -> tuple[Loan, ...]:
        """Return what is lent now, the first to go back first."""
        ...
