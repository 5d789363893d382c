"""``replicas``: what a second daemon on the same database adds, when waiting is the bound and when the machine is.

A second daemon cannot do what the cores cannot: load, PostgreSQL and stub share them with the daemons, so ``at most``
says what all cores together could do at that cost of an action.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench import proc
from bench.acting import LATEST_S, Outcome, Work, cluster, judge, until_written, writes_of
from bench.daemon import Daemon, Setup, daemon
from bench.database import Databases, databases
from bench.lines import made, program
from bench.load import Plan, Sent
from bench.report import Report, alternate
from bench.rulefiles import write_restart_rule
from bench.statistics import median, median_ratio
from bench.table import Cell, Goal
from remediator.adapters.clock import SystemClock

COUNTS = (1, 2)
LEAST = 1.3
HEAD = (
    *("daemons", "actions/s", "ratio", "at most/s", "ours %", "others %"),
    *("us/action: daemons", "PostgreSQL", "stub", "load"),
)
WARM_S = 2.0
CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``works`` by title: what is done by one daemon and by two together."""

    rounds: int
    works: dict[str, Work]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of the work; CPU in seconds of each kind of process, and of the machine: busy and idle."""

    outcome: Outcome
    cpu_s: dict[str, float]
    machine_s: tuple[float, float]

    @property
    def shares(self) -> tuple[float, float]:
        """Return how much of the machine's cores these processes had, and how much all others, in percent."""
        busy, idle = self.machine_s
        ours = sum(self.cpu_s.values())
        return 100 * ours / (busy + idle), max(0.0, 100 * (busy - ours) / (busy + idle))

    @property
    def cost_us(self) -> dict[str, float]:
        """Return what an action cost, by kind of process."""
        return {name: seconds * 1e6 / len(self.outcome.action_ms) for name, seconds in self.cpu_s.items()}


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about half a minute a round, or some seconds."""
    waiting = Work(alerts=60 if quick else 400, stub=True, delay_s=0.05, concurrency=16)
    busy = Work(alerts=100 if quick else 2000, stub=True)
    titles = "Two daemons where the API takes 50 ms for an answer", "Two daemons where the machine is the bound"
    return Size(rounds=1 if quick else rounds, works=dict(zip(titles, (waiting, busy), strict=True)))


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rules = write_restart_rule(folder / "rules")
    async with databases(folder / "postgres") as server:
        for place, (title, work) in enumerate(wanted.works.items()):
            found: dict[int, list[Round]] = {count: [] for count in COUNTS}
            for number in range(wanted.rounds):
                for count in alternate(COUNTS, number):
                    run = made(folder / f"w{place}r{number}n{count}")
                    found[count].append(await _round(count, work, server, rules, run))
            _tell(f"{title}, {work.alerts} alerts, closed loop", found, report)


async def _round(count: int, work: Work, server: Databases, rules: Path, folder: Path) -> Round:
    """Have ``count`` daemons on one database do the work, each with its share of the alerts."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(cluster(work, folder))
        dsn = await stack.enter_async_context(server.fresh(f"replicas_{folder.name}"))
        setup = Setup(folder=folder, rules=rules, dsn=dsn, kubeconfig=folder / "kubeconfig", more=work.words())
        ours = [
            await stack.enter_async_context(daemon(replace(setup, folder=made(folder / f"daemon-{number}"))))
            for number in range(count)
        ]
        await asyncio.sleep(WARM_S)
        pids = {
            "daemons": [one.pid for one in ours],
            "PostgreSQL": proc.tree(server.pid),
            "stub": [api.pid],
        }
        before, machine = {name: proc.cpu_s(many) for name, many in pids.items()}, proc.machine_s()
        sent, load_s = await _send(ours, work, folder)
        await until_written(api, work.alerts)
        busy, idle = (now - then for now, then in zip(proc.machine_s(), machine, strict=True))
        pids["PostgreSQL"] = proc.tree(server.pid)
        cpu_s = {name: proc.cpu_s(many) - before[name] for name, many in pids.items()} | {"load": load_s}
        writes = await writes_of(api)
    outcome = judge(sent, writes, cpu_s["daemons"] * 1e6 / work.alerts, 0.0)
    return Round(outcome=outcome, cpu_s=cpu_s, machine_s=(busy, idle))


async def _send(ours: Sequence[Daemon], work: Work, folder: Path) -> tuple[Sent, float]:
    """Send every daemon its share at the same time; return what became of the bodies, and the CPU seconds of it."""
    share = work.alerts // len(ours)
    now = SystemClock().now()
    async with AsyncExitStack() as stack:
        loads = []
        for number, one in enumerate(ours):
            plan = Plan(
                port=one.port,
                run=folder.name,
                starts_at=now,
                bodies=share,
                connections=work.connections // len(ours),
                token=one.setup.token,
                first=number * share,
            )
            words = [msgspec.json.encode(plan).decode()]
            loads.append(await stack.enter_async_context(program("load", words, folder / f"load-{number}.log")))
        before = proc.cpu_s([load.pid for load in loads])
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(load.ask("go", LATEST_S * 2)) for load in loads]
        cpu_s = proc.cpu_s([load.pid for load in loads]) - before
    parts = [msgspec.convert(task.result(), Sent) for task in asked]
    whole = Sent(due=[], done=[], status=[])
    for part in parts:
        whole.due += part.due
        whole.done += part.done
        whole.status += part.status
    return whole, cpu_s


def _tell(title: str, found: dict[int, list[Round]], report: Report) -> None:
    rates = {count: [one.outcome.rate for one in rounds] for count, rounds in found.items()}
    one = COUNTS[0]
    rows: list[tuple[Cell, ...]] = []
    for count, rounds in found.items():
        most = median([CORES * 1e6 / sum(round_.cost_us.values()) for round_ in rounds])
        shares = (median([round_.shares[place] for round_ in rounds]) for place in (0, 1))
        cost = (median([round_.cost_us[name] for round_ in rounds]) for name in rounds[0].cpu_s)
        rows.append((f"{count}", median(rates[count]), median_ratio(rates[count], rates[one]), most, *shares, *cost))
    report.table(title, HEAD, rows)
    report.goal(Goal(f"two daemons to one, {title.partition(',')[0][12:]}", float(rows[1][2]), LEAST))
    rounds = [round_ for many in found.values() for round_ in many]
    report.must("writes done twice", sum(round_.outcome.duplicates for round_ in rounds), 0)
    report.must("alerts without a write", sum(round_.outcome.missing for round_ in rounds), 0)
    report.must("bodies not answered 200", sum(round_.outcome.refused for round_ in rounds), 0)
