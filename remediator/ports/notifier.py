"""How people are told."""

from __future__ import annotations

from typing import Any, Protocol


class Notifier(Protocol):
    """A sink for notifications."""

    async def send(self, notification_id: int, payload: dict[str, Any]) -> None:
        """Deliver one notification or raise NotifyError. The id is an idempotency key for the other side."""
        ...
