"""The limit: the least that any system must do for the same promise, as a server of its own.

``record``: decode the body, commit its alerts as rows by one COPY that all waiting requests share, answer 200.
``act``: the same, then one PATCH for each alert by kubernetes-asyncio with raw answers, then commit the results.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from aiohttp import web

from bench.lines import answer_lines
from remediator.adapters.ledger.queries import load

SQL = load(Path(__file__).with_name("sql"))
FAN = 32
"""How many writes to the cluster may be under way at once."""
COLUMNS = (
    *("source", "fingerprint", "status", "starts_at", "ends_at", "labels"),
    *("annotations", "generator_url", "group_key", "receiver"),
)
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

Row = tuple[Any, ...]
Store = Callable[["asyncpg.Connection[asyncpg.Record]", Sequence[Row]], Awaitable[object]]


class Alert(msgspec.Struct, rename="camel"):
    """What is stored of an alert."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    fingerprint: str
    generator_url: str = msgspec.field(name="generatorURL")


class Body(msgspec.Struct, rename="camel"):
    """What is read of a body."""

    alerts: list[Alert]
    group_key: str
    receiver: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """How to run: ``cluster`` is the API's address; without one nothing is patched."""

    dsn: str
    cluster: str = ""


class Gather:
    """Rows that wait share the next transaction; whoever waits goes on when it is committed."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], store: Store) -> None:
        """Store by ``store`` on a connection of one's own."""
        self._connection = connection
        self._store = store
        self._rows: list[Row] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    def put(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Add rows; the future is done after their COMMIT."""
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rows += rows
        self._waiting.append(committed)
        self._wake.set()
        return committed

    async def run(self) -> None:
        """Store for ever; an error ends the program."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            rows, waiting = self._rows, self._waiting
            self._rows, self._waiting = [], []
            await self._store(self._connection, rows)
            for committed in waiting:
                if not committed.done():
                    committed.set_result(None)


def rows_of(body: Body) -> list[Row]:
    """Return the alerts of a body in the order of ``COLUMNS``."""
    encode = msgspec.json.encode
    return [
        (
            *("bench", alert.fingerprint, alert.status, alert.starts_at, None, encode(alert.labels).decode()),
            *(encode(alert.annotations).decode(), alert.generator_url, body.group_key, body.receiver),
        )
        for alert in body.alerts
    ]


async def store_signals(connection: asyncpg.Connection[asyncpg.Record], rows: Sequence[Row]) -> object:
    """Commit alerts."""
    return await connection.copy_records_to_table("bench_signals", records=rows, columns=COLUMNS)


async def store_results(connection: asyncpg.Connection[asyncpg.Record], rows: Sequence[Row]) -> object:
    """Commit what became of writes."""
    return await connection.copy_records_to_table("bench_results", records=rows, columns=("fingerprint", "status"))


class Limit:
    """The server."""

    def __init__(self, signals: Gather, results: Gather) -> None:
        """Store in these."""
        self._signals = signals
        self._results = results
        self._decode = msgspec.json.Decoder(Body).decode
        self._todo: asyncio.Queue[Alert] = asyncio.Queue()
        self.acts = False

    async def webhook(self, request: web.Request) -> web.Response:
        """Answer 200 after COMMIT."""
        body = self._decode(await request.read())
        await self._signals.put(rows_of(body))
        if self.acts:
            for alert in body.alerts:
                self._todo.put_nowait(alert)
        return web.Response()

    async def act(self, apps: Any) -> None:
        """Patch one workload after the other."""
        while True:
            alert = await self._todo.get()
            stamp = {RESTARTED_AT: alert.starts_at.isoformat(), "bench/fingerprint": alert.fingerprint}
            patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
            answer = await apps.patch_namespaced_deployment(
                alert.labels["deployment"], alert.labels["namespace"], patch, _preload_content=False
            )
            await answer.read()
            await self._results.put([(alert.fingerprint, answer.status)])


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
        dsn, server_settings={"synchronous_commit": "on"}
    )
    return connection


async def main(task: Task) -> None:
    """Be the program: ready with its port; ends when its input does."""
    signals, results = await _connect(task.dsn), await _connect(task.dsn)
    await signals.execute(SQL["limit_tables"])
    async with asyncio.TaskGroup() as tasks:
        gathers = Gather(signals, store_signals), Gather(results, store_results)
        running = [tasks.create_task(gather.run()) for gather in gathers]
        limit = Limit(*gathers)
        api: Any = None
        if task.cluster:
            from kubernetes_asyncio import client

            configuration = client.Configuration()
            configuration.host = task.cluster
            configuration.connection_pool_maxsize = FAN
            api = client.ApiClient(configuration)
            limit.acts = True
            running += [tasks.create_task(limit.act(client.AppsV1Api(api))) for _ in range(FAN)]
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/{path:.*}", limit.webhook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        await answer_lines({"port": runner.addresses[0][1]}, {})
        for task_ in running:
            task_.cancel()
        await runner.cleanup()
        if api is not None:
            await api.close()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
