"""The fault proxies pass everything on, know what they pass on, and do the faults that they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from remediator.adapters.ledger.pool import open_pools, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.errors import LedgerError
from tests.faults.http_proxy import HttpProxy
from tests.faults.points import Cut, Point, Reply, hang
from tests.faults.postgres_proxy import PostgresProxy

APPS = "/apis/apps/v1/namespaces/team-0/deployments/app-1"


@dataclass
class Watch:
    """Notes every point, and raises what is set for one."""

    seen: list[Point] = field(default_factory=list)
    at: dict[str, Exception] = field(default_factory=dict)

    async def __call__(self, point: Point) -> None:
        """Note, then obey."""
        self.seen.append(point)
        if str(point) in self.at:
            raise self.at.pop(str(point))

    def names(self) -> list[str]:
        """Return the points in their order."""
        return [str(point) for point in self.seen]


@dataclass
class Behind:
    """A server that counts, a proxy before it, and a client that goes through."""

    client: aiohttp.ClientSession
    proxy: HttpProxy
    watch: Watch
    stored: list[str] = field(default_factory=list)

    async def patch(self) -> tuple[int, str]:
        """Send one write."""
        async with self.client.patch(self.proxy.url + APPS, data=b"{}", allow_redirects=False) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def behind() -> AsyncIterator[Behind]:
    """A server behind a proxy."""
    app = web.Application()
    runner = web.AppRunner(app)
    watch = Watch()
    async with aiohttp.ClientSession() as client:
        proxy = HttpProxy("", watch)
        made = Behind(client, proxy, watch)

        async def store(request: web.Request) -> web.Response:
            made.stored.append(request.path)
            return web.json_response({"stored": len(made.stored)}, headers={"Audit-Id": "7"})

        app.router.add_patch("/{path:.*}", store)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with proxy.running():
            yield made
        await runner.cleanup()


async def test_http_passes(behind: Behind) -> None:
    """Path, body, status and headers arrive; the call has a name."""
    assert await behind.patch() == (200, '{"stored": 1}')
    assert behind.stored == [APPS]
    assert behind.watch.names() == ["before PATCH deployments", "after PATCH deployments"]


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
async def test_http_faults(behind: Behind, when: str, stored: int) -> None:
    """A status, a broken connection, half an answer: before it is passed on nothing is stored, after it, once."""
    point = f"{when} PATCH deployments"
    behind.watch.at = {point: Reply(503, {"Retry-After": "1"}, b"no")}
    assert await behind.patch() == (503, "no")
    behind.watch.at = {point: Cut()}
    with pytest.raises(aiohttp.ClientConnectionError):
        await behind.patch()
    behind.watch.at = {point: Reply(200, {}, b'{"sto', cut=True)}
    with pytest.raises(aiohttp.ClientError):
        await behind.patch()
    assert len(behind.stored) == 3 * stored


@pytest.fixture
async def watch() -> Watch:
    """Somebody who watches."""
    return Watch()


@pytest.fixture
async def proxy(database: str, watch: Watch) -> AsyncIterator[PostgresProxy]:
    """A proxy before the server of the tests."""
    made = PostgresProxy(database, watch)
    async with made.running():
        yield made


async def test_postgres_passes_and_knows_the_names(proxy: PostgresProxy, watch: Watch) -> None:
    """It looks like the server itself, and names statements and commits, prepared or not."""
    async with open_pools(proxy.dsn) as pools:
        assert pools.server.direct
        for _ in range(2):
            watch.seen.clear()
            async with transaction(pools.stages, QUERIES["lock_admission"]) as connection:
                await connection.fetchval(QUERIES["ping"])
            async with statement(pools.leases) as connection:
                assert await connection.fetch(QUERIES["claim_actions"], 5, "me", 20.0) == []
            assert watch.names() == [
                *("before BEGIN lock_admission", "after BEGIN lock_admission"),
                *("before ping", "after ping"),
                *("before commit of nothing", "after commit of nothing"),
                *("before claim_actions", "after claim_actions"),
            ]
            assert [point.rows for point in watch.seen if point.call == "ping" and point.after] == [1]


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
async def test_postgres_cut_at_the_commit(proxy: PostgresProxy, watch: Watch, when: str, stored: int) -> None:
    """Before it, nothing is committed; after it, everything is, and the daemon is told that nobody knows."""
    async with open_pools(proxy.dsn) as pools:
        watch.at = {f"{when} commit of put_rule_set": Cut()}
        with pytest.raises(LedgerError, match="commit_unknown"):
            async with transaction(pools.stages) as connection:
                await connection.execute(QUERIES["put_rule_set"], "digest", "{}")
        async with transaction(pools.stages) as connection:
            assert await connection.fetchval("SELECT count(*) FROM remediator.rule_sets") == stored


async def test_postgres_wakes_listeners_at_once(proxy: PostgresProxy, database: str) -> None:
    """What the server says of its own accord passes without a question."""
    heard = asyncio.Event()
    listener = await asyncpg.connect(proxy.dsn)
    await listener.add_listener("remediator", lambda *_: heard.set())
    other = await asyncpg.connect(database)
    await other.execute("NOTIFY remediator, 'match'")
    async with asyncio.timeout(5):
        assert await heard.wait()
    await listener.close()
    await other.close()


async def test_postgres_hangs(proxy: PostgresProxy, watch: Watch) -> None:
    """A hung peer is left after the client's patience, and all of it goes when the proxy does."""
    connection = await asyncpg.connect(proxy.dsn)

    async def meet(_: Point) -> None:
        await hang()

    proxy.meet = meet
    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT 1", timeout=0.2)
    connection.terminate()
