"""How people are told."""

from __future__ import annotations

from typing import Any, Protocol


class Notifier(Protocol):
    """A sink for notifications."""

    async def send(self, notification_id: int, payload: dict[str, Any]) -> str:
        """Deliver one notification and say how, or raise NotifyError. The id is the other side's idempotency key."""
        ...
