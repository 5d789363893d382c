"""The history of the rules: every rule set that came into force, and every one that did not, ends up in the ledger.

Rules are taken from files, so they change while the database is away, too. What happened then waits here and is written
down, in order and with its own time, when the database answers again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from remediator import redaction
from remediator.flow.forgive import forgive
from remediator.model.entry import NewEntry
from remediator.model.errors import PortError
from remediator.ports.clock import Clock
from remediator.ports.ledger import RuleSets
from remediator.ports.observer import Observer, StageEvent

MOST = 16
"""News that may wait; then the next reload waits for room, and what is in force stays so. Nothing is acted on without a
database anyway."""

LATE_S = 5.0
LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What became of one look at the rule files. ``digest`` and ``files``: the set that is in force from then on."""

    entry: NewEntry
    digest: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


class RuleHistory:
    """Writes news down, in order, each once; ``run`` does so in the background."""

    def __init__(self, rule_sets: RuleSets, clock: Clock, observer: Observer) -> None:
        """Begin with nothing to write."""
        self._rule_sets = rule_sets
        self._clock = clock
        self._observer = observer
        self._waiting: deque[tuple[datetime, News]] = deque()
        self._changed = asyncio.Condition()
        self._tried = False

    @property
    def waiting(self) -> int:
        """How many news are not written down yet."""
        return len(self._waiting)

    async def add(self, news: News) -> None:
        """Take news; waits while ``MOST`` are waiting already."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < MOST)
            self._waiting.append((self._clock.now(), news))
            self._changed.notify_all()

    async def run(self) -> None:
        """Write whatever comes, for ever; wait, ever longer, while the database does not take it."""
        troubles = 0
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
            if await self.write():
                troubles = 0
                continue
            await self._clock.sleep(min(0.5 * 2**troubles, LONGEST_PAUSE_S))
            troubles = min(troubles + 1, 10)

    async def write(self) -> bool:
        """Write what waits; tell whether all of it is written. Not to be called while ``run`` runs."""
        while self._waiting:
            happened, news = self._waiting[0]
            try:
                await self._write(happened, news)
            except PortError as error:
                forgive(error, "the history of the rules")
                fields = {"error": str(error), "waiting": len(self._waiting), "summary": news.entry.summary}
                self._observer.tell(StageEvent(stage="rule_history", outcome="unrecorded", fields=fields))
                return False
            self._waiting.popleft()
            self._tried = False
            async with self._changed:
                self._changed.notify_all()
        return True

    async def _write(self, happened: datetime, news: News) -> None:
        late = (self._clock.now() - happened).total_seconds()
        words = f"{news.entry.summary} (written down {late:.0f} s late: the database did not take it)"
        entry = structs.replace(
            news.entry,
            summary=words if late > LATE_S else news.entry.summary,
            data={**news.entry.data, "happened_at": happened.isoformat()},
        )
        # In a thread: the files of ten thousand rules are two megabytes, and looking through them takes a while.
        files = await asyncio.to_thread(_without_secrets, news.files)
        # Who is stopped, or loses the connection, in the middle of a commit does not know whether it happened.
        perhaps_kept, self._tried = self._tried, True
        await self._rule_sets.keep_rule_set(news.digest, files, entry, perhaps_kept=perhaps_kept)


def _without_secrets(files: Mapping[str, str]) -> dict[str, str]:
    """Return what the database may have of files. Their digest stays that of the files as they are."""
    return {name: redaction.text(text) for name, text in files.items()}
