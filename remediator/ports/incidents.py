"""The close stage's bracket, and the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from remediator.model.entry import NewEntry
from remediator.model.incident import Incident


class DueIncident(Struct, frozen=True, kw_only=True):
    """An open incident whose next look is due. ``moving``: an action or a candidate is under way for it.

    ``hushed``: all that fires of it is silenced or inhibited.
    """

    incident: Incident
    firing: int
    moving: bool
    now: datetime
    hushed: bool = False


class NextIncidentLook(Struct, frozen=True, kw_only=True):
    """When to look again at an open incident, and since when its target has been healthy without an alert."""

    incident: int
    check_at: datetime
    healthy_since: datetime | None = None


class Notification(Struct, frozen=True, kw_only=True):
    """One message in the outbox."""

    id: int
    incident: int | None
    payload: dict[str, Any]
    attempts: int


class IncidentStore(Protocol):
    """Open incidents and their end."""

    async def due(self, limit: int, lease_s: float) -> tuple[DueIncident, ...]:
        """Take open incidents whose next look is due."""
        ...

    async def look_again(self, looks: Sequence[NextIncidentLook]) -> None:
        """Set the times of next looks."""
        ...

    async def resolve(self, incident: int, entry: NewEntry) -> bool:
        """Close an incident unless an alert fires again or something moves; tell whether it was closed."""
        ...

    async def escalate(self, incident: int, message: str) -> bool:
        """Call people, once for an incident; tell whether this call did it."""
        ...


class Outbox(Protocol):
    """Notifications that are to be delivered."""

    async def take(self, limit: int, lease_s: float) -> tuple[Notification, ...]:
        """Lease messages that are due."""
        ...

    async def sent(self, notification: Notification, how: str) -> None:
        """Mark as delivered; ``how`` goes into the ledger."""
        ...

    async def failed(
        self, notification: Notification, error: str, retry_in_s: float | None, *, say: bool = False
    ) -> None:
        """Note the failure and try again later; None: never again (dead), which the ledger says.

        ``say``: the ledger is to say of this failure, too, that people could not be told.
        """
        ...
