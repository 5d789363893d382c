"""A listening web layer for tests, and clients that can misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remediator.model.errors import InvariantBroken
from remediator.ports.clock import Clock
from remediator.ports.health import HealthCheck, HealthStatus
from remediator.ports.inbox import Inbox
from remediator.web.door import DoorLimits
from remediator.web.receive import BodyLimits
from remediator.web.server import WebServer
from remediator.web.serving import WebOptions, WebParts, serving
from remediator.web.tls import TlsFiles
from remediator.web.webhook import WebhookLimits
from tests.fakes.clock import StillClock
from tests.fakes.inbox import MemoryInbox
from tests.fakes.observer import Notebook

HOOK = "/api/v1/webhooks/alertmanager"


@dataclass
class Word:
    """A health check that says what it is told to, and counts how often it is asked."""

    name: str
    status: HealthStatus = field(default_factory=lambda: HealthStatus(ok=True, detail="fine"))
    error: Exception | None = None
    asked: int = 0
    free: asyncio.Event | None = None

    async def check(self) -> HealthStatus:
        """Answer, or raise, or wait."""
        self.asked += 1
        if self.free is not None:
            await self.free.wait()
        if self.error is not None:
            raise self.error
        return self.status


@dataclass
class Site:
    """A running server with everything around it."""

    server: WebServer
    inbox: MemoryInbox
    notebook: Notebook
    clock: StillClock
    bugs: list[InvariantBroken]

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self.server.port


@dataclass(kw_only=True)
class Setup:
    """How the site of a test differs from the default."""

    tokens: Path | None = None
    basic: Path | None = None
    tls: TlsFiles | None = None
    door: DoorLimits = field(default_factory=DoorLimits)
    body: BodyLimits = field(default_factory=BodyLimits)
    webhook: WebhookLimits = field(default_factory=WebhookLimits)
    live: Sequence[HealthCheck] = ()
    ready: Sequence[HealthCheck] = ()
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    clock: StillClock = field(default_factory=StillClock)
    metrics: bytes = b"# HELP x y\n"
    drain_s: float = 5.0
    host: str = "127.0.0.1"
    port: int = 0


@asynccontextmanager
async def running(setup: Setup | None = None) -> AsyncIterator[Site]:
    """Serve on a free port of the loopback while the block runs."""
    setup = setup or Setup()
    notebook, clock, bugs = Notebook(), setup.clock, list[InvariantBroken]()
    inbox: Inbox = setup.inbox
    still: Clock = clock
    options = WebOptions(
        host=setup.host,
        port=setup.port,
        tls=setup.tls,
        token_file=setup.tokens,
        basic_file=setup.basic,
        door=setup.door,
        body=setup.body,
        webhook=setup.webhook,
        drain_s=setup.drain_s,
    )
    parts = WebParts(
        inbox=inbox,
        clock=still,
        observer=notebook,
        live=setup.live,
        ready=setup.ready,
        render_metrics=lambda: setup.metrics,
        on_bug=bugs.append,
    )
    async with serving(options, parts) as server:
        yield Site(server, setup.inbox, notebook, clock, bugs)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def head(method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{name}: {text}" for name, text in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one response; raises IncompleteReadError if the connection ends first."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = text.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(first.split()[1]), headers, body)


async def ask(site: Site, request: bytes, ssl: Any = None) -> Answer:
    """Send bytes on a new connection and read one response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=ssl)
    try:
        writer.write(request)
        return await read_answer(reader)
    finally:
        writer.close()


async def post(site: Site, body: bytes, headers: dict[str, str] | None = None, path: str = HOOK) -> Answer:
    """Post a body as Alertmanager does."""
    every = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    return await ask(site, head("POST", path, every) + body)
