"""Prometheus and Alertmanager: what really fires, and what is told of it, more than once, late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remediator.model.errors import MonitoringError, RemediatorError
from remediator.model.sighting import Disposition, Episode, PeerAnswer, Sighting
from remediator.model.signal import Delivery, Signal, Status
from remediator.ports.inbox import Inbox
from tests.simulation.chaos import Chaos
from tests.simulation.life import Life
from tests.simulation.tables import BEGINNING, Database

SOURCE = "alertmanager"
DAY_S = 86400.0
CLIENT_TIMEOUT_S = 10.0
RETRY_S = 5.0
REPEAT_S = 600.0
MOVED_S = (0.0, 2.0)
"""By so many seconds the start of an episode is told wrong, as by the other Prometheus of a pair."""


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the beginning."""
    return BEGINNING + timedelta(seconds=round(seconds, 3))


@dataclass(slots=True)
class TrueEpisode:
    """From when to when an alert really fired, in seconds (None: it still does)."""

    begins: float
    ends: float | None = None


@dataclass(slots=True, kw_only=True)
class TrueAlert:
    """One alert and its true history."""

    fingerprint: str
    labels: dict[str, str]
    episodes: list[TrueEpisode] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fires(self) -> bool:
        """Tell whether it fires now."""
        return bool(self.episodes) and self.episodes[-1].ends is None

    def signal(self, episode: TrueEpisode, moved: float = 0.0) -> Signal:
        """Return what is told of an episode as it stands; ``moved``: the start is told a little wrong."""
        ended = episode.ends is not None
        return Signal(
            source=SOURCE,
            fingerprint=self.fingerprint,
            status=Status.RESOLVED if ended else Status.FIRING,
            labels=self.labels,
            annotations={},
            starts_at=at(episode.begins + moved),
            ends_at=at(episode.ends) if episode.ends is not None else None,
        )


Door = Callable[[], tuple[Life, Inbox] | None]


class Alertmanager:
    """Tells of every alert through ``door``: again until somebody has said 200, and now and then all the same.

    ``acknowledged`` are the signals that somebody has said 200 to.
    """

    def __init__(self, db: Database, chaos: Chaos, door: Door) -> None:
        """Know of nothing."""
        self.db = db
        self.chaos = chaos
        self.door = door
        self.alerts: dict[str, TrueAlert] = {}
        self.acknowledged: list[tuple[float, Signal]] = []
        self.away: list[list[float]] = []
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def down(self) -> bool:
        """Tell whether it is away."""
        return bool(self.away) and len(self.away[-1]) == 1

    def go(self) -> None:
        """Go away, if it is there."""
        if not self.down:
            self.away.append([asyncio.get_running_loop().time()])

    def come(self) -> None:
        """Come back, if it is away."""
        if self.down:
            self.away[-1].append(asyncio.get_running_loop().time())

    def was_away(self, since: float, until: float) -> bool:
        """Tell whether it was away at some moment of a time."""
        return any(one[0] < until and (len(one) == 1 or one[1] > since) for one in self.away)

    def watch(self, tasks: asyncio.TaskGroup, fingerprint: str, labels: dict[str, str]) -> TrueAlert:
        """Begin to know of an alert."""
        self._tasks = tasks
        alert = TrueAlert(fingerprint=fingerprint, labels=labels)
        self.alerts[fingerprint] = alert
        tasks.create_task(self._tell_of(alert))
        return alert

    def begin(self, alert: TrueAlert) -> None:
        """Let an alert fire."""
        if not alert.fires:
            alert.episodes.append(TrueEpisode(begins=asyncio.get_running_loop().time()))
            alert.changed.set()

    def end(self, alert: TrueAlert) -> None:
        """Let it fire no more."""
        if alert.fires:
            alert.episodes[-1].ends = asyncio.get_running_loop().time()
            alert.changed.set()

    async def _tell_of(self, alert: TrueAlert) -> None:
        """Tell of each change until it is acknowledged; an end only of what was acknowledged when it fired."""
        told_firing = -1
        while True:
            await _wait(alert.changed, REPEAT_S)
            alert.changed.clear()
            while alert.episodes and not alert.changed.is_set():
                number, episode = len(alert.episodes) - 1, alert.episodes[-1]
                ended = episode.ends is not None
                if ended and told_firing != number:
                    break
                if await self._deliver(alert, episode):
                    told_firing = -1 if ended else number
                    break
                await _wait(alert.changed, RETRY_S)

    async def _deliver(self, alert: TrueAlert, episode: TrueEpisode) -> bool:
        """Send one notification; it may be lost, doubled, or come once more much later."""
        chaos, place = self.chaos, f"webhook {alert.fingerprint[:6]}"
        signal = alert.signal(episode)
        if chaos.hits(chaos.odds.webhook, "lost webhook", place) or self.down:
            return False
        if chaos.hits(chaos.odds.webhook, "doubled webhook", place):
            self._later(alert.signal(episode, chaos.dice.choice(MOVED_S)), 0.0)
        if chaos.hits(chaos.odds.webhook, "late webhook", place):
            self._later(signal, chaos.dice.uniform(1.0, 400.0))
        if chaos.hits(chaos.odds.webhook / 4, "truncated webhook", place):
            return await self._post((), truncated=1)
        return await self._post((signal,))

    def _later(self, signal: Signal, seconds: float) -> None:
        async def send() -> None:
            await asyncio.sleep(seconds)
            await self._post((signal,))

        if self._tasks is not None:
            self._tasks.create_task(send())

    async def _post(self, signals: tuple[Signal, ...], *, truncated: int = 0) -> bool:
        open_door = self.door()
        if open_door is None:
            return False
        life, inbox = open_door
        await asyncio.sleep(self.chaos.latency())
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                await life.thawed.wait()
                if life.dead:
                    return False
                await inbox.accept(Delivery(source=SOURCE, signals=signals, truncated=truncated))
                await life.thawed.wait()
        except (TimeoutError, RemediatorError):
            return False
        if not life.works:
            return False
        self.acknowledged += [(asyncio.get_running_loop().time(), signal) for signal in signals]
        return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class AskedAlertmanager:
    """Implements ports.monitoring.Alertmanagers for one replica."""

    def __init__(self, alertmanager: Alertmanager, life: Life) -> None:
        """Connect."""
        self._alertmanager = alertmanager
        self._life = life

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the one there is."""
        return (SOURCE,)

    async def ask(self, source: str) -> tuple[PeerAnswer, ...]:
        """Tell what fires."""
        await self._life.point("ask")
        chaos = self._life.chaos
        if self._alertmanager.down or chaos.hits(chaos.odds.read_fails, "failed ask", self._life.name):
            return (PeerAnswer(peer="am", problem="no answer"),)
        now = asyncio.get_running_loop().time()
        firing = [alert for alert in self._alertmanager.alerts.values() if alert.fires]
        sightings = tuple(
            Sighting(
                signal=alert.signal(alert.episodes[-1]),
                disposition=Disposition.ACTIVE,
                by=(),
                receivers=(),
                updated_ago_s=1.0,
                firing_for_s=now - alert.episodes[-1].begins,
            )
            for alert in firing
        )
        answer = (PeerAnswer(peer="am", sightings=sightings, up_for_s=DAY_S, settled=True),)
        await self._life.point("ask done")
        return answer


class MemoryHistory:
    """Implements ports.monitoring.AlertHistory: Prometheus, which has seen everything."""

    def __init__(self, alertmanager: Alertmanager, life: Life) -> None:
        """Connect."""
        self._alertmanager = alertmanager
        self._life = life

    async def episodes(self, begin: datetime, end: datetime) -> tuple[Episode, ...]:
        """Return what fired between two moments."""
        await self._life.point("history")
        chaos = self._life.chaos
        if chaos.hits(chaos.odds.read_fails, "failed history", self._life.name):
            raise MonitoringError("unreachable", "Prometheus does not answer", retryable=True)
        found = [
            Episode(
                fingerprint=alert.fingerprint,
                labels=alert.labels,
                began_at=max(at(one.begins), begin),
                ended_at=min(at(one.ends), end) if one.ends is not None else end,
                over=one.ends is not None,
            )
            for alert in self._alertmanager.alerts.values()
            for one in alert.episodes
            if at(one.begins) <= end and (one.ends is None or at(one.ends) >= begin)
        ]
        return tuple(found)
