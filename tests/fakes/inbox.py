"""An inbox in memory. It passes tests/contract/test_inbox.py, as the real one does."""

from __future__ import annotations

import asyncio
from datetime import datetime

from remediator.model.errors import LedgerError
from remediator.model.signal import Delivery, Quarantined, Receipt, Signal

Fact = tuple[str, str, str, datetime]


class MemoryInbox:
    """Implements ports.inbox.Inbox. ``limit`` bounds the facts that wait; nobody takes them out here."""

    def __init__(self, *, limit: int = 1_000_000) -> None:
        """Be empty."""
        self.limit = limit
        self.facts: dict[Fact, Signal] = {}
        self.quarantined: list[Quarantined] = []
        self.truncated = 0
        self.refuse_with: LedgerError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def accept(self, delivery: Delivery) -> Receipt:
        """Store a delivery. Waits while ``open`` is cleared; raises ``refuse_with`` while it is set."""
        self.asked += 1
        await self.open.wait()
        if self.refuse_with is not None:
            raise self.refuse_with
        if len(self.facts) + len(delivery.signals) > self.limit:
            raise LedgerError("full", f"{len(self.facts)} signals wait; the limit is {self.limit}", retryable=True)
        before = len(self.facts)
        for signal in delivery.signals:
            fact = (signal.source, signal.fingerprint, signal.status.value, signal.starts_at)
            self.facts.setdefault(fact, signal)
        self.quarantined.extend(delivery.quarantined)
        self.truncated += delivery.truncated
        new = len(self.facts) - before
        return Receipt(new=new, known=len(delivery.signals) - new, quarantined=len(delivery.quarantined))
