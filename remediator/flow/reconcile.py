"""Reconcile: Alertmanager is asked what fires, and what webhooks did not tell goes into the same inbox as they do.

At the start, then every minute or so, and soon after something has made us doubt that we know everything: a truncated
notification, or one about an alert that was called resolved. One replica does it at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from remediator.core.reconcile import Findings, fingerprints, reconcile
from remediator.flow.asking import CHUNK, LEASE_S, SOON_S, STALE_S, Lookout
from remediator.flow.bells import Bells
from remediator.flow.missed import History
from remediator.flow.parts import Parts
from remediator.model.sighting import View
from remediator.model.signal import Delivery, Signal
from remediator.ports.lookout import Notes, Turn
from remediator.ports.observer import StageEvent


@dataclass(slots=True)
class Reconcile:
    """The stage. ``asked`` are the doubts that have been answered; a new process has one to begin with."""

    parts: Parts
    bells: Bells
    lookout: Lookout
    asked: int = -1
    unheard: dict[str, str] = field(default_factory=dict)

    async def step(self) -> int:
        """Ask, if it is our turn; return 0, for nothing more can be found at once."""
        doubts = self.bells.doubts
        turn = await self.lookout.store.take(self.parts.owner, LEASE_S, hurry=doubts != self.asked)
        if turn is not None:
            heard = await self._look(turn)
            await History(self.parts, self.lookout).step(turn)
            await self._finish(turn, heard)
            self.asked = doubts
        return 0

    async def _look(self, turn: Turn) -> dict[str, str]:
        """Ask all sources at once; return of each why nobody of it answered, or ""."""
        alertmanagers = self.lookout.alertmanagers
        if alertmanagers is None:
            return {}
        began = self.parts.clock.monotonic()
        async with asyncio.TaskGroup() as asking:
            tasks = {
                source: asking.create_task(alertmanagers.ask(source), name="ask-source")
                for source in alertmanagers.sources
            }
        views = [View(source=source, asked_at=turn.now, answers=task.result()) for source, task in tasks.items()]
        self._tell_silence(views)
        for view in views:
            await self._compare(turn, view, began)
        return {view.source: _silence(view) for view in views}

    async def _compare(self, turn: Turn, view: View, began: float) -> None:
        held = await self.lookout.store.known(view.source, sorted(fingerprints(view)))
        found = reconcile(view, held, self.lookout.terms)
        notes = Notes(source=view.source, absent=found.absent, hushed=found.hushed, audible=found.audible)
        old = self.parts.clock.monotonic() - began > STALE_S
        if old or not await self.lookout.store.note(turn, notes):
            # Stopped for a while, and overtaken: what was true then is not to be told as news.
            self._tell("overtaken", source=view.source)
            return
        fires = self._worth_telling(found)
        await self._deliver(view.source, (*fires, *found.ended))
        for outcome, signals in (("found", fires), ("gone", found.ended)):
            if signals:
                names = sorted({signal.labels.get("alertname", "") for signal in signals})[:20]
                self._tell(outcome, count=len(signals), source=view.source, alerts=names)
        self._tell("asked", source=view.source, whole=found.whole, silent=len(found.hushed))

    def _worth_telling(self, found: Findings) -> tuple[Signal, ...]:
        """Leave out what is silenced or inhibited and no rule matches: nobody has to know, and nobody would."""
        quiet = {hush.fingerprint for hush in found.hushed}
        matching = self.parts.rulebook.matching
        return tuple(one for one in found.fires if one.fingerprint not in quiet or matching(one.labels))

    async def _deliver(self, source: str, signals: tuple[Signal, ...]) -> None:
        for start in range(0, len(signals), CHUNK):
            await self.lookout.inbox.accept(Delivery(source=source, signals=signals[start : start + CHUNK]))

    async def _finish(self, turn: Turn, heard: dict[str, str]) -> None:
        blind = bool(heard) and all(heard.values())
        again_s = min(SOON_S, self.lookout.interval_s) if blind else self.lookout.interval_s
        for source in await self.lookout.store.finish(turn, again_s, heard):
            self._tell("blind", source=source, error=heard[source])

    def _tell_silence(self, views: Iterable[View]) -> None:
        """Tell which Alertmanager has begun or ceased to fail, once each time."""
        now = {answer.peer: answer.problem for view in views for answer in view.answers if answer.problem}
        for peer, problem in now.items():
            if peer not in self.unheard:
                self._tell("unheard", peer=peer, error=problem)
        for peer in self.unheard:
            if peer not in now:
                self._tell("heard", peer=peer)
        self.unheard = now

    def _tell(self, outcome: str, *, count: int = 1, **fields: object) -> None:
        self.parts.observer.tell(StageEvent(stage="reconcile", outcome=outcome, count=count, fields=dict(fields)))


def _silence(view: View) -> str:
    """Return why nobody answered, "" where somebody did."""
    problems = [answer.problem for answer in view.answers]
    return "; ".join(problems) if all(problems) else ""
