"""Patrol: a little of the chain is verified every minute, round after round, so that harm is not found by chance only.

``remediator ledger verify`` does all of it at once. What the patrol finds stays told, once a minute, until the daemon
is started anew: a ledger that was changed does not become true again by waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from remediator.core.chain import Audit
from remediator.flow.forgive import forgive
from remediator.model.errors import PortError
from remediator.model.seal import Finding, Seal, StoredEntry
from remediator.ports.clock import Clock
from remediator.ports.observer import Observer, StageEvent
from remediator.ports.seals import SealReader

EVERY_S = 60.0
ENTRIES = 1000
"""Verified in one go: ten milliseconds of work, four seals at a time."""

_SEALS = 4
MOST_TOLD = 10


@dataclass(slots=True, kw_only=True)
class Patrol:
    """``gauge`` takes how many faults were found."""

    reader: SealReader
    clock: Clock
    observer: Observer
    gauge: Callable[[int], None]
    _audit: Audit = field(default_factory=Audit)
    _found: list[Finding] = field(default_factory=list)

    async def run(self) -> None:
        """Walk for ever."""
        while True:
            await self.clock.sleep(EVERY_S)
            try:
                await self.step()
            except PortError as error:
                forgive(error, "the patrol of the ledger")
                self._tell("trouble", error=str(error))

    async def step(self) -> bool:
        """Verify the next stretch; tell whether the end was reached, and the next round begins."""
        seals = await self.reader.seals(self._audit.before.number if self._audit.before else 0, _SEALS)
        for seal in seals:
            found = self._audit.check(seal, await covered(self.reader, self._audit, seal))
            room = MOST_TOLD - len(self._found)
            self._found += [one for one in found if one not in self._found][:room]
        if not seals:
            self._audit = Audit()
        self.gauge(len(self._found))
        for one in self._found:
            self._tell("tampered", seal=one.seal, seq=one.seq, detail=one.message)
        return not seals

    def _tell(self, outcome: str, **fields: object) -> None:
        self.observer.tell(StageEvent(stage="patrol", outcome=outcome, fields=dict(fields)))


async def covered(reader: SealReader, audit: Audit, seal: Seal) -> list[StoredEntry]:
    """Return the entries that are where a seal covers, read page by page."""
    after, upto = audit.covers(seal)
    entries: list[StoredEntry] = []
    while page := await reader.stored(after, upto, ENTRIES):
        entries += page
        after = page[-1].seq
        if len(page) < ENTRIES:
            break
    return entries
