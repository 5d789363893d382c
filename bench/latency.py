"""``latency``: how long from a webhook to the PATCH that it causes, guards, ledger and exactly-once included."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.acting import LIMIT, NAMES, OURS, Outcome, Work, play, tell_exactness
from bench.database import databases
from bench.report import Report, alternate
from bench.rulefiles import write_restart_rule
from bench.statistics import median, median_ratio, percentile
from bench.table import Cell, Goal

RATE = 20.0
MOST = 3.0
HEAD = ("system", "ack p50 ms", "ack p99 ms", "PATCH p50 ms", "PATCH p99 ms", "CPU us/alert", "RSS MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rounds of some work."""

    rounds: int
    work: Work


def size(*, quick: bool, rounds: int, stub: bool) -> Size:
    """Return what to do: ten seconds a round, or two."""
    work = Work(alerts=40 if quick else 200, rate=RATE, connections=32, stub=stub)
    return Size(rounds=1 if quick else rounds, work=work)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rules = write_restart_rule(folder / "rules")
    found: dict[str, list[Outcome]] = {name: [] for name in NAMES}
    async with databases(folder / "postgres") as server:
        for number in range(wanted.rounds):
            for name in alternate(NAMES, number):
                run = folder / f"r{number}s{NAMES.index(name)}"
                found[name].append(await play(name, wanted.work, server, rules, run))
    place = "a stub" if wanted.work.stub else "the sandbox cluster"
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(_figure(rounds, "ack_ms", percent) for percent in (50, 99)),
            *(_figure(rounds, "action_ms", percent) for percent in (50, 99)),
            median([one.cpu_us for one in rounds]),
            median([one.rss_mb for one in rounds]),
        )
        for name, rounds in found.items()
    ]
    report.table(f"From webhook to PATCH at {place}, {RATE:g} alerts/s, open loop", HEAD, rows)
    for percent in (50, 99):
        ours, limit = (_percentiles(found[name], "action_ms", percent) for name in (OURS, LIMIT))
        ratio = median_ratio(ours, limit)
        report.goal(Goal(f"webhook to PATCH, p{percent}, daemon to limit", ratio, MOST, most=True, unit=" x"))
    tell_exactness(found, report)


def _percentiles(rounds: list[Outcome], what: str, percent: float) -> list[float]:
    return [percentile(getattr(one, what), percent) for one in rounds]


def _figure(rounds: list[Outcome], what: str, percent: float) -> float:
    return median(_percentiles(rounds, what, percent))
