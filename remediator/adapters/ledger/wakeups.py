"""Bells of other replicas: NOTIFY says which stage has work.

A connection of its own listens. Behind a pooler in transaction mode nothing can listen; then, and whenever the
connection is lost, the stages' polls do the work alone, a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from remediator.adapters.ledger.connect import Plain, connect
from remediator.model.errors import LedgerError

CHANNEL = "remediator"
PING_S = 10.0
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Wakeups:
    """Listens for ever and calls ``ring`` with the name of the stage."""

    dsn: str
    ring: Callable[[str], None]
    lost: Callable[[str], None]

    async def run(self) -> None:
        """Listen; a lost connection is told to ``lost`` and made anew."""
        while True:
            try:
                await self._listen()
            except (LedgerError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                self.lost(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        connection = await connect(self.dsn, name="wakeups", command_seconds=PING_S)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while True:
                # A hung peer is only noticed by asking it something.
                await asyncio.sleep(PING_S)
                await connection.fetchval("SELECT 1")
        finally:
            await close(connection)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self.ring(str(payload))


async def close(connection: Plain) -> None:
    """Close politely, or at once if that takes too long."""
    try:
        await connection.close(timeout=1.0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()
