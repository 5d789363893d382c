"""The door: how many connections there may be, and how long each may take.

aiohttp has no deadline for the head of a request and no cap on connections, so a few hundred idle sockets would shut
Alertmanager out. Every connection passes a ``Gate``: it is counted before anything is read, has an absolute deadline
in each phase, and when the house is full the one that has been silent longest makes room for the newcomer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from remediator.ports.observer import Observer, StageEvent

_EARLY_BYTES = 65_536
_TOO_GREAT = 3


class Phase(Enum):
    """What a connection is doing."""

    HANDSHAKE = "handshake"
    HEAD = "head"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Bounds of connections; times in seconds.

    ``receive_s`` bounds a request from its first byte to its last, the TLS handshake before the first request
    included; ``idle_s`` how long a connection is kept between requests; ``busy_s`` how long one request may be worked
    on. ``sweep_s`` is how late a deadline may be noticed. An honest client sends its request within ``prompt_s`` of
    connecting: when the house is full, slower ones go first.
    """

    max_connections: int = 512
    receive_s: float = 10.0
    idle_s: float = 75.0
    busy_s: float = 60.0
    sweep_s: float = 0.5
    prompt_s: float = 1.0


class Gate(asyncio.Protocol):
    """One connection: passes everything on to the HTTP protocol, and knows its phase and its deadline."""

    __slots__ = ("_door", "_early", "deadline", "inner", "phase", "since", "transport")

    def __init__(self, door: Door) -> None:
        """Wait to be connected."""
        self._door = door
        self._early: list[bytes] = []
        self.inner: asyncio.Protocol | None = None
        self.transport: asyncio.Transport | None = None
        self.phase = Phase.HANDSHAKE
        self.since = 0.0
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be counted, or be turned away."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server makes no other
        self.transport = transport
        self._door.enter(self)

    def open(self, inner: asyncio.Protocol, transport: asyncio.Transport) -> None:
        """Begin to speak HTTP over ``transport``: the connection itself, or TLS on top of it."""
        self.transport = transport
        self.inner = inner
        self.phase = Phase.HEAD
        inner.connection_made(transport)
        for data in self._early:
            inner.data_received(data)
        self._early.clear()

    def enter(self, phase: Phase, now: float, seconds: float) -> None:
        """Begin a phase that has to end within ``seconds``."""
        self.phase = phase
        self.since = now
        self.deadline = now + seconds

    def data_received(self, data: bytes) -> None:
        """Pass on; the first byte after an answer begins the next request."""
        if self.inner is None:
            # TLS may deliver the first request together with the end of the handshake.
            self._early.append(data)
            if sum(map(len, self._early)) > _EARLY_BYTES:
                self.abort()
            return
        if self.phase is Phase.IDLE:
            self._door.head_begins(self)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self.inner.eof_received() if self.inner else None

    def pause_writing(self) -> None:
        """Pass on."""
        if self.inner:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        if self.inner:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave, and pass on."""
        self._door.leave(self)
        if self.inner:
            self.inner.connection_lost(exc)

    def abort(self) -> None:
        """Close at once, without a word."""
        if self.transport:
            self.transport.abort()


def _loss(gate: Gate, slow: float) -> int:
    """Rank a connection by the harm of closing it: silent since before ``slow``, between requests, new, busy."""
    match gate.phase:
        case Phase.IDLE:
            return 1
        case Phase.BUSY:
            return _TOO_GREAT
        case Phase.HANDSHAKE | Phase.HEAD:
            return 0 if gate.since <= slow else 2


class Door:
    """Counts the connections of one server, opens them, and closes those that are over their time.

    While ``draining``, every answer is the last one of its connection.
    """

    def __init__(
        self, *, limits: DoorLimits, observer: Observer, tasks: asyncio.TaskGroup, tls: ssl.SSLContext | None = None
    ) -> None:
        """Be ready; ``tasks`` owns the TLS handshakes."""
        self._limits = limits
        self._observer = observer
        self._tasks = tasks
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._make_inner: Callable[[], asyncio.Protocol] | None = None
        self._gates: dict[Gate, None] = {}
        self._by_inner: dict[asyncio.Protocol, Gate] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._left = asyncio.Event()
        self.draining = False

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._gates)

    def serve(self, make_inner: Callable[[], asyncio.Protocol]) -> Callable[[], Gate]:
        """Return the protocol factory of a listening server; ``make_inner`` makes the HTTP protocol of a connection."""
        self._make_inner = make_inner
        return lambda: Gate(self)

    def enter(self, gate: Gate) -> None:
        """Count a new connection and open it, if there is room or room can be made."""
        if len(self._gates) >= self._limits.max_connections and not self._make_room():
            self._tell("refused")
            gate.abort()
            return
        self._gates[gate] = None
        gate.enter(Phase.HANDSHAKE, self._loop.time(), self._limits.receive_s)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._limits.sweep_s, self._sweep)
        assert gate.transport is not None  # noqa: S101 - it has just been connected
        if self._tls is None:
            self._open(gate, gate.transport)
            return
        gate.transport.pause_reading()
        self._tasks.create_task(self._shake_hands(gate, gate.transport, self._tls), name="tls handshake")

    def leave(self, gate: Gate) -> None:
        """Count a connection no more."""
        self._gates.pop(gate, None)
        if gate.inner is not None:
            self._by_inner.pop(gate.inner, None)
        self._left.set()

    def head_begins(self, gate: Gate) -> None:
        """Begin to wait for the rest of a request."""
        gate.enter(Phase.HEAD, self._loop.time(), self._limits.receive_s)

    def begin(self, inner: asyncio.Protocol | None) -> float:
        """Note that a request is being handled; return until when its body has to be here (loop time)."""
        now = self._loop.time()
        gate = self._by_inner.get(inner) if inner is not None else None
        if gate is None:
            return now + self._limits.receive_s
        deadline = gate.since + self._limits.receive_s if gate.phase is Phase.HEAD else now + self._limits.receive_s
        gate.enter(Phase.BUSY, now, self._limits.busy_s)
        return deadline

    def end(self, inner: asyncio.Protocol | None) -> None:
        """Note that a request has been handled."""
        gate = self._by_inner.get(inner) if inner is not None else None
        if gate is not None:
            gate.enter(Phase.IDLE, self._loop.time(), self._limits.idle_s)

    async def drain(self, seconds: float) -> None:
        """Close what is idle, and wait until every request in hand has its answer, ``seconds`` at most."""
        self.draining = True
        for gate in list(self._gates):
            if gate.phase is not Phase.BUSY and gate.transport:
                gate.transport.close()
        try:
            async with asyncio.timeout(seconds):
                while self._gates:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            self._tell("cut_off")

    def close(self) -> None:
        """Stop sweeping, and close what is still open."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for gate in list(self._gates):
            gate.abort()

    def _open(self, gate: Gate, transport: asyncio.Transport) -> None:
        assert self._make_inner is not None  # noqa: S101 - connections come only after serve()
        inner = self._make_inner()
        self._by_inner[inner] = gate
        gate.open(inner, transport)

    async def _shake_hands(self, gate: Gate, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            secured = await self._loop.start_tls(transport, gate, tls, server_side=True)
        except (OSError, asyncio.IncompleteReadError):
            # ssl.SSLError is an OSError; plain HTTP on a TLS port ends here too. The sweeper ends what takes too long.
            self._tell("handshake_failed")
            secured = None
        if secured is None or gate not in self._gates:
            self.leave(gate)
            transport.abort()
            return
        self._open(gate, secured)

    def _make_room(self) -> bool:
        """Close the connection that is the least loss; False if all of them are busy."""
        slow = self._loop.time() - self._limits.prompt_s
        ranks = ((_loss(gate, slow), gate.since, order, gate) for order, gate in enumerate(self._gates))
        loss, _, _, victim = min(ranks)
        if loss == _TOO_GREAT:
            return False
        self._tell("evicted")
        self.leave(victim)
        victim.abort()
        return True

    def _sweep(self) -> None:
        now = self._loop.time()
        for gate in [gate for gate in self._gates if gate.deadline <= now]:
            self._tell("expired" if gate.phase is not Phase.IDLE else "idle")
            self.leave(gate)
            gate.abort()
        self._sweeper = self._loop.call_later(self._limits.sweep_s, self._sweep) if self._gates else None

    def _tell(self, outcome: str) -> None:
        self._observer.tell(StageEvent(stage="connection", outcome=outcome, fields={"open": len(self._gates)}))
