"""``slow``: an API server that takes 50 ms for every answer costs time, and neither order nor intake.

How much is done at once bounds what can be done a second: so many requests, each so long. So does the machine, which is
measured where the API answers at once. The ratio says how much of the lower of the two is reached. And while the daemon
waits for the API, it takes alerts as quickly as ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bench.acting import OURS, Outcome, Work, play
from bench.database import Databases, databases
from bench.report import Report, alternate
from bench.rulefiles import write_restart_rule
from bench.statistics import median, median_ratio, percentile
from bench.table import Cell, Goal

DELAY_S = 0.05
ALLOWED = {4: 150, 16: 500, 64: 1500}
LEAST = 0.7
MOST = 1.5
RATE = 50.0
SCALING = ("allowed at once", "actions/s", "requests/action", "possible/s", "ratio", "to the least", "CPU us/action")
INTAKE = ("API server", "ack p50 ms", "ack p99 ms", "PATCH p50 ms", "PATCH p99 ms", "ratio of p99")
QUICK, SLOW = "answers at once", f"answers after {DELAY_S * 1000:g} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``allowed``: for each concurrency, how many alerts; ``alerts`` while intake is measured."""

    rounds: int
    allowed: dict[int, int]
    alerts: int


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about a minute and a half a round, or some seconds."""
    if quick:
        return Size(rounds=1, allowed={4: 40, 16: 100}, alerts=100)
    return Size(rounds=rounds, allowed=ALLOWED, alerts=500)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rules = write_restart_rule(folder / "rules")
    async with databases(folder / "postgres") as server:
        await _scaling(folder, rules, server, wanted, report)
        await _intake(folder, rules, server, wanted, report)


async def _scaling(folder: Path, rules: Path, server: Databases, wanted: Size, report: Report) -> None:
    found: dict[int, list[Outcome]] = {allowed: [] for allowed in wanted.allowed}
    unbound: list[Outcome] = []
    goals: list[Goal] = []
    for number in range(wanted.rounds):
        for allowed in alternate(tuple(found), number):
            work = Work(alerts=wanted.allowed[allowed], stub=True, delay_s=DELAY_S, concurrency=allowed)
            found[allowed].append(await play(OURS, work, server, rules, folder / f"c{allowed}r{number}"))
        work = Work(alerts=wanted.allowed[max(found)], stub=True, concurrency=max(found))
        unbound.append(await play(OURS, work, server, rules, folder / f"c0r{number}"))
    least = [one.rate for one in found[min(found)]]
    rows: list[tuple[Cell, ...]] = []
    for allowed, rounds in found.items():
        rates = [one.rate for one in rounds]
        each = [one.requests / wanted.allowed[allowed] for one in rounds]
        possible = [min(allowed / DELAY_S / requests, free.rate) for requests, free in zip(each, unbound, strict=True)]
        ratio = median_ratio(rates, possible)
        cpu_us = median([one.cpu_us for one in rounds])
        figures = median(rates), median(each), median(possible), ratio, median_ratio(rates, least), cpu_us
        rows.append((f"{allowed}", *figures))
        goals.append(Goal(f"actions/s to what is possible, {allowed} requests at once", ratio, LEAST))
    rates, cpu_us = [one.rate for one in unbound], median([one.cpu_us for one in unbound])
    name, nothing = f"{max(found)}, answered at once", math.nan
    rows.append((name, median(rates), nothing, nothing, nothing, median_ratio(rates, least), cpu_us))
    report.table(f"Actions while every answer of the API takes {DELAY_S * 1000:g} ms, closed loop", SCALING, rows)
    for goal in goals:
        report.goal(goal)
    _tell({**found, 0: unbound}, report)


async def _intake(folder: Path, rules: Path, server: Databases, wanted: Size, report: Report) -> None:
    delays = {QUICK: 0.0, SLOW: DELAY_S}
    found: dict[str, list[Outcome]] = {name: [] for name in delays}
    for number in range(wanted.rounds):
        for place, name in enumerate(alternate(tuple(delays), number)):
            work = Work(alerts=wanted.alerts, rate=RATE, connections=32, stub=True, delay_s=delays[name])
            found[name].append(await play(OURS, work, server, rules, folder / f"i{number}p{place}"))
    p99 = {name: [percentile(one.ack_ms, 99) for one in rounds] for name, rounds in found.items()}
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            median([percentile(one.ack_ms, 50) for one in rounds]),
            median(p99[name]),
            *(median([percentile(one.action_ms, percent) for one in rounds]) for percent in (50, 99)),
            median_ratio(p99[name], p99[QUICK]),
        )
        for name, rounds in found.items()
    ]
    report.table(f"Intake beside a slow API, {RATE:g} alerts/s, open loop", INTAKE, rows)
    ratio = median_ratio(p99[SLOW], p99[QUICK])
    report.goal(Goal("intake p99 beside a slow API to that beside a quick one", ratio, MOST, most=True, unit=" x"))
    _tell(found, report)


def _tell(found: dict[int, list[Outcome]] | dict[str, list[Outcome]], report: Report) -> None:
    """Say what must hold in every round."""
    rounds = [one for many in found.values() for one in many]
    report.must("writes done twice", sum(one.duplicates for one in rounds), 0)
    report.must("alerts without a write", sum(one.missing for one in rounds), 0)
    report.must("bodies not answered 200", sum(one.refused for one in rounds), 0)
