"""The probe against servers that keep it waiting, refuse and hang up: every request is accounted for, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bench.bare import Bare
from bench.probe import CONNECTIONS, Probe, Stream, Watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Gate:
    """Takes requests and answers them when it is told to."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self.open = 0
        self.held: list[asyncio.StreamWriter] = []
        self.came = asyncio.Event()
        self.wanted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold every request of a connection."""
        self.open += 1
        try:
            while await reader.readline():
                while (await reader.readline()).strip():
                    continue
                self.held.append(writer)
                if len(self.held) == self.wanted:
                    self.came.set()
        except ConnectionError:
            assert writer.transport.is_closing()
        finally:
            self.open -= 1
            writer.close()

    async def empty(self) -> None:
        """Wait until every connection is closed."""
        async with asyncio.timeout(15):
            while self.open:
                await asyncio.sleep(0.001)

    async def until(self, wanted: int) -> list[asyncio.StreamWriter]:
        """Return those who wait as soon as there are so many, and hold nobody any more."""
        self.wanted = wanted
        if len(self.held) < wanted:
            self.came.clear()
            async with asyncio.timeout(15):
                await self.came.wait()
        held, self.held = self.held, []
        return held


@pytest.fixture
async def gate() -> AsyncIterator[tuple[Gate, Stream]]:
    """A gate, and a stream that is connected to it."""
    found = Gate()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    stream = Stream(server.sockets[0].getsockname()[1], "/livez")
    await stream.connect()
    yield found, stream
    stream.close()
    await found.empty()
    server.close()
    await server.wait_closed()


async def answered(stream: Stream, count: int) -> None:
    """Wait until so many requests have been accounted for."""
    async with asyncio.timeout(15):
        while len(stream.answers.took_ms) + stream.answers.failed < count:
            await asyncio.sleep(0.001)


async def test_a_server_that_answers_nobody_keeps_many_waiting(gate: tuple[Gate, Stream]) -> None:
    """What finds no free connection waits for one, and its time runs since it was due."""
    found, stream = gate
    for _ in range(CONNECTIONS + 5):
        stream.ask()
    assert stream.outstanding == CONNECTIONS + 5
    for writer in await found.until(CONNECTIONS):
        writer.write(OK)
    for writer in await found.until(5):
        writer.write(OK)
    await answered(stream, CONNECTIONS + 5)
    assert (len(stream.answers.took_ms), stream.answers.failed, stream.outstanding) == (CONNECTIONS + 5, 0, 0)
    assert min(stream.answers.took_ms[CONNECTIONS:]) >= max(stream.answers.took_ms[:CONNECTIONS]) / 2


async def test_a_refusal_and_a_broken_connection_are_failures(gate: tuple[Gate, Stream]) -> None:
    """Neither is an answer, and the next request takes another connection."""
    found, stream = gate
    stream.ask()
    stream.ask()
    refused, broken = await found.until(2)
    refused.write(BUSY)
    broken.transport.abort()
    await answered(stream, 3)
    assert (len(stream.answers.took_ms), stream.answers.failed, stream.outstanding) == (1, 2, 0)


async def test_two_servers_are_asked_as_often(gate: tuple[Gate, Stream]) -> None:
    """A bare server answers everything; one that never answers fails everything, and nothing is lost count of."""
    found, _ = gate
    made: list[Bare] = []

    def bare_one() -> Bare:
        made.append(Bare())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(bare_one, "127.0.0.1", 0)
    ports = {"bare": server.sockets[0].getsockname()[1], "gate": gate[1].port}
    probe = Probe(Watch(ports=ports, rate=1000.0, last_s=0.05))
    await probe.connect()
    await probe.begin()
    await found.until(10)
    answers = await probe.end()
    probe.close()
    async with asyncio.timeout(15):
        while not all(one.transport.is_closing() for one in made):
            await asyncio.sleep(0.001)
    server.close()
    await server.wait_closed()
    bare, gated = answers["bare"], answers["gate"]
    assert bare.failed == 0
    assert len(bare.took_ms) == gated.failed >= 10
    assert gated.took_ms == []
