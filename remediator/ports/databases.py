"""Databases that are repaired: what they say of themselves, and the one way to change something in them."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct, field

from remediator.model.database import DatabaseView, RunStatement
from remediator.model.target import Target
from remediator.ports.cluster import InDoubt, WriteRefused


class StatementMark(Struct, frozen=True, kw_only=True):
    """What every statement carries: the action's id and number, and the fence of the claim."""

    action_id: str
    number: int
    fence: int


class Ran(Struct, frozen=True, kw_only=True):
    """It is done, once. ``found``: it was done already, and its mark is there. ``details``: what the database said."""

    details: dict[str, Any] = field(default_factory=dict)
    found: bool = False


StatementResult = Ran | WriteRefused | InDoubt


class Databases(Protocol):
    """Reads and writes each have a deadline of their own; none raises for what a database says or fails to say."""

    async def look(self, target: Target) -> DatabaseView | None:
        """Look at the database that runs in this workload; None: no database is known to."""
        ...

    async def run(self, step: RunStatement, mark: StatementMark, *, dry_run: bool = False) -> StatementResult:
        """Run a step at most once however often it is sent, and say what came of it. A dry run changes nothing."""
        ...

    async def settle(self, step: RunStatement, mark: StatementMark, *, close: bool) -> bool | None:
        """Tell by its mark whether a step was done; None: nobody can know now.

        ``close``: where it was not, it cannot be done any more from now on, whatever is still on its way.
        """
        ...
