"""Alerts without a pause while something is broken; what was answered 200 is looked for afterwards."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import asyncpg

from remediator.adapters.clock import SystemClock
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import body

POSTERS = 4
ALERTS = 5
PAUSE_S = 0.01


@dataclass
class Load:
    """Posts small bodies that no rule matches, as Alertmanagers do: what is not taken is posted again."""

    daemon: Daemon
    http: aiohttp.ClientSession
    taken: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _over: bool = False

    @asynccontextmanager
    async def pouring(self) -> AsyncIterator[Load]:
        """Post from here to the end; what is under way then is posted until it is taken."""
        async with asyncio.TaskGroup() as group:
            for _ in range(POSTERS):
                group.create_task(self._pour())
            try:
                yield self
            finally:
                self._over = True

    async def _pour(self) -> None:
        clock = SystemClock()
        while not self._over:
            names = [f"Load{next(self._numbers)}" for _ in range(ALERTS)]
            document = body(({"alertname": name} for name in names), clock.now())
            status = 0
            while status != 200:
                began = clock.monotonic()
                status = await self.daemon.post(self.http, document)
                self.slowest_s = max(self.slowest_s, clock.monotonic() - began)
                self.answers[status] += 1
                await asyncio.sleep(PAUSE_S)
            self.taken.update(names)

    async def missing(self, dsn: str) -> tuple[set[str], list[str]]:
        """Return what was answered 200 and has no row, and what is in the ledger more than once."""
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch("SELECT labels ->> 'alertname' AS name FROM remediator.signals")
            told = await connection.fetch(
                "SELECT summary FROM remediator.ledger WHERE kind = 'signal.unmatched' "
                "GROUP BY summary HAVING count(*) > 1"
            )
        finally:
            await connection.close()
        return self.taken - {row["name"] for row in rows}, [row["summary"] for row in told]
