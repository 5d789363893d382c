"""Connections by purpose, and the one way to begin a transaction.

Intake, stages and reads have small pools of their own, so that a slow screen or a long queue of work cannot keep an
alert from being recorded.

Nothing is ever set on a session: behind pgbouncer in transaction mode the next transaction may run on another one, and
pgbouncer refuses start-up parameters that it does not know. Role, limits and durability are therefore set with SET
LOCAL, sent in one message with BEGIN, so they cost no round trip and hold whatever the server's defaults are. For the
same reason the driver's clean-up query after each use is left out, and every statement runs inside ``transaction``:
there an unnamed statement's parse and execute meet the same server session. Prepared statements save a round trip for
each statement; they are used when we speak with the server directly, which ``judge`` finds out.
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
_SETTINGS = (
    "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '5s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '10s'"
)


class Purpose(StrEnum):
    """What a pool is for."""

    INTAKE = "intake"
    STAGES = "stages"
    READ = "read"


# 14 connections a replica at most; intake shares commits and needs few.
_SIZES = {Purpose.INTAKE: 3, Purpose.STAGES: 7, Purpose.READ: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPool:
    """The connections of one purpose; use them through ``transaction``."""

    purpose: Purpose
    begin: str
    connections: asyncpg.Pool[asyncpg.Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPools:
    """All pools, and what was found out about the server."""

    server: Server
    intake: LedgerPool
    stages: LedgerPool
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
        pools = {purpose: await stack.enter_async_context(_pool(dsn, server, purpose)) for purpose in Purpose}
        yield LedgerPools(
            server=server, intake=pools[Purpose.INTAKE], stages=pools[Purpose.STAGES], read=pools[Purpose.READ]
        )


@asynccontextmanager
async def transaction(pool: LedgerPool) -> AsyncIterator[Connection]:
    """A READ COMMITTED transaction as the application role: committed at the end of the block, else rolled back.

    Locks are waited for 2 s, statements run 5 s, the block may idle 10 s; in the read pool nothing can be written. The
    block speaks with the database and with nobody else. Raises LedgerError for everything that the database, the
    driver or the network says; ``commit_unknown`` when the answer to COMMIT was lost.
    """
    with translated():
        connection = await _acquire(pool)
        try:
            try:
                await connection.execute(pool.begin)
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            await _commit(connection)
        finally:
            await pool.connections.release(connection, timeout=_CLOSE_SECONDS)


@asynccontextmanager
async def _pool(dsn: str, server: Server, purpose: Purpose) -> AsyncIterator[LedgerPool]:
    mode = " READ ONLY" if purpose is Purpose.READ else ""
    role = f"; SET LOCAL ROLE {server.role}" if server.role else ""
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
            server_settings={"application_name": f"remediator-{purpose.value}"},
            reset=_leave_as_it_is,
        )
    begin = f"BEGIN ISOLATION LEVEL READ COMMITTED{mode}; {_SETTINGS}{role}"
    try:
        yield LedgerPool(purpose=purpose, begin=begin, connections=connections)
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
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        # What led here is the error to tell; a connection that cannot roll back must not be used again.
        connection.terminate()
