"""Notify: the outbox is delivered to people, at least once, each message under an id that the receiver can compare.

A page that nobody gets is the worst that can become of an incident, so a message is tried for a day, whatever the
receiver says: a wrong token or address is mended by people, and then it has to come.
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.flow.beside import beside
from remediator.flow.parts import Parts
from remediator.model.errors import NotifyError
from remediator.ports.incidents import Notification
from remediator.ports.observer import StageEvent

LONGEST_PAUSE_S = 300.0
"""Seconds from one try to the next at most."""


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
            say = retry is None or message.attempts == self.parts.bounds.notify_told
            await self.parts.stores.outbox.failed(message, str(error), retry, say=say)
            outcome = "failed" if say else "retried"
            self.parts.observer.tell(
                StageEvent(stage="notify", outcome=outcome, fields={**fields, "error": str(error)})
            )
            return
        await self.parts.stores.outbox.sent(message, how)
        self.parts.observer.tell(StageEvent(stage="notify", outcome="sent", fields=fields))

    def _retry(self, message: Notification, error: NotifyError) -> float | None:
        if message.attempts >= self.parts.bounds.notify_attempts:
            return None
        if not error.retryable:
            return LONGEST_PAUSE_S
        return min(error.retry_after or 2.0**message.attempts, LONGEST_PAUSE_S)
