"""Missed: what fired and ended while no replica was at work is looked up in Prometheus, recorded and told, no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from remediator.core import missed
from remediator.flow.asking import CHUNK, Lookout
from remediator.flow.parts import Parts
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import MonitoringError
from remediator.model.rule import Severity
from remediator.model.sighting import Episode, Gap
from remediator.model.signal import Delivery, Signal, Status
from remediator.ports.lookout import MissedIncident, Turn
from remediator.ports.observer import StageEvent

LONGEST = timedelta(hours=24)
"""How far back history is asked for; what lies further back was found by people, or did not matter."""
GAPS = 1
"""How many gaps are looked at in one turn, which must end before anybody takes its lane for dead."""
RETRY_S = 60.0
MOST_RETRY_S = 900.0


@dataclass(frozen=True, slots=True)
class History:
    """The part of a turn that asks Prometheus."""

    parts: Parts
    lookout: Lookout

    async def step(self, turn: Turn) -> None:
        """Look at the gaps whose history is due."""
        if self.lookout.history is None:
            return
        for gap in await self.lookout.store.gaps(GAPS):
            try:
                episodes = await self._episodes(gap, turn)
            except MonitoringError as error:
                await self._later(gap, error)
                continue
            await self._settle(gap, turn, episodes)

    async def _episodes(self, gap: Gap, turn: Turn) -> tuple[Episode, ...]:
        """Ask what fired from the gap's begin until now, for what began in it may have ended after it."""
        begin = max(gap.from_at, turn.now - LONGEST)
        if self.lookout.history is None or gap.to_at < begin:
            return ()
        return await self.lookout.history.episodes(begin, turn.now)

    async def _later(self, gap: Gap, error: MonitoringError) -> None:
        self._tell("history_unknown", error=str(error), gap=gap.id)
        await self.lookout.store.postpone(gap, min(RETRY_S * 2**gap.tries, MOST_RETRY_S))

    async def _settle(self, gap: Gap, turn: Turn, episodes: Sequence[Episode]) -> None:
        known = await self.lookout.store.known_since(gap.from_at - missed.SLACK)
        found = missed.missed(episodes, known, gap.from_at)
        told = missed.message(gap, found) if found else ""
        if not await self.lookout.store.settle(gap, [self._incident(one) for one in found], told) or not found:
            return
        self._tell("missed", count=len(found), gap=gap.id)
        # Tombstones: a notification of one of these that is still on its way comes too late.
        signals = [self._tombstone(one, turn) for one in found]
        for start in range(0, len(signals), CHUNK):
            chunk = tuple(signals[start : start + CHUNK])
            await self.lookout.inbox.accept(Delivery(source=self._source(), signals=chunk))

    def _incident(self, one: Episode) -> MissedIncident:
        rules = sorted(self.parts.rulebook.matching(one.labels), key=lambda rule: tuple(Severity).index(rule.severity))
        rule = rules[0] if rules else None
        data = {
            "labels": one.labels,
            "began_at": one.began_at.isoformat(),
            "ended_at": one.ended_at.isoformat(),
            "fingerprint": one.fingerprint,
        }
        return MissedIncident(
            source=self._source(),
            fingerprint=one.fingerprint,
            rule=rule.name if rule else "",
            severity=rule.severity.value if rule else "",
            title=f"{missed.name_of(one.labels)}: fired and ended while nobody listened",
            began_at=one.began_at,
            ended_at=one.ended_at,
            entry=NewEntry(
                kind=EntryKind.ALERT_MISSED,
                summary=missed.summary(one),
                rule=rule.name if rule else "",
                target_key=f"alert/{self._source()}/{one.fingerprint}",
                data=data,
            ),
        )

    def _tombstone(self, one: Episode, turn: Turn) -> Signal:
        return Signal(
            source=self._source(),
            fingerprint=one.fingerprint,
            status=Status.RESOLVED,
            labels=one.labels,
            annotations={},
            starts_at=one.began_at,
            ends_at=one.ended_at,
            confirmed_at=turn.now,
        )

    def _source(self) -> str:
        """Return under which source alerts of Prometheus are known: that of its Alertmanager, the first if several."""
        alertmanagers = self.lookout.alertmanagers
        return alertmanagers.sources[0] if alertmanagers is not None else "prometheus"

    def _tell(self, outcome: str, *, count: int = 1, **fields: object) -> None:
        self.parts.observer.tell(StageEvent(stage="reconcile", outcome=outcome, count=count, fields=dict(fields)))
