"""``actions``: how many workloads a second are acted on when far more alerts come than that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.acting import LIMIT, NAMES, OURS, Outcome, Work, play, tell_exactness
from bench.database import databases
from bench.report import Report, alternate
from bench.rulefiles import write_restart_rule
from bench.statistics import median, median_ratio, percentile
from bench.table import Cell, Goal

LEAST = 0.3
HEAD = ("system", "actions/s", "PATCH p50 ms", "PATCH p99 ms", "CPU us/action", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Rounds of some work."""

    rounds: int
    work: Work


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: some seconds a round, or one."""
    return Size(rounds=1 if quick else rounds, work=Work(alerts=100 if quick else 1500, stub=True))


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rules = write_restart_rule(folder / "rules")
    found: dict[str, list[Outcome]] = {name: [] for name in NAMES}
    async with databases(folder / "postgres") as server:
        for number in range(wanted.rounds):
            for name in alternate(NAMES, number):
                run = folder / f"r{number}s{NAMES.index(name)}"
                found[name].append(await play(name, wanted.work, server, rules, run))
    rates = {name: [one.rate for one in rounds] for name, rounds in found.items()}
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            median(rates[name]),
            *(median([percentile(one.action_ms, percent) for one in rounds]) for percent in (50, 99)),
            median([one.cpu_us for one in rounds]),
            median_ratio(rates[name], rates[LIMIT]),
        )
        for name, rounds in found.items()
    ]
    report.table(f"Actions to distinct targets, {wanted.work.alerts} alerts, closed loop, stub of the API", HEAD, rows)
    report.goal(Goal("actions/s, daemon to limit", median_ratio(rates[OURS], rates[LIMIT]), LEAST))
    tell_exactness(found, report)
