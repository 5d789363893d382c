"""From webhook to PATCH: one round of a system that acts, and what the cluster saw of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench import proc
from bench.bodies import workload
from bench.daemon import Setup, daemon
from bench.database import Databases, fetch
from bench.lines import BenchFailedError, Program, made, program
from bench.load import Plan, Sent
from bench.report import Report
from bench.statistics import MILLISECOND_NS, milliseconds
from remediator.adapters.clock import SystemClock

LIMIT, OURS = "limit, kubernetes-asyncio raw", "daemon"
NAMES = (LIMIT, OURS)
QUIET_S = 5.0
LATEST_S = 120.0
OK = 200
_SEEN_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """``alerts`` of one body each, every one to a workload of its own; ``rate`` a second, 0: closed loop.

    ``delay_s``: the stub answers every request so much later. ``concurrency``: requests to the API and actions at once
    that the daemon is allowed; 0: as many as usual.
    """

    alerts: int
    rate: float = 0.0
    connections: int = 16
    stub: bool = False
    delay_s: float = 0.0
    concurrency: int = 0

    def words(self) -> tuple[str, ...]:
        """Return what the daemon's command line says of it."""
        both = str(self.concurrency)
        return ("--cluster-concurrency", both, "--execute-concurrency", both) if self.concurrency else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one round came to; times in milliseconds, one for each alert, from the moment its body was due.

    ``rate``: writes a second from the first body to the last write. ``refused``: bodies not answered 200. ``requests``:
    how many the stub got until the last write, if it is one that is late.
    """

    ack_ms: list[float]
    action_ms: list[float]
    rate: float
    cpu_us: float
    rss_mb: float
    duplicates: int
    missing: int
    refused: int
    requests: int = 0


@dataclass(frozen=True, slots=True)
class _Acting:
    port: int
    token: str
    pid: int


@asynccontextmanager
async def cluster(work: Work, folder: Path) -> AsyncIterator[Program]:
    """Run the sandbox with a Deployment for each alert, or the stub; its kubeconfig is in ``folder``."""
    kubeconfig = str(folder / "kubeconfig")
    words = ("stub", [kubeconfig, str(work.delay_s)]) if work.stub else ("sandbox", [kubeconfig, str(work.alerts)])
    async with program(*words, folder / "cluster.log") as found:
        yield found


@asynccontextmanager
async def _acting(name: str, setup: Setup, api: Program) -> AsyncIterator[_Acting]:
    async with AsyncExitStack() as stack:
        if name == LIMIT:
            task = msgspec.json.encode({"dsn": setup.dsn, "cluster": api.ready["url"]}).decode()
            limit = await stack.enter_async_context(program("limit", [task], setup.folder / "limit.log"))
            yield _Acting(limit.ready["port"], "", limit.pid)
            return
        ours = await stack.enter_async_context(daemon(setup))
        # Its client is imported beside the start; what is measured is a daemon that has been up for a while.
        await asyncio.sleep(2.0)
        yield _Acting(ours.port, setup.token, ours.pid)


async def play(name: str, work: Work, server: Databases, rules: Path, folder: Path) -> Outcome:
    """Run one system through the work on a fresh database and a fresh cluster."""
    made(folder)
    async with cluster(work, folder) as api, server.fresh(f"act_{folder.name}") as dsn:
        setup = Setup(folder=folder, rules=rules, dsn=dsn, kubeconfig=folder / "kubeconfig", more=work.words())
        async with _acting(name, setup, api) as system:
            before = proc.cpu_s([system.pid])
            sent = await _send(system, work, folder)
            await until_written(api, work.alerts)
            times = await api.ask("times") if work.stub else []
            cpu, rss = proc.cpu_s([system.pid]) - before, proc.rss_mb([system.pid])
            writes = await writes_of(api)
        last = max((at for _, at in writes), default=0)
        requests = sum(1 for at in times if at <= last)
        outcome = replace(judge(sent, writes, cpu * 1e6 / work.alerts, rss), requests=requests)
        if name == OURS and outcome.missing:
            await _explain(dsn, folder)
        return outcome


async def _send(system: _Acting, work: Work, folder: Path) -> Sent:
    plan = Plan(
        port=system.port,
        run=folder.name,
        starts_at=SystemClock().now(),
        bodies=work.alerts,
        connections=work.connections,
        rate=work.rate,
        token=system.token,
    )
    async with program("load", [msgspec.json.encode(plan).decode()], folder / "load.log") as load:
        return msgspec.convert(await load.ask("go", LATEST_S * 2), Sent)


async def until_written(api: Program, wanted: int) -> None:
    """Wait until the cluster has seen all the writes, or none has come for a while."""
    found = 0
    ends = time.monotonic() + LATEST_S
    quiet_since = time.monotonic()
    while found < wanted and time.monotonic() < min(ends, quiet_since + QUIET_S):
        await asyncio.sleep(_SEEN_EVERY_S)
        now = len(await api.ask("dump"))
        if now > found:
            quiet_since = time.monotonic()
        found = now


async def writes_of(api: Program) -> list[tuple[str, int]]:
    """Return the writes that the cluster has seen, a moment later: whatever is done twice is done soon after."""
    await asyncio.sleep(1.0)
    return [(str(path), int(at)) for path, at in await api.ask("dump")]


def judge(sent: Sent, writes: Sequence[tuple[str, int]], cpu_us: float, rss_mb: float) -> Outcome:
    """Join writes to the alerts that they answer, by namespace and name in their paths."""
    first: dict[tuple[str, str], int] = {}
    duplicates = 0
    for path, at in writes:
        parts = path.split("/")
        key = parts[-3], parts[-1]
        duplicates += key in first
        first.setdefault(key, at)
    wanted = {workload(number): due for number, due in enumerate(sent.due)}
    action = [(at - wanted[key]) / MILLISECOND_NS for key, at in first.items() if key in wanted]
    took_s = (max(first.values(), default=0) - min(sent.due)) / 1e9
    good = [number for number, status in enumerate(sent.status) if status == OK]
    return Outcome(
        ack_ms=milliseconds([sent.due[number] for number in good], [sent.done[number] for number in good]),
        action_ms=action,
        rate=len(action) / took_s if action else 0.0,
        cpu_us=cpu_us,
        rss_mb=rss_mb,
        duplicates=duplicates,
        missing=sum(1 for number in good if workload(number) not in first),
        refused=len(sent.due) - len(good),
    )


async def _explain(dsn: str, folder: Path) -> None:
    """Say why alerts were not acted on, from the daemon's own ledger."""
    rows = [*await fetch(dsn, "daemon_decisions"), *await fetch(dsn, "daemon_reasons")]
    lines = "\n".join("  ".join(str(cell) for cell in row) for row in rows)
    raise BenchFailedError(f"alerts were not acted on; the daemon says (more in {folder / 'daemon.log'}):\n{lines}")


def tell_exactness(found: dict[str, list[Outcome]], report: Report) -> None:
    """Say what must hold in every round."""
    for name, rounds in found.items():
        report.must(f"writes done twice, {name}", sum(one.duplicates for one in rounds), 0)
        report.must(f"alerts without a write, {name}", sum(one.missing for one in rounds), 0)
        report.must(f"bodies not answered 200, {name}", sum(one.refused for one in rounds), 0)
