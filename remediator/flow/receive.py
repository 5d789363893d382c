"""Receive: the inbox as the front door sees it; whatever was new rings for the match stage."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.flow.bells import Bells, Stage
from remediator.model.signal import Delivery, Receipt
from remediator.ports.inbox import Inbox


@dataclass(frozen=True, slots=True)
class Receive:
    """Implements ports.inbox.Inbox around the durable one."""

    inbox: Inbox
    bells: Bells

    async def accept(self, delivery: Delivery) -> Receipt:
        """Store a delivery, then ring."""
        self.bells.arriving += 1
        try:
            receipt = await self.inbox.accept(delivery)
        finally:
            self.bells.arriving -= 1
        if receipt.new:
            self.bells.ring(Stage.MATCH)
        if delivery.truncated:
            self.bells.doubt()
        return receipt
