"""Connections: how many, for how long, and who goes first when the house is full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from remediator.web.door import DoorLimits
from tests.fakes.inbox import MemoryInbox
from tests.intake.bodies import alert, body
from tests.web.site import HOOK, Setup, Site, ask, head, post, read_answer, running

GOOD = body(alert())
REQUEST = head("POST", HOOK, {"Content-Length": str(len(GOOD))}) + GOOD
HASTY = DoorLimits(receive_s=0.3, idle_s=0.3, busy_s=0.3, sweep_s=0.02)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(site: Site, count: int) -> AsyncIterator[list[Stream]]:
    """Open that many connections that say nothing."""
    streams = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(count)]
    yield streams
    for _, writer in streams:
        writer.close()


async def seconds_until_closed(reader: asyncio.StreamReader) -> float:
    """Wait until the other side closes, five seconds at most."""
    begun = time.monotonic()
    async with asyncio.timeout(5):
        try:
            await reader.read()
        except ConnectionError:
            return time.monotonic() - begun
    return time.monotonic() - begun


async def until(site: Site, outcome: str, count: int = 1) -> None:
    """Wait until the door has told that."""
    async with asyncio.timeout(5):
        while site.notebook.outcomes("connection").count(outcome) < count:
            await asyncio.sleep(0.01)


async def test_six_hundred_idle_sockets_do_not_shut_the_door() -> None:
    """More silent sockets than there is room for, while good posts go on, each on a new connection."""
    limits = DoorLimits(prompt_s=0.0)
    async with running(Setup(door=limits)) as site, connected(site, 600):
        begun = time.monotonic()
        for _ in range(50):
            assert (await post(site, GOOD)).status == 200
        assert time.monotonic() - begun < 5
        assert site.notebook.outcomes("connection").count("evicted") >= 88
        assert site.server.connections <= limits.max_connections


async def test_senders_at_one_byte_a_second_do_not_shut_the_door() -> None:
    """Slowloris: heads that never end are evicted before anybody who has finished one."""
    async with running(Setup(door=DoorLimits(max_connections=20, prompt_s=0.0))) as site, connected(site, 20) as slow:
        for _, writer in slow:
            writer.write(b"POST / HTTP/1.1\r\nX-A: b\r\n")
        kept = await asyncio.open_connection("127.0.0.1", site.port)
        for _ in range(5):
            kept[1].write(REQUEST)
            assert (await read_answer(kept[0])).status == 200
            for _, writer in slow[10:]:
                writer.write(b"a")
            assert (await post(site, GOOD)).status == 200
        kept[1].close()


async def test_a_silent_socket_dies_in_time() -> None:
    """It never sends a byte."""
    async with running(Setup(door=HASTY)) as site, connected(site, 1) as [(reader, _)]:
        assert 0.2 < await seconds_until_closed(reader) < 2
        assert site.notebook.outcomes("connection") == ["expired"]
        assert site.server.connections == 0


async def test_a_head_that_trickles_dies_in_time() -> None:
    """The deadline is absolute: more bytes do not move it, neither on a new connection nor on a kept one."""
    limits = DoorLimits(receive_s=0.3, sweep_s=0.02)
    async with running(Setup(door=limits)) as site, connected(site, 2) as [(fresh, trickle), (kept, again)]:
        again.write(REQUEST)
        assert (await read_answer(kept)).status == 200
        begun = time.monotonic()
        ends = {trickle: fresh, again: kept}
        for writer in ends:
            writer.write(b"POST / HTTP/1.1\r\nX-A: ")
        while ends and time.monotonic() - begun < 3:
            for writer, reader in list(ends.items()):
                writer.write(b"X")
                if reader.at_eof() or reader.exception():
                    del ends[writer]
            await asyncio.sleep(0.02)
        assert time.monotonic() - begun < 1.5


async def test_a_body_that_trickles_is_answered_408() -> None:
    """Counted from the first byte of the request."""
    async with running(Setup(door=DoorLimits(receive_s=0.3))) as site, connected(site, 1) as [(reader, writer)]:
        writer.write(head("POST", HOOK, {"Content-Length": "5000"}) + b"{")
        begun = time.monotonic()
        answer = await read_answer(reader)
        assert time.monotonic() - begun < 1
        assert (answer.status, answer.json["reason"]) == (408, "too_slow")


async def test_a_slow_head_leaves_less_time_for_the_body() -> None:
    """One deadline for the whole request."""
    async with running(Setup(door=DoorLimits(receive_s=1.0))) as site, connected(site, 1) as [(reader, writer)]:
        begun = time.monotonic()
        writer.write(b"POST / HTTP/1.1\r\n")
        await asyncio.sleep(0.6)
        writer.write(b"Host: x\r\nContent-Length: 5\r\n\r\n")
        assert (await read_answer(reader)).status == 408
        assert time.monotonic() - begun < 1.4


async def test_a_kept_connection_that_rests_too_long_is_closed() -> None:
    """Quietly: this is no fault."""
    async with running(Setup(door=HASTY)) as site, connected(site, 1) as [(reader, writer)]:
        writer.write(REQUEST)
        assert (await read_answer(reader)).status == 200
        assert await seconds_until_closed(reader) < 2
        assert site.notebook.outcomes("connection") == ["idle"]


async def test_a_request_that_is_worked_on_too_long_is_cut() -> None:
    """The last bound, should every other fail."""
    inbox = MemoryInbox()
    inbox.open.clear()
    async with running(Setup(door=HASTY, inbox=inbox)) as site, connected(site, 1) as [(reader, writer)]:
        writer.write(REQUEST)
        assert await seconds_until_closed(reader) < 2
        assert site.notebook.outcomes("connection") == ["expired"]
        inbox.open.set()


async def test_whoever_is_being_served_is_not_evicted() -> None:
    """A house full of work turns the newcomer away."""
    inbox = MemoryInbox()
    inbox.open.clear()
    setup = Setup(door=DoorLimits(max_connections=3), inbox=inbox)
    async with running(setup) as site, connected(site, 3) as streams:
        for _, writer in streams:
            writer.write(REQUEST)
        while inbox.asked < 3:
            await asyncio.sleep(0.01)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(site, REQUEST)
        assert site.notebook.outcomes("connection") == ["refused"]
        inbox.open.set()
        assert [(await read_answer(reader)).status for reader, _ in streams] == [200, 200, 200]


@pytest.mark.parametrize("prompt_s", [0.0, 60.0])
async def test_who_goes_first(prompt_s: float) -> None:
    """The one that has been silent since it came, unless it came a moment ago: then one that rests between requests."""
    limits = DoorLimits(max_connections=2, prompt_s=prompt_s)
    async with running(Setup(door=limits)) as site, connected(site, 2) as [(rests, writer), (silent, _)]:
        writer.write(REQUEST)
        assert (await read_answer(rests)).status == 200
        assert (await post(site, GOOD)).status == 200
        await until(site, "evicted")
        await seconds_until_closed(silent if prompt_s == 0 else rests)
        assert not (rests if prompt_s == 0 else silent).at_eof()


async def test_requests_in_one_packet_are_all_answered() -> None:
    """Pipelining: two requests and the beginning of a third."""
    async with running() as site, connected(site, 1) as [(reader, writer)]:
        writer.write(REQUEST * 2 + REQUEST[:30])
        assert [(await read_answer(reader)).status for _ in range(2)] == [200, 200]
        writer.write(REQUEST[30:])
        assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 100, b"GET\r\n\r\n"])
async def test_what_is_no_http_is_answered_400(garbage: bytes) -> None:
    """TLS on the plain port, and noise."""
    async with running() as site, connected(site, 1) as [(reader, writer)]:
        writer.write(garbage + b"\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400") or reader.at_eof()
        assert (await post(site, GOOD)).status == 200


async def test_a_head_too_large_is_answered_400() -> None:
    """Neither one long line nor many short ones."""
    async with running() as site, connected(site, 2) as streams:
        for (reader, writer), lines in zip(streams, (b"X: " + b"y" * 100_000, b"X: y\r\n" * 5000), strict=True):
            writer.write(b"POST / HTTP/1.1\r\n" + lines + b"\r\n\r\n")
            assert b" 400 " in await reader.readline()


async def test_a_slow_reader_holds_up_nobody() -> None:
    """An answer larger than the socket's buffer waits for its reader, then goes on; others are served meanwhile."""
    async with running(Setup(metrics=b"x" * 20_000_000)) as site, connected(site, 1) as [(reader, writer)]:
        writer.write(head("GET", "/metrics"))
        await reader.readuntil(b"\r\n\r\n")
        assert (await post(site, GOOD)).status == 200
        assert len(await reader.readexactly(20_000_000)) == 20_000_000
