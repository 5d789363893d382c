"""``memory``: what the daemon keeps in memory of alerts that fire for long, and what their repetition writes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from bench import proc
from bench.daemon import Daemon, Setup, daemon
from bench.database import databases, fetch
from bench.lines import BenchFailedError, program
from bench.load import Plan, Sent
from bench.report import Report
from bench.rulefiles import write_idle_rules
from bench.statistics import median
from bench.table import Cell, Goal
from remediator.adapters.clock import SystemClock

MOST_MB = 100.0
PER_BODY = 100
RULES = 10
QUIET_S = 1.0
IDLE_CPU = 0.05
LATEST_S = 240.0
HEAD = ("when", "RSS MB", "growth MB", "took s", "CPU us/alert", "rows")
TABLES = ("signals", "inbox", "alerts", "ledger", "candidates", "incidents", "outbox", "quarantine")
BEFORE, FIRST, AGAIN, CHANGED = "at rest", "all fire", "all are repeated", "after a reload"
OK = 200
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``alerts`` that fire at the same time."""

    rounds: int
    alerts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was so when a step had been done. ``peak_mb``: the most that was in use until then."""

    rss_mb: float
    peak_mb: float
    rows: dict[str, int]
    took_s: float = 0.0
    cpu_s: float = 0.0


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about a minute a round; a third of the rounds, for memory is steady."""
    return Size(rounds=1, alerts=2000) if quick else Size(rounds=max(1, rounds // 3), alerts=100_000)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rounds: list[dict[str, Moment]] = []
    async with databases(folder / "postgres") as server:
        for number in range(wanted.rounds):
            place = folder / f"r{number}"
            rules = write_idle_rules(place / "rules", RULES)
            async with (
                server.fresh(f"memory_{number}") as dsn,
                daemon(Setup(folder=place, rules=rules, dsn=dsn)) as ours,
            ):
                rounds.append(await _round(ours, dsn, wanted.alerts))
    report.table(
        f"{wanted.alerts:,} alerts that fire at the same time, {wanted.rounds} rounds",
        HEAD,
        [_row(name, rounds, wanted.alerts) for name in rounds[0]],
    )
    growth = median([max(one.peak_mb for one in found.values()) - found[BEFORE].rss_mb for found in rounds])
    report.goal(Goal("growth of RSS at its peak", growth, MOST_MB, most=True, unit=" MB"))
    written = {table: max(found[AGAIN].rows[table] - found[FIRST].rows[table] for found in rounds) for table in TABLES}
    report.must(f"rows that the repetition wrote to {', '.join(TABLES)}", sum(written.values()), 0)
    for found in rounds:
        report.must("alerts that are rows", found[FIRST].rows["alerts"], wanted.alerts)


def _row(name: str, rounds: list[dict[str, Moment]], alerts: int) -> tuple[Cell, ...]:
    took = median([found[name].took_s for found in rounds])
    return (
        name,
        median([found[name].rss_mb for found in rounds]),
        median([found[name].rss_mb - found[BEFORE].rss_mb for found in rounds]),
        took,
        median([found[name].cpu_s * 1e6 / alerts for found in rounds]),
        sum(rounds[-1][name].rows.values()),
    )


async def _round(ours: Daemon, dsn: str, alerts: int) -> dict[str, Moment]:
    """Have all alerts fire, be repeated as Alertmanager does every few minutes, and be held against changed rules."""
    starts_at = SystemClock().now()
    found = {BEFORE: await _moment(ours, dsn)}
    for name in (FIRST, AGAIN):
        began, cpu_s = time.monotonic(), proc.cpu_s([ours.pid])
        await _send(ours, starts_at, alerts)
        await _until_matched(dsn)
        found[name] = await _moment(ours, dsn, began, cpu_s)
    began, cpu_s = time.monotonic(), proc.cpu_s([ours.pid])
    await _change_rules(ours.setup.rules, dsn)
    found[CHANGED] = await _moment(ours, dsn, began, cpu_s)
    return found


async def _moment(ours: Daemon, dsn: str, began: float = 0.0, cpu_s: float = 0.0) -> Moment:
    took_s = time.monotonic() - began if began else 0.0
    await _quiet(ours)
    used_s = proc.cpu_s([ours.pid]) - cpu_s if began else 0.0
    rows = {str(table): int(count) for table, count in await fetch(dsn, "daemon_rows")}
    return Moment(
        rss_mb=proc.rss_mb([ours.pid]), peak_mb=proc.peak_mb(ours.pid), rows=rows, took_s=took_s, cpu_s=used_s
    )


async def _quiet(ours: Daemon) -> None:
    """Wait until it has nothing left to do: what alerts are held against after a reload is seen nowhere else."""
    ends = time.monotonic() + LATEST_S
    while time.monotonic() < ends:
        before = proc.cpu_s([ours.pid])
        await asyncio.sleep(QUIET_S)
        if proc.cpu_s([ours.pid]) - before < IDLE_CPU * QUIET_S:
            return
    raise BenchFailedError(f"the daemon still works {LATEST_S:.0f} s after the last alert")


async def _send(ours: Daemon, starts_at: datetime, alerts: int) -> None:
    """Post every alert once; what has the same run and the same beginning is the same alert."""
    plan = Plan(
        port=ours.port,
        run="memory",
        starts_at=starts_at,
        bodies=alerts // PER_BODY,
        per_body=PER_BODY,
        connections=4,
        token=ours.setup.token,
    )
    log = ours.setup.folder / "load.log"
    async with program("load", [msgspec.json.encode(plan).decode()], log) as load:
        sent = msgspec.convert(await load.ask("go", LATEST_S), Sent)
    if set(sent.status) != {OK}:
        raise BenchFailedError(f"bodies of {PER_BODY} alerts were answered {sorted(set(sent.status))}")


async def _until_matched(dsn: str) -> None:
    ends = time.monotonic() + LATEST_S
    while (await fetch(dsn, "daemon_behind"))[0][0]:
        if time.monotonic() > ends:
            raise BenchFailedError(f"not all alerts were matched within {LATEST_S:.0f} s")
        await asyncio.sleep(_LOOK_S)


async def _change_rules(rules: Path, dsn: str) -> None:
    """Add a rule, so that everything that fires is held against it."""
    before = (await fetch(dsn, "daemon_rule_loads"))[0][0]
    write_idle_rules(rules / "more", RULES + 1)
    (rules / "more" / "idle-000000.yaml").replace(rules / "idle-000000.yaml")
    ends = time.monotonic() + LATEST_S
    while (await fetch(dsn, "daemon_rule_loads"))[0][0] == before:
        if time.monotonic() > ends:
            raise BenchFailedError(f"the rules were not in force within {LATEST_S:.0f} s")
        await asyncio.sleep(_LOOK_S)
