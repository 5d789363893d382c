"""One embedded PostgreSQL for all that is compared, and a fresh database for each of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from bench.limit import SQL
from remediator.adapters.ledger.embedded import running

_NAME = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Databases:
    """Makes databases on one server, whose process is ``pid``."""

    dsn: str
    pid: int

    @asynccontextmanager
    async def fresh(self, name: str) -> AsyncIterator[str]:
        """Make a database, yield its connection string, drop it."""
        if not _NAME.fullmatch(name):
            raise ValueError(name)
        await self._say(f"CREATE DATABASE {name}")
        # What others left in memory is written now and not while this one is measured.
        await self._say("CHECKPOINT")
        try:
            yield self.dsn.replace("/remediator?", f"/{name}?")
        finally:
            await self._say(f"DROP DATABASE {name} WITH (FORCE)")

    async def _say(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def databases(folder: Path) -> AsyncIterator[Databases]:
    """Run the server with the settings that the daemon would give it, fsync included."""
    async with running(folder) as server:
        yield Databases(server.dsn, server.pid)


async def fetch(dsn: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of one of the queries of sql/bench.sql."""
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(SQL[query])]
    finally:
        await connection.close()
