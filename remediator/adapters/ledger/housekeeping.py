"""Housekeeping: working rows that have done their work are forgotten; the ledger, incidents and evidence stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.errors import LedgerError
from remediator.ports.clock import Clock

EVERY_S = 600.0
KEEP_DAYS = 30
BATCH = 5000
STATEMENTS = ("forget_signals", "forget_quarantine", "forget_messages")


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """Forgets, every ten minutes, a bounded number of rows older than thirty days. Any replica may do it."""

    pool: LedgerPool
    clock: Clock
    failed: Callable[[str], None]

    async def run(self) -> None:
        """Loop for ever."""
        while True:
            try:
                await self.sweep()
            except LedgerError as error:
                self.failed(str(error))
            await self.clock.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Forget one batch of each kind; return how many rows went."""
        gone = 0
        for name in STATEMENTS:
            async with transaction(self.pool) as connection:
                answer = await connection.execute(QUERIES[name], KEEP_DAYS, BATCH)
            gone += int(answer.rpartition(" ")[2])
        return gone
