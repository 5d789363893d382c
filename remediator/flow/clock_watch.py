"""The clocks: facts are dated by this host, decisions by the database, and they must mean the same moment.

Where the two differ by more than a rule's shelf life, facts look old as soon as they are read, and everything is held.
So the difference is measured all the time, and told before it does harm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.flow.forgive import forgive
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import PortError
from remediator.model.rule import Rule
from remediator.ports.clock import Clock
from remediator.ports.health import HealthStatus
from remediator.ports.ledger import LedgerWriter
from remediator.ports.observer import Observer, StageEvent
from remediator.ports.rules import Rulebook

EVERY_S = 15.0
LOUD_S = 10.0
"""A difference that is told. A host that is well kept is right to some milliseconds."""

QUIET_S = 5.0
"""The clocks are called right again below this, so that a difference at the bound is not told again and again."""

USUAL_SHELF_LIFE_S = 120
ADVICE = "set the clocks right (NTP on this host and on the database's: timedatectl, chronyc tracking)"


@dataclass(slots=True, kw_only=True)
class ClockWatch:
    """Measures; ``skew_s`` is how far this host is ahead of the database, None before the first measurement.

    ``database_time`` asks the database, ``show`` is given every measurement, ``host`` names this host to people.
    """

    database_time: Callable[[], Awaitable[datetime]]
    show: Callable[[float], None]
    host: str
    rulebook: Rulebook
    ledger: LedgerWriter
    clock: Clock
    observer: Observer
    skew_s: float | None = None
    told: bool = False

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            try:
                await self.look()
            except PortError as error:
                forgive(error, "the watch over the clocks")
                self._tell("unmeasured", error=str(error))
            await self.clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Measure once; write down when the clocks begin to differ, and when they agree again."""
        asked, began = self.clock.now(), self.clock.monotonic()
        database = await self.database_time()
        took = self.clock.monotonic() - began
        skew = (asked + timedelta(seconds=took / 2) - database).total_seconds()
        self.skew_s = skew
        self.show(skew)
        # The database answered at some moment of the round trip: what that could explain is not told.
        if abs(skew) - took / 2 >= LOUD_S:
            self._tell("skewed", skew_s=round(skew, 3), measured_to_s=round(took / 2, 3), advice=self._sentence())
            if not self.told:
                await self._write(self._sentence())
                self.told = True
        elif self.told and abs(skew) < QUIET_S:
            words = f"the clocks of {self.host} and of the database agree again, to {abs(skew):.1f} s"
            await self._write(words)
            self._tell("right", skew_s=round(skew, 3))
            self.told = False

    async def status(self) -> HealthStatus:
        """Answer for readiness: not while decisions are held because of the clocks."""
        if self.skew_s is None:
            return HealthStatus(ok=True, detail="not measured yet")
        if abs(self.skew_s) < LOUD_S:
            return HealthStatus(ok=True, detail=f"{abs(self.skew_s):.3f} s from the database's")
        return HealthStatus(ok=abs(self.skew_s) < self._bound(), detail=self._sentence())

    def _bound(self) -> float:
        return min((rule.shelf_life_s for rule in self._rules()), default=USUAL_SHELF_LIFE_S)

    def _rules(self) -> tuple[Rule, ...]:
        return self.rulebook.current().rules

    def _sentence(self) -> str:
        skew, bound = self.skew_s or 0.0, self._bound()
        held = [rule.name for rule in self._rules() if rule.shelf_life_s <= abs(skew)]
        names = f"{', '.join(held[:3])}{', ...' if len(held) > len(held[:3]) else ''}"
        effect = f"decisions of {len(held)} rules are held ({names})" if held else f"from {span(bound)} on all is held"
        way = "ahead of" if skew > 0 else "behind"
        return f"the clock of {self.host} is {span(abs(skew))} {way} the database's: {effect}; {ADVICE}"

    async def _write(self, words: str) -> None:
        data = {"skew_s": round(self.skew_s or 0.0, 3), "host": self.host}
        await self.ledger.append(NewEntry(kind=EntryKind.CLOCKS, summary=words, data=data))

    def _tell(self, outcome: str, **fields: object) -> None:
        self.observer.tell(StageEvent(stage="clocks", outcome=outcome, fields=dict(fields)))
