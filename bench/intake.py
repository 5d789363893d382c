"""``intake``: how many alerts a second are durable, beside the least that any system must do for that promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import proc
from bench.bodies import fingerprint
from bench.daemon import Setup, daemon
from bench.database import Databases, databases, fetch
from bench.lines import made, program
from bench.load import Plan, Sent
from bench.report import Report, alternate
from bench.rulefiles import write_idle_rules
from bench.statistics import median, median_ratio, milliseconds, percentile
from bench.table import Goal
from remediator.adapters.clock import SystemClock

LIMIT = "limit"
FEW, MANY = 10, 1000
HEAD = ("system", "alerts/s", "ack p50 ms", "ack p99 ms", "CPU us/alert", "PostgreSQL us/alert", "behind", "ratio")
LEAST = 0.8
OK = 200
_MICRO = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One table: ``bodies`` of ``per_body`` alerts each."""

    per_body: int
    bodies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long it takes."""

    rounds: int
    cases: tuple[Case, ...]
    connections: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One round of one system; ``behind``: alerts stored and not matched when the last was answered."""

    rate: float
    p50: float
    p99: float
    cpu_us: float
    server_us: float
    behind: int
    refused: int
    lost: int


@dataclass(frozen=True, slots=True)
class System:
    """What is measured, while it runs: its port, token and process."""

    name: str
    port: int
    token: str
    pid: int
    dsn: str


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do: about three seconds a round, or as little as shows that everything works."""
    if quick:
        return Size(rounds=1, cases=(Case(per_body=1, bodies=400), Case(per_body=100, bodies=20)))
    return Size(rounds=rounds, cases=(Case(per_body=1, bodies=4000), Case(per_body=100, bodies=300)))


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure every case and print its table."""
    rules = {f"daemon, {count} rules": write_idle_rules(folder / f"rules-{count}", count) for count in (FEW, MANY)}
    names = (LIMIT, *rules)
    async with databases(folder / "postgres") as server:
        for case in wanted.cases:
            found: dict[str, list[Figures]] = {name: [] for name in names}
            for number in range(wanted.rounds):
                for name in alternate(names, number):
                    run = f"k{case.per_body}r{number}{names.index(name)}"
                    async with _system(name, rules.get(name), server, folder / run) as system:
                        found[name].append(await _round(system, case, wanted.connections, server, folder / run))
            _tell(case, found, report)


@asynccontextmanager
async def _system(name: str, rules: Path | None, server: Databases, folder: Path) -> AsyncIterator[System]:
    """Run the limit or the daemon on a fresh database."""
    made(folder)
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(server.fresh(f"intake_{folder.name}"))
        if rules is None:
            task = msgspec.json.encode({"dsn": dsn}).decode()
            limit = await stack.enter_async_context(program("limit", [task], folder / "limit.log"))
            yield System(name, limit.ready["port"], "", limit.pid, dsn)
            return
        ours = await stack.enter_async_context(daemon(Setup(folder=folder, rules=rules, dsn=dsn)))
        yield System(name, ours.port, ours.setup.token, ours.pid, dsn)


async def _round(system: System, case: Case, connections: int, server: Databases, folder: Path) -> Figures:
    warm = case.bodies // 10
    await _send(system, Case(per_body=case.per_body, bodies=warm), connections, folder, "warm")
    before = proc.cpu_s([system.pid]), proc.cpu_s(proc.tree(server.pid))
    sent = await _send(system, case, connections, folder, "run")
    cpu, server_cpu = proc.cpu_s([system.pid]) - before[0], proc.cpu_s(proc.tree(server.pid)) - before[1]
    behind = 0 if system.name == LIMIT else int((await fetch(system.dsn, "daemon_behind"))[0][0])
    good = [number for number, status in enumerate(sent.status) if status == OK]
    alerts = len(good) * case.per_body
    took = (max(sent.done) - min(sent.due)) / 1e9
    acks = milliseconds([sent.due[number] for number in good], [sent.done[number] for number in good])
    return Figures(
        rate=alerts / took,
        p50=percentile(acks, 50),
        p99=percentile(acks, 99),
        cpu_us=cpu * _MICRO / max(alerts, 1),
        server_us=server_cpu * _MICRO / max(alerts, 1),
        behind=behind,
        refused=case.bodies - len(good),
        lost=await _lost(system, case, good, folder),
    )


async def _send(system: System, case: Case, connections: int, folder: Path, part: str) -> Sent:
    plan = Plan(
        port=system.port,
        run=f"{folder.name}-{part}",
        starts_at=SystemClock().now(),
        bodies=case.bodies,
        per_body=case.per_body,
        connections=connections,
        token=system.token,
    )
    async with program("load", [msgspec.json.encode(plan).decode()], folder / "load.log") as load:
        return msgspec.convert(await load.ask("go", 240.0), Sent)


async def _lost(system: System, case: Case, good: Sequence[int], folder: Path) -> int:
    """Count the alerts that were answered 200 and are no row."""
    query = "limit_fingerprints" if system.name == LIMIT else "daemon_fingerprints"
    stored = {str(row[0]) for row in await fetch(system.dsn, query)}
    run = f"{folder.name}-run"
    taken = (number * case.per_body + place for number in good for place in range(case.per_body))
    return sum(1 for number in taken if fingerprint(run, number) not in stored)


def _tell(case: Case, found: dict[str, list[Figures]], report: Report) -> None:
    rates = {name: [one.rate for one in rounds] for name, rounds in found.items()}
    ratios = {name: median_ratio(rates[name], rates[LIMIT]) for name in found}
    rows = [
        (
            name,
            median(rates[name]),
            median([one.p50 for one in rounds]),
            median([one.p99 for one in rounds]),
            median([one.cpu_us for one in rounds]),
            median([one.server_us for one in rounds]),
            median([one.behind for one in rounds]),
            ratios[name],
        )
        for name, rounds in found.items()
    ]
    report.table(f"Durable intake, {case.per_body} alerts a body, closed loop", HEAD, rows)
    few = f"daemon, {FEW} rules"
    report.goal(Goal(f"intake of {case.per_body} a body, daemon to limit", ratios[few], LEAST))
    refused = {name: sum(one.refused for one in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        report.must(f"alerts answered 200 that are no row, {name}", sum(one.lost for one in rounds), 0)
        report.must(f"bodies not answered 200, {name}", refused[name], 0)
