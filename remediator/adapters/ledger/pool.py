"""Connections by purpose, and the one way to begin a transaction.

Intake, stages and reads have small pools of their own, so that a slow screen or a long queue of work cannot keep an
alert from being recorded.

Every transaction has the same role, limits and durability, whatever the server's defaults are. When we speak with the
server directly, which ``judge`` finds out, they are set once for each connection, and statements are prepared. Behind
pgbouncer in transaction mode nothing may be set on a session, because the next transaction may run on another one, and
start-up parameters that pgbouncer does not know are refused: there they are set with SET LOCAL, sent in one message
with BEGIN, and nothing is prepared, which costs a round trip for each statement. Either way the driver's clean-up query
after each use is left out, and every statement runs inside ``transaction``: there an unnamed statement's parse and
execute meet the same server session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import asyncpg
import asyncpg.pool

from remediator.adapters.ledger.connect import CONNECT_SECONDS, Server, connect, judge
from remediator.adapters.ledger.errors import LedgerReason, ledger_error, translate, translated
from remediator.model.errors import InvariantBroken

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# Past the server's own limits, for a peer that hangs.
_COMMAND_SECONDS = 8.0
_ACQUIRE_SECONDS = 4.0
_CLOSE_SECONDS = 5.0
_IDLE_SECONDS = 300.0
_STATEMENTS_KEPT = 200
_QUERIES_A_CONNECTION = 1_000_000
_SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
# A prepared statement is planned once for each connection, not for each execution: that would cost most of them more
# than they cost themselves. The first plan is often made while the tables are empty and all look alike, so it must
# be the one that is right when they are full: by the indexes that every statement of the stages has.
PLANNING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class Purpose(StrEnum):
    """What a pool is for."""

    INTAKE = "intake"
    STAGES = "stages"
    LEASES = "leases"
    """For what a crash may undo because whoever finds it undone does it again: leases, schedules, matching. Its commits
    do not wait for the disk (docs/adr/0005): the next commit that must last makes all before it last too."""
    READ = "read"


# 18 connections a replica at most; intake shares commits and needs few.
_SIZES = {Purpose.INTAKE: 3, Purpose.STAGES: 7, Purpose.LEASES: 4, Purpose.READ: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPool:
    """The connections of one purpose; use them through ``transaction``."""

    purpose: Purpose
    begin: str
    direct: bool
    connections: asyncpg.Pool[asyncpg.Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPools:
    """All pools, and what was found out about the server."""

    server: Server
    intake: LedgerPool
    stages: LedgerPool
    leases: LedgerPool
    read: LedgerPool


@asynccontextmanager
async def open_pools(dsn: str) -> AsyncIterator[LedgerPools]:
    """Judge the server and hold pools to it; the migrations have run.

    Raises ConfigError when the server cannot be trusted or ``dsn`` not be understood, LedgerError when nobody answers.
    """
    probe = await connect(dsn, name="start", command_seconds=_COMMAND_SECONDS)
    try:
        server = await judge(probe)
    finally:
        await probe.close(timeout=_CLOSE_SECONDS)
    async with AsyncExitStack() as stack:
        pools = {purpose: await stack.enter_async_context(one_pool(dsn, server, purpose)) for purpose in Purpose}
        yield LedgerPools(
            server=server,
            intake=pools[Purpose.INTAKE],
            stages=pools[Purpose.STAGES],
            leases=pools[Purpose.LEASES],
            read=pools[Purpose.READ],
        )


@asynccontextmanager
async def transaction(pool: LedgerPool, opening: str = "") -> AsyncIterator[Connection]:
    """A READ COMMITTED transaction as the application role: committed at the end of the block, else rolled back.

    Locks are waited for 2 s, statements run 5 s, the block may idle 10 s; in the read pool nothing can be written. The
    block speaks with the database and with nobody else. ``opening``: a statement without parameters whose answer nobody
    needs, a lock, sent in one message with BEGIN. Raises LedgerError for everything that the database, the driver or
    the network says; ``commit_unknown`` when the answer to COMMIT was lost.
    """
    async with borrowed(pool) as connection, transaction_on(pool, connection, opening):
        yield connection


@asynccontextmanager
async def statement(pool: LedgerPool) -> AsyncIterator[Connection]:
    """A connection for exactly one statement, which is a transaction of its own: one round trip instead of three.

    Behind a pooler it is an ordinary ``transaction``, for only there the settings are sure to hold.
    """
    if not pool.direct:
        async with transaction(pool) as connection:
            yield connection
        return
    async with borrowed(pool) as connection:
        yield connection


@asynccontextmanager
async def borrowed(pool: LedgerPool) -> AsyncIterator[Connection]:
    """A connection for several transactions in a row (``transaction_on``); waits 4 s for one, then LedgerError."""
    with translated():
        connection = await _acquire(pool)
        try:
            yield connection
        finally:
            await pool.connections.release(connection, timeout=_CLOSE_SECONDS)


@asynccontextmanager
async def transaction_on(pool: LedgerPool, connection: Connection, opening: str = "") -> AsyncIterator[None]:
    """As ``transaction``, on a connection that was borrowed from the same pool."""
    with translated():
        try:
            await connection.execute(f"{pool.begin};\n{opening}" if opening else pool.begin)
            yield
        except BaseException:
            await _roll_back(connection)
            raise
        await _commit(connection)


def is_lost(connection: Connection) -> bool:
    """Whether a borrowed connection is of no more use."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has taken a broken connection back already.
        return True


@asynccontextmanager
async def one_pool(dsn: str, server: Server, purpose: Purpose) -> AsyncIterator[LedgerPool]:
    """The pool of one purpose on a server that was judged; raises LedgerError when nobody answers."""
    settings = _SETTINGS | ({"role": server.role} if server.role else {})
    if purpose is Purpose.LEASES:
        settings["synchronous_commit"] = "off"
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED" + (" READ ONLY" if purpose is Purpose.READ else "")
    if server.direct and purpose is not Purpose.READ:
        settings |= PLANNING
    if not server.direct:
        begin = "; ".join([begin, *(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())])
        settings = {}
    with translated():
        connections = await asyncpg.create_pool(
            dsn,
            min_size=0 if purpose is Purpose.READ else 1,
            max_size=_SIZES[purpose],
            max_queries=_QUERIES_A_CONNECTION,
            max_inactive_connection_lifetime=_IDLE_SECONDS,
            timeout=CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            statement_cache_size=_STATEMENTS_KEPT if server.direct else 0,
            server_settings={"application_name": f"remediator-{purpose.value}", **settings},
            reset=_leave_as_it_is,
        )
    try:
        yield LedgerPool(purpose=purpose, begin=begin, direct=server.direct, connections=connections)
    finally:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connections.close()
        except TimeoutError:
            connections.terminate()


async def _leave_as_it_is(_: object) -> None:
    """Nothing was set on the session, so there is nothing to reset; saves a round trip for each use."""


async def _acquire(pool: LedgerPool) -> Connection:
    try:
        async with asyncio.timeout(_ACQUIRE_SECONDS):
            return await pool.connections.acquire()
    except TimeoutError as error:
        message = f"no connection of the {pool.purpose.value} pool became free within {_ACQUIRE_SECONDS:.0f} s"
        raise ledger_error(LedgerReason.TIMEOUT, message) from error


async def _commit(connection: Connection) -> None:
    try:
        answer = await connection.execute("COMMIT")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        failed = translate(error)
        if failed.reason in {LedgerReason.UNAVAILABLE, LedgerReason.TIMEOUT}:
            raise ledger_error(LedgerReason.COMMIT_UNKNOWN, failed.message) from error
        raise failed from error
    if answer != "COMMIT":
        # PostgreSQL answers ROLLBACK, without an error, when a statement had failed and somebody caught that.
        raise InvariantBroken("a transaction went on after a failed statement and was rolled back")


async def _roll_back(connection: Connection) -> None:
    if is_lost(connection):
        return
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        # What led here is the error to tell; a connection that cannot roll back must not be used again.
        if not is_lost(connection):
            connection.terminate()
