"""Assess: candidates get their facts, many at once; the only reads before a decision."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Self

from msgspec import Struct, field

from remediator.actions.catalogue import needs_surroundings
from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.flow.reading import facts_within
from remediator.flow.returning import return_facts
from remediator.flow.undo import undo_facts
from remediator.model.case import Assessed
from remediator.model.facts import Facts
from remediator.model.incident import Candidate, Cause
from remediator.ports.matching import NewCandidate
from remediator.ports.observer import StageEvent

Key = tuple[str, str, str]


class Ahead(Struct):
    """Candidates whose facts are being read while they are still being stored; ``settle`` says what became of them."""

    stored: dict[Key, asyncio.Future[Candidate | None]] = field(default_factory=dict)

    def settle(self, leased: Iterable[Candidate]) -> None:
        """Tell which are stored, and ours to decide about; what was read for the others is forgotten."""
        mine = {_key(candidate): candidate for candidate in leased}
        for key, future in self.stored.items():
            if not future.done():
                future.set_result(mine.get(key))


class Assess:
    """The stage. What it has assessed waits in ``ready`` for the admit stage of this same process.

    A crash in between loses nothing: the candidate's lease ends, and its facts are read anew.
    """

    def __init__(self, parts: Parts, bells: Bells) -> None:
        """Start with nothing under way."""
        self.parts = parts
        self.bells = bells
        self.ready: deque[Assessed] = deque()
        self._under_way = 0
        self._more = False
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        """Open the group that owns the reads under way."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait for the reads under way."""
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]  # the three of the protocol

    async def step(self) -> int:
        """Take as many candidates as there is room for and begin to read; return how many."""
        room = self._room()
        if room <= 0:
            self._more = True
            return 0
        taken = await self.parts.stores.admission.take(room, self.parts.bounds.candidate_lease_s)
        self._more = len(taken) >= room
        for candidate in taken:
            self._under_way += 1
            self._tasks.create_task(self._read(candidate), name=f"assess-{candidate.id}")
        return len(taken)

    def read_ahead(self, wanted: Iterable[NewCandidate]) -> Ahead | None:
        """Begin to read for candidates that are being stored: the reads and the commit need not wait for each other.

        None where others wait already, who may be more severe, or where there is no room for all: then they are to be
        taken in their turn.
        """
        new = tuple(wanted)
        if not new or self._more or len(new) > self._room():
            return None
        ahead = Ahead()
        for one in new:
            self._under_way += 1
            stored: asyncio.Future[Candidate | None] = asyncio.get_running_loop().create_future()
            ahead.stored[_key(one)] = stored
            self._tasks.create_task(self._foresee(one, stored), name=f"assess-{one.rule}-{one.fingerprint}")
        return ahead

    def ring_for_more(self) -> None:
        """Take for several places at once: a take for each place that gets free would cost as much as the reads."""
        if self._more and self._room() >= max(1, self.parts.bounds.assess_concurrency // 4):
            self.bells.ring(Stage.ASSESS)

    def _room(self) -> int:
        bounds = self.parts.bounds
        return min(bounds.assess_concurrency - self._under_way, bounds.admit_batch * 4 - len(self.ready))

    async def _read(self, candidate: Candidate) -> None:
        try:
            facts = await self._facts(candidate)
        finally:
            self._under_way -= 1
        self._hand_on(candidate, facts)

    async def _foresee(self, new: NewCandidate, stored: asyncio.Future[Candidate | None]) -> None:
        try:
            facts = await self._facts(new)
            candidate = await stored
        finally:
            self._under_way -= 1
        if candidate is not None:
            self._hand_on(candidate, facts)
        self.ring_for_more()

    def _hand_on(self, candidate: Candidate, facts: Facts) -> None:
        self.ready.append(Assessed(candidate=candidate, facts=facts))
        self.bells.ring(Stage.ADMIT)
        self.ring_for_more()

    async def _facts(self, candidate: Candidate | NewCandidate) -> Facts:
        rule = self.parts.rulebook.named(candidate.rule)
        if rule is None:
            detail = f"rule {candidate.rule} is no longer in force"
            return Facts(read_at=self.parts.clock.now(), problem="rule_gone", detail=detail)
        began = self.parts.clock.monotonic()
        reader, target = self.parts.cluster.reader, rule.target

        async def read() -> Facts:
            if isinstance(candidate, Candidate) and candidate.cause is Cause.UNDO:
                return await undo_facts(self.parts, candidate)
            if isinstance(candidate, Candidate) and candidate.cause is Cause.RETURN:
                return await return_facts(self.parts, candidate)
            rung = candidate.rung if isinstance(candidate, Candidate) else 0
            around = needs_surroundings(rule, rung)
            _, found = await reader.resolve_and_read(candidate.labels, target, around=around)
            return found

        facts = await facts_within(self.parts, read)
        outcome = facts.problem or "read"
        seconds = self.parts.clock.monotonic() - began
        self.parts.observer.tell(StageEvent(stage="assess", outcome=outcome, seconds=seconds))
        return facts


def _key(candidate: Candidate | NewCandidate) -> Key:
    return candidate.rule, candidate.source, candidate.fingerprint
