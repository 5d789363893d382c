"""Alertmanager's API v2: what it has now, and for how long it has been running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from remediator.adapters.alerting.fetch import Answer, Fetch
from remediator.model.errors import MonitoringError, SignalRejected
from remediator.model.sighting import PeerAnswer, Reading, Running

ALERTS = "/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true"
STATUS = "/api/v2/status"
INLINE_BYTES = 256 << 10
"""Larger answers are read in a thread, so that alerts that are posted meanwhile need not wait."""

ReadAlerts = Callable[[bytes, str, datetime], Reading]
ReadStatus = Callable[[bytes], Running]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAlertmanagers:
    """Implements ports.monitoring.Alertmanagers. ``peers``: base addresses by source.

    All alerts are asked for, whatever they are routed to: one that is routed elsewhere is not gone.
    """

    peers: Mapping[str, tuple[str, ...]]
    fetch: Fetch
    read_alerts: ReadAlerts
    read_status: ReadStatus
    sources: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the sources in order."""
        object.__setattr__(self, "sources", tuple(self.peers))

    async def ask(self, source: str) -> tuple[PeerAnswer, ...]:
        """Ask every Alertmanager of a source at once."""
        async with asyncio.TaskGroup() as asking:
            tasks = [asking.create_task(self._peer(source, url), name="ask-alertmanager") for url in self.peers[source]]
        return tuple(task.result() for task in tasks)

    async def _peer(self, source: str, url: str) -> PeerAnswer:
        try:
            async with self.fetch.patience():
                # The status last: where it was started anew in between, that shows.
                alerts = await self.fetch.get(url + ALERTS)
                status = await self.fetch.get(url + STATUS)
            reading = await self._reading(alerts, source)
            running = self.read_status(status.body)
        except (MonitoringError, SignalRejected) as error:
            return PeerAnswer(peer=url, problem=str(error))
        return PeerAnswer(
            peer=url,
            sightings=reading.sightings,
            up_for_s=(status.at - running.since).total_seconds(),
            settled=running.settled,
            unreadable=reading.unreadable,
            whole=reading.whole,
        )

    async def _reading(self, answer: Answer, source: str) -> Reading:
        if len(answer.body) <= INLINE_BYTES:
            return self.read_alerts(answer.body, source, answer.at)
        return await asyncio.to_thread(self.read_alerts, answer.body, source, answer.at)
