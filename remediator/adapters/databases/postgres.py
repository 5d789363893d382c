"""The databases of the file of databases: implements ports.databases.Databases."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import asyncpg

from remediator.adapters.databases import change
from remediator.adapters.databases.entries import Entry
from remediator.adapters.databases.look import Unusable, facts_of, refuse_own
from remediator.adapters.databases.queries import QUERIES
from remediator.adapters.databases.session import GONE, LOST, CannotOpen, Door, Session, words
from remediator.model.database import DatabaseView, RunStatement, SetLimits, SetServerMaximum
from remediator.model.target import Target
from remediator.ports.cluster import InDoubt, WriteRefused
from remediator.ports.databases import StatementMark, StatementResult

LOOK_S = 6.0
"""So long a look may take: decisions and evidence have ten seconds for everything."""
HOW = "docs/how-to/raise-connections.md says how to install what is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresDatabases:
    """Implements ports.databases.Databases. ``own``: system identifiers of servers that are never touched."""

    entries: tuple[Entry, ...]
    door: Door = field(default_factory=Door)
    own: frozenset[int] = frozenset()

    async def look(self, target: Target) -> DatabaseView | None:
        """See Databases."""
        entry = next((one for one in self.entries if one.workload == target.key), None)
        if entry is None:
            return None
        try:
            async with asyncio.timeout(LOOK_S), self.door.open(entry) as session:
                return DatabaseView(facts=await facts_of(session, entry, self.own))
        except (CannotOpen, Unusable) as error:
            return DatabaseView(problem=error.message)
        except asyncpg.InsufficientPrivilegeError as error:
            return DatabaseView(problem=f"database {entry.name}: {words(error)}; {HOW}")
        except (*LOST, asyncpg.PostgresError) as error:
            return DatabaseView(problem=f"database {entry.name} could not be looked at: {words(error)}")

    async def run(self, step: RunStatement, mark: StatementMark, *, dry_run: bool = False) -> StatementResult:
        """See Databases."""
        entry = self._named(step)
        if entry is None:
            return WriteRefused(reason="invalid", message=f"no database {step.database} is known for {step.target}")
        try:
            async with self.door.open(entry) as session:
                await self._check(session, entry)
                if isinstance(step.statement, SetServerMaximum):
                    return await change.set_maximum(session, step.statement, mark, dry_run=dry_run)
                ended = await change.set_limits(session, step.statement, mark, dry_run=dry_run)
        except (CannotOpen, Unusable) as error:
            return _unsent(error)
        except GONE as error:
            return _unclear(step, error)
        except asyncpg.PostgresError as error:
            return change.refusal(error)
        return await self._after(entry, step, mark, ended) if isinstance(ended, int) else ended

    async def settle(self, step: RunStatement, mark: StatementMark, *, close: bool) -> bool | None:
        """See Databases."""
        entry = self._named(step)
        if entry is None:
            return None
        try:
            async with self.door.open(entry) as session:
                await self._check(session, entry)
                return await change.settle(session, step, mark, close=close)
        except (CannotOpen, Unusable, asyncpg.PostgresError, *LOST):
            return None

    async def _after(self, entry: Entry, step: RunStatement, mark: StatementMark, number: int) -> StatementResult:
        """Ask, on a new session, what became of a commit that was never answered."""
        try:
            async with self.door.open(entry) as session:
                found = await change.set_limits(session, _nothing(step), mark, dry_run=True)
                if isinstance(found, int):
                    return InDoubt(message="the connection was lost twice")
                return await change.outcome(session, number, found)
        except (CannotOpen, asyncpg.PostgresError, *LOST) as error:
            return InDoubt(message=f"the connection was lost at the commit, and then: {words(error)}")

    async def _check(self, session: Session, entry: Entry) -> None:
        """Make sure, before anything is sent, that this is not the server of our own ledger, and is a primary."""
        server = await session.fetchrow(QUERIES["identity"])
        if server is None:
            raise Unusable("malformed", f"database {entry.name} says nothing of itself")
        refuse_own(entry, server["system_identifier"], self.own)
        if server["in_recovery"]:
            raise Unusable("standby", f"database {entry.name} is a standby: nothing can be changed there")

    def _named(self, step: RunStatement) -> Entry | None:
        """Return the entry of a step: of that name, and still for that workload."""
        return next((one for one in self.entries if (one.name, one.workload) == (step.database, step.target.key)), None)


def _nothing(step: RunStatement) -> SetLimits:
    """Return the same limits and no sessions to end: only the mark is looked for."""
    return SetLimits(limits=step.statement.limits if isinstance(step.statement, SetLimits) else ())


def _unsent(error: CannotOpen | Unusable) -> WriteRefused:
    """Return what it means that no session could be had, or not one that may be used: nothing was sent."""
    again = error.reason in {"unreachable", "full"}
    return WriteRefused(reason="unreachable" if again else "invalid", message=error.message)


def _unclear(step: RunStatement, error: Exception) -> StatementResult:
    """Return what a connection lost before the commit means: a transaction ends with it, ALTER SYSTEM may not."""
    if isinstance(step.statement, SetLimits):
        return WriteRefused(
            reason="unreachable", message=f"the connection was lost, nothing was stored: {words(error)}"
        )
    return InDoubt(message=f"the connection was lost: {words(error)}")
