"""``poll``: what a tick of the threshold table costs for many series, and how long the event loop waits for it.

The stage, the client and the database are the daemon's own; Prometheus is a stub in a process of its own, so that its
work is not counted. A task beside the stage looks every millisecond how late it is.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg

from bench import proc
from bench.database import Databases, databases
from bench.lines import Program, made, program
from bench.report import Report
from bench.statistics import median
from bench.table import Cell, Goal
from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.migrate import migrate
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.thresholds import LedgerThresholdStore
from remediator.adapters.observer import Telemetry
from remediator.adapters.prometheus import Reach, ThreadedPrometheus
from remediator.core.match import RuleIndex
from remediator.flow.bells import Bells
from remediator.flow.measuring import Watch
from remediator.flow.poll import Poll
from remediator.intake.asked import read_labels
from remediator.model.rule import Matcher, MatchOp, Rule, RuleSet, Rung, Severity, TargetSpec, Threshold
from remediator.model.target import Kind

COUNTS = (100, 1000, 10_000)
MOST_MS = 50.0
HEAD = ("series", "what", "tick ms", "CPU ms", "loop late ms", "loop late at most ms", "MB more")
IDLE, NEW, WELL, SICK, FIRING = "no tick", "seen first", "well", "all turn", "all fire on"
_BEAT_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How often, for how many series, and how many ticks of a kind that repeats itself."""

    rounds: int
    counts: tuple[int, ...] = COUNTS
    ticks: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One tick."""

    ms: float
    cpu_ms: float
    late_ms: float
    more_mb: float


@dataclass(slots=True)
class Beat:
    """How late the loop has been at most since it was last asked, in milliseconds."""

    late_ms: float = 0.0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_BEAT_S)
            self.late_ms = max(self.late_ms, 1000 * (time.perf_counter() - before - _BEAT_S))


@dataclass(frozen=True, slots=True)
class Book:
    """One row, whose series all belong to it."""

    rule: Rule
    index: RuleIndex = field(init=False)

    def __post_init__(self) -> None:
        """Index it."""
        object.__setattr__(self, "index", RuleIndex.build((self.rule,)))

    def current(self) -> RuleSet:
        """Return the set."""
        return RuleSet(rules=(self.rule,), digest="bench")

    def matching(self, labels: dict[str, str]) -> tuple[Rule, ...]:
        """Return what matches."""
        return self.index.matching(labels)


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about a minute, or some seconds."""
    return Size(rounds=1, counts=(100, 1000), ticks=2) if quick else Size(rounds=rounds)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    found: dict[tuple[int, str], list[Cost]] = {}
    # As the daemon does at its start.
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    async with databases(folder / "postgres") as server:
        for number in range(wanted.rounds):
            for count in wanted.counts:
                run = made(folder / f"s{count}r{number}")
                for name, costs in (await _round(run, server, count, wanted.ticks)).items():
                    found.setdefault((count, name), []).extend(costs)
    report.table(f"A tick, {wanted.rounds} rounds", HEAD, [_row(*key, costs) for key, costs in found.items()])
    for count in wanted.counts:
        kinds = [costs for (of, name), costs in found.items() if of == count and name != IDLE]
        late = max(median([cost.late_ms for cost in costs]) for costs in kinds)
        report.goal(Goal(f"loop late in the middle of ticks, {count:,} series", late, MOST_MS, most=True, unit=" ms"))


async def _round(folder: Path, server: Databases, count: int, ticks: int) -> dict[str, list[Cost]]:
    async with (
        server.fresh(f"poll_{folder.name}") as dsn,
        program("prometheus", [str(count)], folder / "stub.log") as stub,
        _poller(dsn, stub) as poll,
    ):
        due = await asyncpg.connect(dsn)
        beat = Beat()
        try:
            async with asyncio.TaskGroup() as beside:
                beating = beside.create_task(beat.run())
                costs = {IDLE: [await _idle(beat) for _ in range(ticks)], NEW: [await _tick(poll, due, beat)]}
                costs[WELL] = [await _tick(poll, due, beat) for _ in range(ticks)]
                await stub.ask("sick")
                costs[SICK] = [await _tick(poll, due, beat)]
                costs[FIRING] = [await _tick(poll, due, beat) for _ in range(ticks)]
                beating.cancel()
        finally:
            await due.close()
    return costs


@asynccontextmanager
async def _poller(dsn: str, stub: Program) -> AsyncIterator[Poll]:
    await migrate(dsn)
    prometheus = ThreadedPrometheus(Reach(url=stub.ready["url"], total_s=30.0, read_s=20.0))
    try:
        async with open_pools(dsn) as pools:
            watch = Watch(
                store=LedgerThresholdStore(pools.stages, pools.leases),
                prometheus=prometheus,
                read_labels=read_labels,
                interval_s=15.0,
                unknown_after_s=600.0,
                settle_s=300.0,
            )
            # Of all the parts of a daemon, the stage uses these.
            parts = SimpleNamespace(owner="bench", clock=SystemClock(), observer=_Quiet(), rulebook=Book(_rule()))
            yield Poll(cast("Any", parts), Bells(), watch)
    finally:
        prometheus.close()


class _Quiet(Telemetry):
    """Counts, and writes no lines between those of the report."""

    def __init__(self) -> None:
        super().__init__()
        self._log = SimpleNamespace(is_enabled_for=lambda _level: False)


async def _tick(poll: Poll, due: asyncpg.Connection[asyncpg.Record], beat: Beat) -> Cost:
    await due.execute("UPDATE remediator.duties SET due_at = now() WHERE name = 'poller'")
    await asyncio.sleep(0.05)
    beat.late_ms, before_mb, before_cpu = 0.0, proc.rss_mb([os.getpid()]), time.process_time()
    began = time.perf_counter()
    await poll.step()
    ms = 1000 * (time.perf_counter() - began)
    await asyncio.sleep(0.01)
    return Cost(
        ms=ms,
        cpu_ms=1000 * (time.process_time() - before_cpu),
        late_ms=beat.late_ms,
        more_mb=proc.rss_mb([os.getpid()]) - before_mb,
    )


async def _idle(beat: Beat) -> Cost:
    """Do nothing for as long as a tick takes: what the loop is late with then, the machine is late with."""
    beat.late_ms = 0.0
    await asyncio.sleep(0.3)
    return Cost(ms=300.0, cpu_ms=0.0, late_ms=beat.late_ms, more_mb=0.0)


def _rule() -> Rule:
    return Rule(
        name="cpu-usage",
        match=(Matcher(label="alertname", op=MatchOp.REGEX, value="cpu-usage|CPUUsageHigh"),),
        severity=Severity.P3,
        target=TargetSpec(namespaces=("team-00",), kinds=(Kind.DEPLOYMENT,)),
        ladder=(Rung(action="investigate", parameters={}),),
        threshold=Threshold(expr="sum by (x) (y)", unit="percent", warning=70, critical=85, for_s=0),
    )


def _row(count: int, name: str, costs: list[Cost]) -> tuple[Cell, ...]:
    return (
        f"{count:,}",
        name,
        median([cost.ms for cost in costs]),
        median([cost.cpu_ms for cost in costs]),
        median([cost.late_ms for cost in costs]),
        max(cost.late_ms for cost in costs),
        max(cost.more_mb for cost in costs),
    )
