"""Looks at databases, for checks: the named statements of sql/care.sql, each in a transaction that only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg

from remediator.adapters.databases.entries import Entry
from remediator.adapters.databases.look import Unusable, refuse_own
from remediator.adapters.databases.queries import CARE, QUERIES
from remediator.adapters.databases.session import LOST, CannotOpen, Door, Session, words
from remediator.model.look import Query, Seen, Unseen

MOST_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLooker:
    """Answers looks at databases. ``own``: system identifiers of servers that are our own store, never looked at."""

    entries: tuple[Entry, ...]
    door: Door = field(default_factory=Door)
    own: frozenset[int] = frozenset()
    statements: Mapping[str, str] = field(default_factory=lambda: CARE)

    async def look(self, look: Query) -> Seen | Unseen:
        """See ports.looking.Looker."""
        entry = next((one for one in self.entries if one.name == look.database), None)
        if entry is None:
            known = ", ".join(one.name for one in self.entries) or "none"
            return Unseen(reason="not_found", message=f"there is no database {look.database!r} (--databases: {known})")
        if look.statement not in self.statements:
            return Unseen(reason="refused", message=f"there is no statement {look.statement!r}")
        try:
            async with self.door.open(entry) as session:
                return await self._read(session, entry, look)
        except (CannotOpen, Unusable) as error:
            return Unseen(reason=error.reason, message=error.message)
        except asyncpg.InsufficientPrivilegeError as error:
            advice = f"GRANT pg_monitor TO {entry.user}"
            return Unseen(reason="forbidden", message=f"database {entry.name}: {words(error)}: {advice}")
        except (*LOST, asyncpg.PostgresError) as error:
            return Unseen(reason="unreachable", message=f"database {entry.name}: {words(error)}")

    async def _read(self, session: Session, entry: Entry, look: Query) -> Seen:
        async with session.transaction(readonly=True):
            server = await session.fetchrow(QUERIES["identity"])
            if server is None:
                raise Unusable("malformed", f"database {entry.name} says nothing of itself")
            refuse_own(entry, server["system_identifier"], self.own)
            rows = await session.fetch(self.statements[look.statement], *look.arguments)
        return Seen(items=tuple(dict(row) for row in rows[:MOST_ROWS]), cut=len(rows) > MOST_ROWS)
