"""Start and stop."""

from __future__ import annotations

import asyncio
import socket

import pytest

from remediator.model.errors import ConfigError
from remediator.web.server import ListenAt, WebServer
from tests.fakes.inbox import MemoryInbox
from tests.intake.bodies import alert, body
from tests.web.site import HOOK, Setup, Site, head, post, read_answer, running

GOOD = body(alert())
REQUEST = head("POST", HOOK, {"Content-Length": str(len(GOOD))}) + GOOD


async def test_the_port_that_was_given_is_told() -> None:
    """Port 0 lets the system choose."""
    async with running() as site:
        assert site.port > 0
        assert site.server.url == f"http://127.0.0.1:{site.port}"


async def test_listening_on_version_6() -> None:
    """The address is written as a URL needs it."""
    async with running(Setup(host="::1")) as site:
        assert site.server.url == f"http://[::1]:{site.port}"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "the port is in use"),
        ("192.0.2.1", "no interface of this machine has this address"),
        ("no such host", "no such address"),
    ],
)
async def test_an_address_that_cannot_be_had(host: str, words: str) -> None:
    """One error that names the flag and says what to do, not wrapped in anything."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            async with running(Setup(host=host, port=port)):
                raise AssertionError
    assert str(caught.value).startswith(f"--listen {host}:{port}: ")
    assert words in str(caught.value)


async def test_a_port_out_of_range() -> None:
    """Told like every other fault."""
    with pytest.raises(ConfigError, match="--listen"):
        async with running(Setup(port=70_000)):
            raise AssertionError


async def test_what_ends_the_block_is_passed_on_as_it_is() -> None:
    """The server's own tasks do not wrap the caller's exception."""
    with pytest.raises(KeyError, match="mine"):
        async with running():
            raise KeyError("mine")


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def occupied(site: Site, inbox: MemoryInbox) -> tuple[Stream, Stream]:
    """Leave one connection at rest and another with a request in hand."""
    rests, resting = await asyncio.open_connection("127.0.0.1", site.port)
    resting.write(REQUEST)
    assert (await read_answer(rests)).status == 200
    inbox.open.clear()
    works, working = await asyncio.open_connection("127.0.0.1", site.port)
    working.write(REQUEST)
    while inbox.asked < 2:
        await asyncio.sleep(0.01)
    return (rests, resting), (works, working)


async def test_a_stop_lets_the_request_in_hand_finish() -> None:
    """It gets its 200, nobody new gets in, and who rests is sent away at once."""
    inbox = MemoryInbox()
    async with asyncio.TaskGroup() as tasks, running(Setup(inbox=inbox)) as site:
        (rests, resting), (works, working) = await occupied(site, inbox)
        stop = tasks.create_task(site.server.stop(5))
        assert await rests.read() == b""
        with pytest.raises(ConnectionError):
            await post(site, GOOD)
        assert not stop.done()
        inbox.open.set()
        answer = await read_answer(works)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert await works.read() == b""
        async with asyncio.timeout(2):
            await stop
        assert "cut_off" not in site.notebook.outcomes("connection")
        resting.close()
        working.close()


async def test_a_stop_does_not_wait_for_ever() -> None:
    """After the deadline the connection is cut: Alertmanager tries again elsewhere."""
    inbox = MemoryInbox()
    async with running(Setup(inbox=inbox)) as site:
        (_, resting), (works, working) = await occupied(site, inbox)
        async with asyncio.timeout(4):
            await site.server.stop(0.1)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_answer(works)
        assert "cut_off" in site.notebook.outcomes("connection")
        await site.server.stop(0.1)
        resting.close()
        working.close()


async def test_a_server_that_never_started_stops_at_once() -> None:
    """The supervisor need not know how far the start came."""
    async with running() as site:
        other = WebServer(site.server.app, site.server.door, ListenAt("127.0.0.1", 0))
        async with asyncio.timeout(1):
            await other.stop(5)
        assert other.port == 0
