"""Notify: the outbox is delivered to people, at least once, each message under an id that the receiver can compare."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.flow.beside import beside
from remediator.flow.parts import Parts
from remediator.model.errors import NotifyError
from remediator.ports.incidents import Notification
from remediator.ports.observer import StageEvent


@dataclass(frozen=True, slots=True)
class NotifyPeople:
    """The stage."""

    parts: Parts

    async def step(self) -> int:
        """Deliver the messages that are due; return how many were tried."""
        bounds = self.parts.bounds
        due = await self.parts.stores.outbox.take(bounds.notify_batch, bounds.look_lease_s)
        return await beside(due, self._send, name="notify")

    async def _send(self, message: Notification) -> None:
        fields = {"notification": message.id, "incident": message.incident}
        try:
            how = await self.parts.notifier.send(message.id, message.payload)
        except NotifyError as error:
            retry = self._retry(message, error)
            await self.parts.stores.outbox.failed(message, str(error), retry)
            outcome = "failed" if retry is None else "retried"
            self.parts.observer.tell(
                StageEvent(stage="notify", outcome=outcome, fields={**fields, "error": str(error)})
            )
            return
        await self.parts.stores.outbox.sent(message, how)
        self.parts.observer.tell(StageEvent(stage="notify", outcome="sent", fields=fields))

    def _retry(self, message: Notification, error: NotifyError) -> float | None:
        if not error.retryable or message.attempts >= self.parts.bounds.notify_attempts:
            return None
        return min(error.retry_after or 2.0**message.attempts, 300.0)
