"""A fault proxy for PostgreSQL that understands its protocol: it knows which statement, and which COMMIT, it passes on.

Statements are known by the name that stands in their first line (``-- claim_actions``), a COMMIT by the statements of
its transaction that write.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.faults.points import Cut, Meeting, Point, nothing

_NAME = re.compile(r"^-- ([a-z][a-z0-9_]*)$", re.MULTILINE)
_WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b")
# What is part of many transactions says nothing about which one this is.
_ORDINARY = {"append_entries", "wake"}
_CANCEL = 80877102


@dataclass(frozen=True, slots=True)
class _Statement:
    """What is known of one: its name, the names of what comes with it, and whether it writes."""

    name: str = ""
    writes: bool = False

    @classmethod
    def of(cls, text: str) -> _Statement:
        """Read the SQL text."""
        found = _NAME.findall(text)
        word = text.split(None, 1)[0].upper().rstrip(";") if text.strip() else "?"
        name = " ".join([word, *found]) if word == "BEGIN" else (found[0] if found else word)
        return cls(name, bool(_WRITES.search(text)))


@dataclass(slots=True)
class _Session:
    """What is known about one connection: its prepared statements, its transaction, and what is being asked."""

    prepared: dict[bytes, _Statement] = field(default_factory=dict)
    done: list[_Statement] = field(default_factory=list)
    bound: _Statement = _Statement()
    asked: _Statement = _Statement()


class PostgresProxy:
    """Passes sessions on to the server of ``dsn``, and has each statement met before it is sent and after it ran."""

    def __init__(self, dsn: str, meet: Meeting = nothing) -> None:
        """Stand before the server whose (socket) connection string is ``dsn``."""
        parts = urlsplit(dsn)
        where = parse_qs(parts.query)
        self._socket = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"
        self._address = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1", parts.path
        self.meet = meet
        self.port = 0
        self.ended = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def dsn(self) -> str:
        """The connection string that leads through the proxy."""
        return f"postgresql://{self._address[0]}:{self.port}{self._address[1]}?sslmode=disable"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PostgresProxy]:
        """Listen on a free port of the loopback interface."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut_all()
            async with asyncio.timeout(5):
                while self._open:
                    await asyncio.sleep(0.01)

    def cut_all(self) -> None:
        """End every session now, as a network that fails does."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_unix_connection(self._socket)
        except OSError:
            to_client.transport.abort()
            return
        session = _Session()
        self._open |= {to_client, to_server}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(session, client, to_server))
                both.create_task(self._answers(session, server, to_client))
        except* (Cut, OSError, asyncio.IncompleteReadError):
            # One side has gone, or was told to: the other goes too.
            self.ended += 1
        finally:
            self._open -= {to_client, to_server}
            to_client.transport.abort()
            to_server.transport.abort()

    async def _requests(self, session: _Session, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        size = await client.readexactly(4)
        opening = size + await client.readexactly(int.from_bytes(size) - 4)
        server.write(opening)
        if int.from_bytes(opening[4:8]) == _CANCEL:
            return
        held = b""
        while True:
            kind, message = await _message(client)
            held += message
            _learn(session, kind, message[5:])
            if kind in b"QS" and session.bound.name:
                session.asked, session.bound = session.bound, _Statement()
                await self.meet(Point(call=_call(session), after=False))
            if kind in b"QSHX":
                server.write(held)
                held = b""

    async def _answers(self, session: _Session, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        held, rows = b"", 0
        while True:
            kind, message = await _message(server)
            held += message
            if kind == b"D":
                rows += 1
            elif kind == b"C":
                told = message[5:-1].rpartition(b" ")[2]
                rows = max(rows, int(told) if told.isdigit() else 0)
            if kind == b"Z" and session.asked.name:
                await self.meet(Point(call=_call(session), after=True, rows=rows))
                _settle(session)
                rows = 0
            if kind == b"Z" or not session.asked.name:
                client.write(held)
                held = b""


async def _message(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await stream.readexactly(5)
    return head[:1], head + await stream.readexactly(int.from_bytes(head[1:]) - 4)


def _learn(session: _Session, kind: bytes, content: bytes) -> None:
    """Remember what is prepared under which name, and what is about to run."""
    if kind == b"Q":
        session.bound = _Statement.of(content.rstrip(b"\0").decode())
    elif kind == b"P":
        name, text, _ = content.split(b"\0", 2)
        session.prepared[name] = _Statement.of(text.decode())
    elif kind == b"B":
        session.bound = session.prepared[content.split(b"\0", 2)[1]]


def _call(session: _Session) -> str:
    """Return the name of what is being asked; a COMMIT is named after what it makes last."""
    if session.asked.name != "COMMIT":
        return session.asked.name
    lasting = [one.name for one in session.done if one.writes]
    telling = [name for name in lasting if name not in _ORDINARY] or lasting
    return f"commit of {' and '.join(dict.fromkeys(telling)) or 'nothing'}"


def _settle(session: _Session) -> None:
    """Keep count of the transaction after an answer."""
    if session.asked.name.startswith("BEGIN") or session.asked.name in ("COMMIT", "ROLLBACK"):
        session.done = []
    else:
        session.done.append(session.asked)
    session.asked = _Statement()
