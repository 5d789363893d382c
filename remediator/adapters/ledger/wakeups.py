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
from remediator.adapters.ledger.errors import translated
from remediator.model.errors import LedgerError

CHANNEL = "remediator"
PING_S = 10.0
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Wakeups:
    """Listens for ever and calls ``ring`` with the name of the stage.

    The connection is asked for a sign of life every ``ping_s`` seconds, and made anew ``retry_s`` after it was lost.
    """

    dsn: str
    ring: Callable[[str], None]
    lost: Callable[[str], None]
    ping_s: float = PING_S
    retry_s: float = RETRY_S

    async def run(self) -> None:
        """Listen; a lost connection is told to ``lost`` and made anew."""
        while True:
            try:
                with translated():
                    await self._listen()
            except LedgerError as error:
                self.lost(str(error))
            await asyncio.sleep(self.retry_s)

    async def _listen(self) -> None:
        connection = await connect(self.dsn, name="wakeups", command_seconds=self.ping_s)
        try:
            await connection.add_listener(CHANNEL, self._heard)
            while True:
                # A hung peer is only noticed by asking it something.
                await asyncio.sleep(self.ping_s)
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
