"""Connections to the tables in memory: the adapters of the ledger work over these as over asyncpg's.

A statement outside of a transaction is one by itself. Inside, whoever has only read may be overtaken by others (READ
COMMITTED), or wait for a lock; whoever has written goes on to the end at once, and may only die on the way.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg

from remediator.adapters.ledger.connect import Server
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, Purpose
from remediator.adapters.ledger.queries import QUERIES
from tests.simulation import registry, sql_actions, sql_admit, sql_incidents, sql_intake, sql_lookout
from tests.simulation.life import Life
from tests.simulation.tables import Database, Row, Session

__all__ = ["memory_pool", "memory_pools", "sql_actions", "sql_admit", "sql_incidents", "sql_intake", "sql_lookout"]

NAMES = {text: name for name, text in QUERIES.items()}
WAITED_LOCKS = {"lock_admission", "lock_matching", "lock_alarm"}
TRIED_LOCKS = {"lock_sealing"}
LOCK_TIMEOUT_S = 2.0


class MemoryConnection:
    """What the adapters use of an asyncpg connection."""

    def __init__(self, db: Database, life: Life, *, lasting: bool) -> None:
        """Connect; ``lasting``: commits wait for the disk."""
        self._db = db
        self._life = life
        self.session = Session(owner=life, lasts=lasting, lasting=lasting)
        db.sessions.append(self.session)

    async def execute(self, query: str, *values: Any) -> str:
        """Run a statement; BEGIN, COMMIT and ROLLBACK among them."""
        if query.startswith("BEGIN"):
            return await self._begin(query)
        if query == "COMMIT":
            return await self._commit()
        if query == "ROLLBACK":
            self._db.roll_back(self.session)
            return query
        await self._run(NAMES[query], values)
        return "OK"

    async def fetch(self, query: str, *values: Any) -> list[Row]:
        """Run a statement and return its rows."""
        return await self._run(NAMES[query], values)

    async def fetchrow(self, query: str, *values: Any) -> Row | None:
        """Run a statement and return its first row."""
        return next(iter(await self._run(NAMES[query], values)), None)

    async def fetchval(self, query: str, *values: Any) -> Any:
        """Run a statement and return the first column of its first row."""
        row = next(iter(await self._run(NAMES[query], values)), None)
        return next(iter(row.values())) if row is not None else None

    def is_closed(self) -> bool:
        """Tell whether the connection is of no more use."""
        return self.session.broken

    def terminate(self) -> None:
        """Hang up."""
        self._db.cut(lambda session: session is self.session)

    def _answer(self) -> None:
        """Fail as a connection fails that is gone."""
        if self._db.down:
            self.terminate()
        if self.session.broken:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def _begin(self, query: str) -> str:
        await self._life.point("begin")
        self._answer()
        self.session.open = True
        opening = query.partition(";\n")[2]
        if opening:
            await self._lock(NAMES[opening])
        return "BEGIN"

    async def _commit(self) -> str:
        self._life.may_die("commit")
        self._answer()
        wrote = self.session.wrote
        self._db.commit(self.session)
        if wrote:
            await self._after("commit")
        return "COMMIT"

    async def _run(self, name: str, values: tuple[Any, ...]) -> list[Row]:
        if name not in registry.STATEMENTS and name not in WAITED_LOCKS | TRIED_LOCKS:
            raise AssertionError(f"tests/simulation does not know the statement {name}: write down what it does")
        if self.session.wrote:
            self._life.may_die(name)
        else:
            await self._life.point(name)
        self._answer()
        if name in WAITED_LOCKS:
            await self._lock(name)
            return []
        if name in TRIED_LOCKS:
            return [{"mine": self._db.take_lock(name, self.session)}]
        return await self._carry_out(name, values)

    async def _carry_out(self, name: str, values: tuple[Any, ...]) -> list[Row]:
        alone = not self.session.open
        try:
            found = registry.run(name, self._db, self.session, *values)
        except BaseException:
            self._db.roll_back(self.session)
            raise
        if alone:
            wrote = self.session.wrote
            self._db.commit(self.session)
            if wrote:
                await self._after(name)
        return found

    async def _after(self, place: str) -> None:
        """Bring the answer back, if it comes back."""
        chaos = self._life.chaos
        if chaos.hits(chaos.odds.lost_answer * chaos.weight(place), "lost answer", f"{self._life.name} {place}"):
            self.terminate()
            self._answer()
        await self._life.point(place + " done", slow=False)

    async def _lock(self, name: str) -> None:
        waited = 0.0
        while not self._db.take_lock(name, self.session):
            if waited >= LOCK_TIMEOUT_S:
                raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
            step = 0.01 + self._life.chaos.dice.random() * 0.05
            await asyncio.sleep(step)
            waited += step
            await self._life.thawed.wait()
            self._life.check()
            self._answer()


class MemoryConnections:
    """What the adapters use of an asyncpg pool; there is always room."""

    def __init__(self, db: Database, life: Life, *, lasting: bool) -> None:
        """Belong to one replica."""
        self._db = db
        self._life = life
        self._lasting = lasting

    async def acquire(self) -> MemoryConnection:
        """Connect, if anybody answers."""
        self._life.check()
        if self._db.down:
            await asyncio.sleep(0.01)
            raise ConnectionRefusedError(111, "Connection refused")
        return MemoryConnection(self._db, self._life, lasting=self._lasting)

    async def release(self, connection: MemoryConnection, *, timeout: float) -> None:
        """Hang up: what is open is rolled back."""
        connection.terminate()


def memory_pool(db: Database, life: Life, purpose: Purpose = Purpose.STAGES) -> LedgerPool:
    """Return a pool that the adapters take for one of PostgreSQL."""
    ours = MemoryConnections(db, life, lasting=purpose is not Purpose.LEASES)
    connections = cast("asyncpg.Pool[asyncpg.Record]", ours)
    return LedgerPool(purpose=purpose, begin="BEGIN", direct=True, connections=connections)


def memory_pools(db: Database, life: Life) -> LedgerPools:
    """Return all pools of a replica."""
    intake, stages, leases, read = (memory_pool(db, life, purpose) for purpose in Purpose)
    server = Server(direct=True, role=None, version="memory", warnings=())
    return LedgerPools(server=server, intake=intake, stages=stages, leases=leases, read=read)
