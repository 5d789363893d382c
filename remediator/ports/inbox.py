"""Where signals are put before anybody is told that they were taken."""

from __future__ import annotations

from typing import Protocol

from remediator.model.signal import Delivery, Receipt


class Inbox(Protocol):
    """The durable inbox."""

    async def accept(self, delivery: Delivery) -> Receipt:
        """Store a delivery and return after COMMIT.

        It has a deadline of its own and never takes longer. Raises LedgerError: ``full`` (too much waits already),
        ``timeout`` (the deadline passed), or what the database said. Then nothing of the delivery was stored, or it was
        and a second delivery of the same changes nothing.
        """
        ...
