"""A Prometheus that answers what a test says, and a poller's lane that ticks when the test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from msgspec import structs

from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.thresholds import LedgerThresholdStore
from remediator.core import vital_signs
from remediator.flow.measuring import Watch
from remediator.flow.parts import Parts
from remediator.flow.poll import Poll
from remediator.intake.asked import read_labels
from remediator.model.measure import Answer, Sample, Unseen
from remediator.model.policy import Policy
from remediator.model.rule import Matcher, MatchOp, Recovery, Rule, Threshold
from remediator.ports.measuring import Query
from tests.flow.rig import ROOMY, Rig, a_rule, rig

T = TypeVar("T")
ROW = "cpu-usage"
SIGNS = vital_signs.expression(300.0)


def a_row(**changes: object) -> Rule:
    """Return a row that restarts what uses 70 percent, as soon as it is seen, and is over when it is seen below."""
    base = a_rule(
        name=ROW,
        match=(Matcher(label="alertname", op=MatchOp.EQUAL, value=ROW),),
        threshold=Threshold(expr="sum by (x) (y)", unit="percent", warning=70, critical=85, for_s=0),
        recover=Recovery(for_s=0, within_s=600),
    )
    return structs.replace(base, **changes)


@dataclass
class Says:
    """Implements ports.measuring.Prometheus by a table: deployments and their values, or why there is no answer."""

    values: dict[str, float] = field(default_factory=dict)
    problem: Unseen | None = None
    signs: Unseen | None = None
    asked: list[Query] = field(default_factory=list)

    async def ask(self, query: Query, work: Callable[[Answer], T]) -> T:
        """Answer."""
        self.asked.append(query)
        return await asyncio.to_thread(work, self._answer(query))

    def _answer(self, query: Query) -> Answer:
        now = query.at.timestamp()
        if query.expr == SIGNS:
            signs = {"newest": now, "earlier": now - 300}
            samples = tuple(Sample(labels={"sign": name}, value=value) for name, value in signs.items())
            return Answer(problem=self.signs) if self.signs else Answer(samples=samples)
        if self.problem is not None:
            return Answer(problem=self.problem, detail="p:9090")
        labels = ({"namespace": "backstage", "deployment": name} for name in self.values)
        return Answer(
            samples=tuple(
                Sample(labels=one, value=value, at=now) for one, value in zip(labels, self.values.values(), strict=True)
            )
        )


@dataclass
class Measured:
    """The rig, the poller on it, and what it asks."""

    r: Rig
    watch: Watch
    says: Says
    poll: Poll

    async def tick(self, *, passed_s: float = 0.0, settle: bool = True) -> None:
        """Let a tick be due and do it, as if so many seconds had passed; then let the lanes settle."""
        await self.r.sql.execute("UPDATE remediator.duties SET due_at = now(), owner = 'test' WHERE name = 'poller'")
        if passed_s:
            await self.age(passed_s)
        await self.poll.step()
        if settle:
            await self.r.settle()

    async def age(self, seconds: float) -> None:
        """Let all that the poller has written down be older."""
        for table, columns in (
            ("threshold_rows", ("looked_at", "known_at", "unknown_since")),
            ("threshold_series", ("fired_at", "level_at", "calm_since", "unknown_since")),
        ):
            moved = ", ".join(f"{name} = {name} - make_interval(secs => $1)" for name in columns)
            await self.r.sql.execute(f"UPDATE remediator.{table} SET {moved}", seconds)  # noqa: S608 - our own names
        self.poll = Poll(self.r.parts, self.poll.bells, self.watch)


@asynccontextmanager
async def measured(database: str, *rules: Rule, policy: Policy = ROOMY, loans: bool = False) -> AsyncIterator[Measured]:
    """Set it up. ``loans``: what is lent is known, too."""
    says = Says()
    async with open_pools(database) as pools:
        watch = Watch(
            store=LedgerThresholdStore(pools.stages, pools.leases),
            prometheus=says,
            read_labels=read_labels,
            interval_s=15.0,
            unknown_after_s=600.0,
            settle_s=300.0,
        )

        def dress(parts: Parts) -> Parts:
            # Verification asks the store; the lane of the pipeline finds that no tick is due.
            return replace(parts, watch=watch, loans=LedgerLoanStore(pools.stages, quiet_s=60) if loans else None)

        async with rig(database, *(rules or (a_row(),)), policy=policy, dress=dress) as r:
            yield Measured(r=r, watch=watch, says=says, poll=Poll(r.parts, r.line.bells, watch))
