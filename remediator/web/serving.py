"""The web layer in one piece: from files, limits and ports to a server that listens, and its orderly end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from remediator.model.errors import ConfigError, InvariantBroken
from remediator.ports.clock import Clock
from remediator.ports.health import HealthCheck
from remediator.ports.inbox import Inbox
from remediator.ports.observer import Observer, StageEvent
from remediator.web.app import App, AppParts
from remediator.web.credentials import Credentials
from remediator.web.door import Door, DoorLimits
from remediator.web.health import Health
from remediator.web.receive import BodyLimits, BodyReader
from remediator.web.server import ListenAt, WebServer
from remediator.web.tls import TlsFiles, server_context
from remediator.web.webhook import Webhook, WebhookLimits, WebhookParts

_PARSERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """What the operator chose. Without files and without a client authority anybody who reaches the port may post.

    ``drain_s``: how long a stop waits for requests in hand, in seconds.
    """

    host: str
    port: int
    tls: TlsFiles | None = None
    token_file: Path | None = None
    basic_file: Path | None = None
    door: DoorLimits = field(default_factory=DoorLimits)
    body: BodyLimits = field(default_factory=BodyLimits)
    webhook: WebhookLimits = field(default_factory=WebhookLimits)
    drain_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """What the web layer speaks with."""

    inbox: Inbox
    clock: Clock
    observer: Observer
    live: Sequence[HealthCheck]
    ready: Sequence[HealthCheck]
    render_metrics: Callable[[], bytes]
    on_bug: Callable[[InvariantBroken], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was read from files."""

    credentials: Credentials
    tls: ssl.SSLContext | None


def prepare(options: WebOptions, clock: Clock, observer: Observer) -> Prepared:
    """Read every file before anything listens. Raises ConfigError with every fault of all of them."""
    credentials = Credentials(
        tokens=options.token_file, basic=options.basic_file, monotonic=clock.monotonic, observer=observer
    )
    return Prepared(credentials, _read(options, credentials))


@asynccontextmanager
async def serving(options: WebOptions, parts: WebParts, prepared: Prepared | None = None) -> AsyncIterator[WebServer]:
    """Listen while the block runs, then drain. ``prepared``: the files, where they have been read already.

    Raises ConfigError with every fault of the files, or that the address cannot be had.
    """
    files = prepared or prepare(options, parts.clock, parts.observer)
    credentials, tls = files.credentials, files.tls
    client_certificate = options.tls is not None and options.tls.client_ca is not None
    if not (credentials.required or client_certificate):
        advice = "anybody who reaches this port may post alerts; give --webhook-token-file"
        parts.observer.tell(StageEvent(stage="credentials", outcome="off", fields={"advice": advice}))
    with ThreadPoolExecutor(_PARSERS, thread_name_prefix="parse") as threads:
        async with _task_owner() as tasks:
            door = Door(limits=options.door, observer=parts.observer, tasks=tasks, tls=tls)
            webhook = Webhook(
                WebhookParts(
                    inbox=parts.inbox,
                    clock=parts.clock,
                    observer=parts.observer,
                    credentials=credentials,
                    reader=BodyReader(options.body),
                    threads=threads,
                    client_certificate=client_certificate,
                ),
                options.webhook,
            )
            server = WebServer(_app(parts, webhook, door), door, ListenAt(options.host, options.port, tls))
            await server.start()
            try:
                yield server
            finally:
                await server.stop(options.drain_s)


@asynccontextmanager
async def _task_owner() -> AsyncIterator[asyncio.TaskGroup]:
    """Yield a group for TLS handshakes. They raise nothing, so what ends the block is passed on as it is, unwrapped."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from None


def _read(options: WebOptions, credentials: Credentials) -> ssl.SSLContext | None:
    problems: list[str] = []
    tls = None
    try:
        credentials.load()
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        tls = server_context(options.tls) if options.tls else None
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return tls


def _app(parts: WebParts, webhook: Webhook, door: Door) -> App:
    return App(
        AppParts(
            webhook=webhook,
            live=Health(parts.live, parts.clock),
            ready=Health(parts.ready, parts.clock),
            render_metrics=parts.render_metrics,
            door=door,
            observer=parts.observer,
            on_bug=parts.on_bug,
        )
    )
