"""``start``: from exec to the first accepted webhook with an existing embedded database, and memory at rest."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import proc
from bench.bodies import Series, body
from bench.daemon import Setup, daemon, launch, stop
from bench.lines import BenchFailedError, program, tail
from bench.load import PATH
from bench.report import Report
from bench.rulefiles import write_restart_rule
from bench.statistics import median
from bench.table import Goal
from remediator.adapters.clock import SystemClock

MOST_S = 1.5
MOST_MB = {"with a cluster": 130.0, "without a cluster": 70.0}
PATIENCE_S = 60.0
LOOK_S = 0.002
HEAD = ("daemon", "first 200 s", "slowest s", "RSS MB", "PostgreSQL RSS MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``rest_s``: how long it may come to rest before its memory is read."""

    rounds: int
    rest_s: float


def size(*, quick: bool, rounds: int) -> Size:
    """Return what to do."""
    return Size(rounds=1 if quick else rounds, rest_s=2.0 if quick else 5.0)


async def measure(folder: Path, wanted: Size, report: Report) -> None:
    """Measure and print."""
    rules = write_restart_rule(folder / "rules")
    rows: list[tuple[str | float, ...]] = []
    starts: list[float] = []
    async with program("stub", [str(folder / "kubeconfig")], folder / "stub.log"):
        for name, kubeconfig in (("without a cluster", None), ("with a cluster", folder / "kubeconfig")):
            place = folder / name.replace(" ", "-")
            # The first start makes the database, and compiles whatever Python has not compiled yet.
            async with daemon(Setup(folder=place, rules=rules, kubeconfig=kubeconfig)):
                pass
            found = [
                await _start(Setup(folder=place, rules=rules, kubeconfig=kubeconfig, port=_free_port()), wanted.rest_s)
                for _ in range(wanted.rounds)
            ]
            seconds, ours, server = (list(column) for column in zip(*found, strict=True))
            starts += seconds
            rows.append((name, median(seconds), max(seconds), median(ours), median(server)))
    report.table("Start with an existing embedded database, and memory at rest", HEAD, rows)
    report.goal(Goal("exec to first accepted webhook", median(starts), MOST_S, most=True, unit=" s"))
    for row in rows:
        name, rss = str(row[0]), float(row[3])
        report.goal(Goal(f"idle RSS {name}", rss, MOST_MB[name], most=True, unit=" MB"))


async def _start(setup: Setup, rest_s: float) -> tuple[float, float, float]:
    """Return seconds to the first 200, and MB of the daemon and of its PostgreSQL at rest."""
    began = time.monotonic()
    async with _launched(setup) as process:
        await _first_accepted(setup, process, began + PATIENCE_S)
        took = time.monotonic() - began
        await asyncio.sleep(rest_s)
        pids = proc.tree(process.pid)
        return took, proc.rss_mb(pids[:1]), proc.rss_mb(pids[1:])


@asynccontextmanager
async def _launched(setup: Setup) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await launch(setup)
    try:
        yield process
    finally:
        await stop(process, setup)


async def _first_accepted(setup: Setup, process: asyncio.subprocess.Process, ends: float) -> None:
    """Knock until an alert is taken. It is one that no rule of the benchmark acts on: resolved before it was seen."""
    text = body(Series(run="start", starts_at=SystemClock().now()), 0).replace(b'"firing"', b'"resolved"')
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{setup.port}\r\nAuthorization: Bearer {setup.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    ).encode()
    while time.monotonic() < ends:
        if process.returncode is not None:
            raise BenchFailedError(f"the daemon ended with exit code {process.returncode}: {tail(setup.log)}")
        if b" 200 " in (await _exchange(setup.port, head + text)).partition(b"\r\n")[0]:
            return
        await asyncio.sleep(LOOK_S)
    raise BenchFailedError(f"no webhook was accepted within {PATIENCE_S:.0f} s: {tail(setup.log)}")


async def _exchange(port: int, request: bytes) -> bytes:
    """Send a request; b"" where nobody listens yet."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return b""
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
