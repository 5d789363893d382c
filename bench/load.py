"""The load: bodies made before, sent over connections that stay open, by a process of its own.

Closed loop: each connection sends the next body when the last one was answered. Open loop: bodies are due at a steady
rate whatever the answers do, and times run from the moment at which a body was due: a system that is late cannot hide
its queue.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from bench.bodies import Series, body
from bench.lines import answer_lines

PATH = "/api/v1/webhooks/alertmanager"
_LATEST_S = 120.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where. ``rate`` in bodies a second; 0: closed loop. ``path`` begins with a slash.

    ``first`` is the number of the first body. ``odd``: each body ends in a line break, as Alertmanager never sends it,
    and has to be read exactly.
    """

    port: int
    run: str
    starts_at: datetime
    bodies: int
    per_body: int = 1
    connections: int = 16
    rate: float = 0.0
    token: str = ""
    path: str = PATH
    first: int = 0
    odd: bool = False


class Sent(msgspec.Struct, kw_only=True):
    """What became of each body: when it was due and answered (monotonic nanoseconds), and the status; 0: none."""

    due: list[int]
    done: list[int]
    status: list[int]


@dataclass(slots=True, eq=False)
class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    answered: Callable[[Connection, int], None]
    lost: Callable[[Connection], None]
    transport: asyncio.Transport | None = None
    body: int = -1
    _received: bytearray = field(default_factory=bytearray)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a part of the answer."""
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        if len(self._received) < end + len(_HEAD_END) + content_length(head):
            return
        self._received.clear()
        self.answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell, because what was under way has no answer."""
        del exc
        self.transport = None
        self.lost(self)


def content_length(head: bytes) -> int:
    """Return the length that a head in lower case announces, 0 where it announces none."""
    _, found, rest = head.partition(_LENGTH)
    return int(rest.partition(b"\r")[0]) if found else 0


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        """Make every request before the clock runs."""
        self.plan = plan
        series = Series(run=plan.run, starts_at=plan.starts_at, per_body=plan.per_body)
        authorization = f"Authorization: Bearer {plan.token}\r\n" if plan.token else ""
        head = (
            f"POST {plan.path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\nUser-Agent: Alertmanager/0.28\r\n"
            f"{authorization}Content-Type: application/json\r\nContent-Length: "
        ).encode()
        end = b"\n" if plan.odd else b""
        bodies = (body(series, plan.first + number) + end for number in range(plan.bodies))
        self.requests = [b"%b%d%b%b" % (head, len(text), _HEAD_END, text) for text in bodies]
        self.sent = Sent(due=[0] * plan.bodies, done=[0] * plan.bodies, status=[0] * plan.bodies)
        self.connections: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._queue: deque[int] = deque()
        self._next = 0
        self._finished = 0
        self._end = asyncio.Event()

    async def connect(self) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        for _ in range(self.plan.connections):
            make = Connection(self._answered, self._lost)
            await loop.create_connection(lambda made=make: made, "127.0.0.1", self.plan.port)  # type: ignore[misc]  # bound at once
            self.connections.append(make)

    async def go(self) -> Sent:
        """Send everything; bodies without an answer after two minutes keep status 0."""
        gc.collect()
        gc.disable()
        if self.plan.rate:
            self._idle.extend(self.connections)
            self._tick(time.monotonic_ns())
        else:
            for connection in self.connections:
                self._following(connection)
        try:
            async with asyncio.timeout(_LATEST_S + (self.plan.bodies / self.plan.rate if self.plan.rate else 0)):
                await self._end.wait()
        except TimeoutError:
            print("not every body was answered in time", file=sys.stderr)
        return self.sent

    def _send(self, connection: Connection, number: int) -> None:
        if connection.transport is None:
            return
        connection.body = number
        if not self.sent.due[number]:
            self.sent.due[number] = time.monotonic_ns()
        connection.transport.write(self.requests[number])

    def _following(self, connection: Connection) -> None:
        if self._next < self.plan.bodies:
            number = self._next
            self._next += 1
            self._send(connection, number)

    def _answered(self, connection: Connection, status: int) -> None:
        self.sent.done[connection.body] = time.monotonic_ns()
        self.sent.status[connection.body] = status
        connection.body = -1
        self._count()
        if not self.plan.rate:
            self._following(connection)
        elif self._queue:
            self._send(connection, self._queue.popleft())
        else:
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        if connection.body >= 0:
            connection.body = -1
            self._count()

    def _count(self) -> None:
        self._finished += 1
        if self._finished == self.plan.bodies:
            self._end.set()

    def _tick(self, began: int) -> None:
        """Send what is due, and come back when the next body is."""
        while self._next < self.plan.bodies:
            due = began + int(self._next / self.plan.rate * 1e9)
            wait = due - time.monotonic_ns()
            if wait > 0:
                asyncio.get_running_loop().call_later(wait / 1e9, self._tick, began)
                return
            self.sent.due[self._next] = due
            if self._idle:
                self._send(self._idle.popleft(), self._next)
            else:
                self._queue.append(self._next)
            self._next += 1


async def main(plan: Plan) -> None:
    """Be the program: ready when connected, ``go`` sends and answers with what became of it."""
    load = Load(plan)
    await load.connect()

    async def go() -> Any:
        return await load.go()

    await answer_lines({"bodies": plan.bodies}, {"go": go})


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))
