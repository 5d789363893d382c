"""Assess: candidates get their facts, many at once; the only reads before a decision."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.flow.reading import facts_within
from remediator.model.case import Assessed
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.ports.observer import StageEvent


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
        room = self.parts.bounds.assess_concurrency - self._under_way
        backlog = self.parts.bounds.admit_batch * 4 - len(self.ready)
        limit = min(room, backlog)
        if limit <= 0:
            return 0
        taken = await self.parts.stores.admission.take(limit, self.parts.bounds.candidate_lease_s)
        for candidate in taken:
            self._under_way += 1
            self._tasks.create_task(self._read(candidate), name=f"assess-{candidate.id}")
        return len(taken)

    async def _read(self, candidate: Candidate) -> None:
        try:
            facts = await self._facts(candidate)
        finally:
            self._under_way -= 1
        self.ready.append(Assessed(candidate=candidate, facts=facts))
        self.bells.ring(Stage.ADMIT, Stage.ASSESS)

    async def _facts(self, candidate: Candidate) -> Facts:
        rule = self.parts.rulebook.named(candidate.rule)
        if rule is None:
            detail = f"rule {candidate.rule} is no longer in force"
            return Facts(read_at=self.parts.clock.now(), problem="rule_gone", detail=detail)
        began = self.parts.clock.monotonic()
        reader, target = self.parts.cluster.reader, rule.target

        async def read() -> Facts:
            _, found = await reader.resolve_and_read(candidate.labels, target)
            return found

        facts = await facts_within(self.parts, read)
        outcome = facts.problem or "read"
        seconds = self.parts.clock.monotonic() - began
        self.parts.observer.tell(StageEvent(stage="assess", outcome=outcome, seconds=seconds))
        return facts
