"""The match stage's transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.endings import lock_admission
from remediator.adapters.ledger.errors import LedgerReason
from remediator.adapters.ledger.pool import Connection, LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.model.incident import Candidate, Cause
from remediator.model.signal import AlertState, StoredSignal
from remediator.ports.matching import AlertKey, Judge, JudgeAgain, Matched, MatchReport, NewCandidate

FEW = 8
"""Up to so many signals are matched under the admission's lock from the start, where it is free."""

REFUSED = frozenset({LedgerReason.DATA, LedgerReason.CONFLICT})
MOST_ASIDE = 20
ASIDE_S = 3600.0
"""How many signals are put aside at most within so many seconds."""


class _Made(Struct, frozen=True):
    id: int
    rule: str
    source: str
    fingerprint: str
    first_seen_at: datetime


_made = msgspec.json.Decoder(tuple[_Made, ...])


class LedgerMatchStore:
    """Implements ports.matching.MatchStore."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool
        self._aside: deque[float] = deque()

    async def match(self, limit: int, judge: Judge) -> MatchReport:
        """Match up to ``limit`` signals; ``busy`` where another replica has been matching for all the time.

        What the database refuses for its data is halved until it stands alone, and put aside then: people are told, and
        the others go on. Where that happens often it is not the data: then all wait.
        """
        taken: list[int] = []

        def judging(signals: tuple[StoredSignal, ...], states: dict[AlertKey, AlertState]) -> Matched:
            taken[:] = [signal.id for signal in signals]
            return judge(signals, states)

        while True:
            try:
                return await self._match(limit, judging)
            except LedgerError as error:
                if error.reason not in REFUSED or not taken or self._too_many():
                    raise
                if len(taken) == 1:
                    await self._put_aside(taken[0], str(error))
                    return MatchReport(count=1)
                limit = len(taken) // 2
                taken.clear()

    def _too_many(self) -> bool:
        now = asyncio.get_running_loop().time()
        while self._aside and self._aside[0] < now - ASIDE_S:
            self._aside.popleft()
        return len(self._aside) >= MOST_ASIDE

    async def _put_aside(self, signal: int, reason: str) -> None:
        self._aside.append(asyncio.get_running_loop().time())
        async with transaction(self._pool, QUERIES["lock_matching"]) as connection:
            found = await connection.fetchrow(QUERIES["put_signal_aside"], signal, reason)
            if found is None:
                return
            summary = f"{found['name']} ({found['status']}) was taken and cannot be judged, it was put aside: {reason}"
            data = {"source": found["source"], "fingerprint": found["fingerprint"], "path": f"signal {signal}"}
            entry = NewEntry(kind=EntryKind.SIGNAL_QUARANTINED, summary=summary, data={**data, "reason": reason})
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
            message = {"incident": None, "payload": _message(summary)}
            await connection.execute(QUERIES["put_outbox"], rows.as_json([message]))

    async def _match(self, limit: int, judge: Judge) -> MatchReport:
        mine = False
        try:
            async with transaction(self._pool, QUERIES["lock_matching"]) as connection:
                mine = True
                waiting = await connection.fetch(QUERIES["take_signals"], limit, FEW)
                if not waiting:
                    return MatchReport()
                signals = tuple(rows.stored_signal(row) for row in waiting)
                made = judge(signals, _states(waiting))
                if (made.candidates or made.resolved) and not waiting[0]["alone"]:
                    # Else a decision under way could end the candidate that stands for a new episode, unaware of it.
                    await lock_admission(connection)
                leased = await _write(connection, made, [signal.id for signal in signals])
        except LedgerError as error:
            if mine or not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                raise
            return MatchReport(busy=True)
        return MatchReport(count=len(signals), leased=leased)

    async def match_again(self, after: AlertKey, limit: int, judge: JudgeAgain) -> AlertKey | None:
        """Look at up to ``limit`` firing alerts after a key; return the last of them, None at the end."""
        async with transaction(self._pool) as connection:
            found = await connection.fetch(QUERIES["firing_alerts"], *after, limit)
            states = tuple(rows.alert_state(row) for row in found)
            candidates = judge(states)
            if candidates:
                await lock_admission(connection)
                await _write(connection, Matched(candidates=candidates), [])
        return (states[-1].source, states[-1].fingerprint) if states else None

    async def rules_held(self) -> dict[str, str]:
        """Return the hash of each rule that all that fires has been held against."""
        async with transaction(self._pool) as connection:
            return {row["rule"]: row["digest"] for row in await connection.fetch(QUERIES["rules_held"])}

    async def hold_rules(self, digests: Mapping[str, str]) -> None:
        """Remember these rules in place of all others."""
        async with transaction(self._pool, QUERIES["lock_matching"]) as connection:
            await connection.execute(QUERIES["hold_rules"], list(digests), list(digests.values()))


def _message(summary: str) -> dict[str, Any]:
    """Return what people are told of an alert that nobody will look after."""
    return {
        "incident": None,
        "title": "an alert cannot be judged",
        "severity": "P2",
        "target": "",
        "rule": "",
        "action": None,
        "message": summary,
        "urgent": True,
    }


def _states(waiting: Sequence[rows.Row]) -> dict[AlertKey, AlertState]:
    return {(row["source"], row["fingerprint"]): rows.state_beside(row) for row in waiting if row["state"] is not None}


async def _write(connection: Connection, made: Matched, judged: Sequence[int]) -> tuple[Candidate, ...]:
    """Write a batch, and return the candidates that are leased for us. New ones and ends need ``lock_admission``."""
    if made.resolved:
        # Actions before incidents before candidates: the order in which an action's end locks them, too.
        ended = [key[0] for key in made.resolved], [key[1] for key in made.resolved]
        await connection.execute(QUERIES["hasten_verification"], *ended)
        await connection.execute(QUERIES["hasten_incidents"], *ended)
    (row,) = await connection.fetch(
        QUERIES["record_matched"],
        rows.as_json(made.states),
        rows.as_json(made.candidates),
        rows.entries_json(made.entries),
        judged,
        made.lease_s,
    )
    if row["leased"] is None:
        return ()
    wanted = {(new.rule, new.source, new.fingerprint): new for new in made.candidates}
    leased = _made.decode(row["leased"])
    return tuple(_candidate(one, wanted[(one.rule, one.source, one.fingerprint)]) for one in leased)


def _candidate(stored: _Made, new: NewCandidate) -> Candidate:
    return Candidate(
        id=stored.id,
        cause=Cause.SIGNAL,
        rule=new.rule,
        rung=0,
        source=new.source,
        fingerprint=new.fingerprint,
        labels=new.labels,
        first_seen_at=stored.first_seen_at,
    )
