"""What can be asked: Alertmanager for what it has now, Prometheus for what it saw."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from remediator.model.sighting import Episode, PeerAnswer


class Alertmanagers(Protocol):
    """All Alertmanagers that are configured, by source."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the sources, each with at least one Alertmanager."""
        ...

    async def ask(self, source: str) -> tuple[PeerAnswer, ...]:
        """Ask every Alertmanager of a source at once; who does not answer well has a ``problem``. Never raises."""
        ...


class AlertHistory(Protocol):
    """What fired when."""

    async def episodes(self, begin: datetime, end: datetime) -> tuple[Episode, ...]:
        """Return what fired between two moments, longest first. Raises MonitoringError: no answer, or a partial one."""
        ...
