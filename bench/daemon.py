"""The daemon under measurement: ``remediator serve`` as a process of its own, started as anybody would start it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from bench.lines import BenchFailedError, environment, tail
from remediator.desk import daemon_file

START_S = 60.0
END_S = 40.0
LOOK_S = 0.01
UNLIMITED = ("--spacing", "0s", "--cluster-burst", "1000000/10m", "--cluster-hourly", "1000000/1h")
CROWDS = (
    "--storm",
    "1000000/2m",
    "--storm-percent",
    "100",
    "--blast-namespace-percent",
    "100",
    "--blast-cluster-percent",
    "100",
)
OPEN = ("--open-per-namespace", "100000", "--open-per-cluster", "100000")
INBOX = ("--inbox-limit", "10000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How to start it. ``dsn`` "": with an embedded database in ``folder``; ``kubeconfig`` None: without a cluster.

    ``more``: further words of its command line.
    """

    folder: Path
    rules: Path
    dsn: str = ""
    kubeconfig: Path | None = None
    port: int = 0
    more: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def log(self) -> Path:
        """Return where its output goes."""
        return self.folder / "daemon.log"

    def words(self) -> list[str]:
        """Return its command line; writes the token's file."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(self.token + "\n", encoding="utf-8")
        words = [sys.executable, "-m", "remediator", "serve", "--listen", f"127.0.0.1:{self.port}"]
        words += ["--rules", str(self.rules), "--state-dir", str(self.folder / "state"), "--log-format", "json"]
        words += ["--webhook-token-file", str(token), *UNLIMITED, *CROWDS, *OPEN, *INBOX]
        words += ["--database-url", self.dsn] if self.dsn else []
        words += ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        return [*words, *self.more]

    def environment(self) -> dict[str, str]:
        """Return its environment: no cluster but the one named, whoever runs the benchmark."""
        return {**environment(), "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder)}


@dataclass(frozen=True, slots=True)
class Daemon:
    """One that takes alerts."""

    setup: Setup
    pid: int
    port: int


@asynccontextmanager
async def daemon(setup: Setup) -> AsyncIterator[Daemon]:
    """Run it; yields when it takes alerts. BenchFailedError when it does not start or does not end well."""
    process = await launch(setup)
    try:
        yield Daemon(setup, process.pid, await _port(setup, process))
    finally:
        await stop(process, setup)


async def launch(setup: Setup) -> asyncio.subprocess.Process:
    """Start it and do not wait for anything; end it by ``stop``."""
    words = setup.words()
    with setup.log.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=setup.environment()
        )


async def stop(process: asyncio.subprocess.Process, setup: Setup) -> None:
    """End it as Kubernetes would; BenchFailedError when it did not end well."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(END_S):
            code = await process.wait()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise BenchFailedError(f"the daemon did not end within {END_S:.0f} s: {tail(setup.log)}") from error
    if code != 0:
        raise BenchFailedError(f"the daemon ended with exit code {code}: {tail(setup.log)}")


async def _port(setup: Setup, process: asyncio.subprocess.Process) -> int:
    place = daemon_file(setup.folder / "state")
    try:
        async with asyncio.timeout(START_S):
            while not place.exists():
                if process.returncode is not None:
                    raise BenchFailedError(f"the daemon ended with {process.returncode}: {tail(setup.log)}")
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise BenchFailedError(f"the daemon did not start within {START_S:.0f} s: {tail(setup.log)}") from error
    return int(msgspec.json.decode(place.read_bytes())["url"].rpartition(":")[2])


async def metric(ours: Daemon, name: str) -> float:
    """Return a figure without labels of its /metrics."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{ours.port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
    if not found:
        raise BenchFailedError(f"the daemon's /metrics have no {name}")
    return float(found[0])
