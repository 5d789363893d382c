"""The load generator against a real server of a few lines: every body once, nothing counted wrongly."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web

from bench.load import Load, Plan, content_length

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Door:
    """Notes fingerprints; every third request is refused, and ``slam`` closes the connection instead."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seen: list[str] = []
        self.tokens: set[str] = set()
        self.slam = False

    async def take(self, request: web.Request) -> web.Response:
        """Answer 200 or 503."""
        body = msgspec.json.decode(await request.read())
        self.seen += [alert["fingerprint"] for alert in body["alerts"]]
        self.tokens.add(request.headers.get("Authorization", ""))
        if self.slam and request.transport is not None:
            request.transport.abort()
        return web.Response(status=503 if len(self.seen) % 3 == 0 else 200, text="x" * len(self.seen))


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, int]]:
    """A listening door and its port."""
    found = Door()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, runner.addresses[0][1]
    await runner.cleanup()


async def sent_by(plan: Plan) -> Load:
    """Run a plan to its end and close its connections."""
    load = Load(plan)
    await load.connect()
    await load.go()
    for connection in load.connections:
        if connection.transport is not None:
            connection.transport.close()
    await asyncio.sleep(0)
    return load


@pytest.mark.parametrize("rate", [0.0, 400.0])
async def test_every_body_is_sent_once_and_its_status_kept(door: tuple[Door, int], rate: float) -> None:
    """Closed and open loop alike; an answer longer than nothing is read to its end."""
    found, port = door
    load = await sent_by(
        Plan(port=port, run="a", starts_at=NOW, bodies=20, per_body=2, connections=4, rate=rate, token="t")
    )
    assert len(found.seen) == len(set(found.seen)) == 40
    assert found.tokens == {"Bearer t"}
    assert sorted(set(load.sent.status)) == [200, 503]
    assert all(done >= due > 0 for due, done in zip(load.sent.due, load.sent.done, strict=True))


async def test_an_open_loop_counts_from_when_a_body_was_due(door: tuple[Door, int]) -> None:
    """Due times stand a period apart however late the answers are: a queue cannot hide."""
    _, port = door
    load = await sent_by(Plan(port=port, run="b", starts_at=NOW, bodies=5, connections=1, rate=100.0))
    gaps = {later - earlier for earlier, later in zip(load.sent.due, load.sent.due[1:], strict=False)}
    assert gaps == {10_000_000}


async def test_a_broken_connection_is_no_answer(door: tuple[Door, int]) -> None:
    """What was under way keeps status 0, and the run ends all the same."""
    found, port = door
    found.slam = True
    load = await sent_by(Plan(port=port, run="c", starts_at=NOW, bodies=2, connections=2))
    assert load.sent.status == [0, 0]


@pytest.mark.parametrize(
    ("head", "length"),
    [(b"http/1.1 200 ok\r\ncontent-length: 12\r\ndate: x", 12), (b"http/1.1 200 ok", 0), (b"content-length:7", 7)],
)
def test_the_length_of_an_answer(head: bytes, length: int) -> None:
    """With something behind it, without one, and at the end."""
    assert content_length(head) == length
