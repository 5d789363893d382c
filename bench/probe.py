"""The probe: a steady stream of GETs from a process of its own, which shows every moment at which nobody answered.

An event loop that is blocked answers nothing. The requests are due at fixed moments whatever the answers do, over many
connections, so a blocked loop is met by many of them and cannot hide. Times run from the moment at which a request was
sent, or from when it was due where no connection was free: what the probe itself is late with does not count.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque

import msgspec

from bench.lines import answer_lines
from bench.load import Connection

RATE = 200.0
CONNECTIONS = 32
LAST_S = 30.0


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask: ports by name. Each gets ``rate`` requests a second for ``path``.

    The last of them have ``last_s`` seconds for their answers.
    """

    ports: dict[str, int]
    path: str = "/livez"
    rate: float = RATE
    last_s: float = LAST_S


class Answers(msgspec.Struct, kw_only=True):
    """What one server did with its requests: how long each took in milliseconds, and how many got no 200."""

    took_ms: list[float]
    failed: int


class Stream:
    """The requests to one server."""

    def __init__(self, port: int, path: str) -> None:
        """Begin with no connection."""
        self.port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._all: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._sent: dict[Connection, int] = {}
        self.answers = Answers(took_ms=[], failed=0)

    async def connect(self) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            made = Connection(self._answered, self._lost)
            await loop.create_connection(lambda made=made: made, "127.0.0.1", self.port)  # type: ignore[misc]  # bound at once
            self._all.append(made)
            self._idle.append(made)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._all:
            if connection.transport is not None:
                connection.transport.close()

    @property
    def outstanding(self) -> int:
        """Return how many requests have no answer yet."""
        return len(self._sent) + len(self._waiting)

    def give_up(self) -> None:
        """Count what has no answer as failed."""
        self.answers.failed += self.outstanding
        self._sent.clear()
        self._waiting.clear()

    def ask(self) -> None:
        """Send one request, or have it wait for a connection."""
        now = time.monotonic_ns()
        if self._idle:
            self._send(self._idle.popleft(), now)
        else:
            self._waiting.append(now)

    def _send(self, connection: Connection, since: int) -> None:
        if connection.transport is None:
            self.answers.failed += 1
            return
        self._sent[connection] = since
        connection.transport.write(self._request)

    def _answered(self, connection: Connection, status: int) -> None:
        since = self._sent.pop(connection, None)
        if since is None:
            return  # it was given up
        self.answers.took_ms.append((time.monotonic_ns() - since) / 1e6)
        self.answers.failed += status != 200  # noqa: PLR2004 - HTTP's own number
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        self.answers.failed += self._sent.pop(connection, None) is not None


class Probe:
    """Asks all servers in turn from ``begin`` to ``end``."""

    def __init__(self, watch: Watch) -> None:
        """Prepare a stream for each server."""
        self._watch = watch
        self._streams = {name: Stream(port, watch.path) for name, port in watch.ports.items()}
        self._asking = False

    async def connect(self) -> None:
        """Connect to all."""
        for stream in self._streams.values():
            await stream.connect()

    def close(self) -> None:
        """Close all connections."""
        for stream in self._streams.values():
            stream.close()

    async def begin(self) -> None:
        """Ask from now on."""
        self._asking = True
        self._tick(time.monotonic_ns(), 0)

    async def end(self) -> dict[str, Answers]:
        """Ask no more, wait for the answers that are due, and return all of them by name."""
        self._asking = False
        ends = time.monotonic() + self._watch.last_s
        while time.monotonic() < ends:
            await asyncio.sleep(0.01)
            if not any(stream.outstanding for stream in self._streams.values()):
                break
        for stream in self._streams.values():
            stream.give_up()
        return {name: stream.answers for name, stream in self._streams.items()}

    def _tick(self, began: int, number: int) -> None:
        """Ask everybody as often as is due, and come back for the next time."""
        while self._asking:
            wait = began + int(number / self._watch.rate * 1e9) - time.monotonic_ns()
            if wait > 0:
                asyncio.get_running_loop().call_later(wait / 1e9, self._tick, began, number)
                return
            for stream in self._streams.values():
                stream.ask()
            number += 1


async def main(watch: Watch) -> None:
    """Be the program: ready when connected, ``begin`` asks, ``end`` answers with what came."""
    probe = Probe(watch)
    await probe.connect()
    gc.collect()
    gc.disable()
    await answer_lines({}, {"begin": probe.begin, "end": probe.end})


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Watch)))
