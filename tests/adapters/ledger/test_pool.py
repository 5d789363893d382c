"""Judging a server, transactions and what becomes of them when the database misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.connect import connect, judge
from remediator.adapters.ledger.embedded import running
from remediator.adapters.ledger.migrate import migrate
from remediator.adapters.ledger.pool import (
    LedgerPool,
    LedgerPools,
    Purpose,
    one_pool,
    open_pools,
    statement,
    transaction,
)
from remediator.model.errors import ConfigError, InvariantBroken, LedgerError

# Sent with the migrated template; the tests write into it freely.
PUT = "INSERT INTO remediator.rule_sets (digest, files) VALUES ($1, '{}')"
COUNT = "SELECT count(*) FROM remediator.rule_sets"


@pytest.fixture
async def other(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of an administrator, beside the pools."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def put(pool: LedgerPool, key: str) -> None:
    """Commit one row."""
    async with transaction(pool) as connection:
        await connection.execute(PUT, key)


async def execute(pool: LedgerPool, *statements: str) -> None:
    """Execute statements in one transaction."""
    async with transaction(pool) as connection:
        for statement in statements:
            await connection.execute(statement)


async def count(pool: LedgerPool) -> int:
    """How many rows were committed."""
    async with transaction(pool) as connection:
        found: int = await connection.fetchval(COUNT)
    return found


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "pooler"])
@pytest.mark.parametrize("purpose", list(Purpose))
async def test_every_transaction_is_alike(database: str, pools: LedgerPools, purpose: Purpose, direct: bool) -> None:
    """Every transaction has its isolation, durability, limits and role, whatever the pool and the server."""
    expected = {
        "transaction_isolation": "read committed",
        "synchronous_commit": "off" if purpose is Purpose.LEASES else "on",
        "lock_timeout": "2s",
        "statement_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "TimeZone": "UTC",
        "role": "remediator_app",
        "transaction_read_only": "on" if purpose is Purpose.READ else "off",
        "application_name": f"remediator-{purpose.value}",
        "plan_cache_mode": "force_generic_plan" if direct and purpose is not Purpose.READ else "auto",
        "enable_seqscan": "off" if direct and purpose is not Purpose.READ else "on",
    }
    async with one_pool(database, replace(pools.server, direct=direct), purpose) as pool:
        async with transaction(pool) as connection:
            found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in expected}
            named = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
        assert found == expected
        assert (named > 0) is direct
        if not direct:
            async with pool.connections.acquire() as connection:
                left = [await connection.fetchval(f"SHOW {name}") for name in ("lock_timeout", "role")]
            assert left == ["0", "none"], "behind a pooler the session belongs to others afterwards"


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "pooler"])
async def test_an_opening_is_sent_with_begin(database: str, pools: LedgerPools, direct: bool) -> None:
    """A lock is held from the first statement to the end; where it is refused, nothing has begun."""
    lock = "-- lock\n-- why;\nSELECT pg_advisory_xact_lock(7);"
    free = "SELECT pg_try_advisory_xact_lock(7)"
    async with (
        one_pool(database, replace(pools.server, direct=direct), Purpose.STAGES) as pool,
        pools.leases.connections.acquire() as other,
    ):
        async with transaction(pool, lock) as connection:
            assert await connection.fetchval("SELECT current_setting('lock_timeout')") == "2s"
            assert not await other.fetchval(free)
        assert await other.fetchval(free)
        for wrong, reason in (("SELECT 1/0", "data"), ("SELECT nothing", "bug")):
            with pytest.raises(LedgerError) as raised:
                async with transaction(pool, f"{lock}\n{wrong}"):
                    pytest.fail("it has begun")
            assert raised.value.reason == reason
            assert await other.fetchval(free)
        await put(pool, "x")


async def test_ledger_is_append_only(pool: LedgerPool) -> None:
    """As the application role the ledger can be added to, and nothing else."""
    await execute(pool, "INSERT INTO remediator.ledger (kind, summary) VALUES ('test', 'a line')")
    for forbidden in (
        "UPDATE remediator.ledger SET summary = ''",
        "DELETE FROM remediator.ledger",
        "TRUNCATE remediator.ledger",
        "DROP TABLE remediator.ledger",
    ):
        with pytest.raises(LedgerError, match=r"permission: .*ledger") as raised:
            await execute(pool, forbidden)
        assert not raised.value.retryable


async def test_failure_rolls_back(pool: LedgerPool) -> None:
    """An error inside the block leaves nothing behind and passes through as it is."""

    async def fail() -> None:
        async with transaction(pool) as connection:
            await connection.execute(PUT, "x")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await count(pool) == 0


async def test_swallowed_error_is_not_a_commit(pool: LedgerPool) -> None:
    """COMMIT after a failed statement is answered ROLLBACK; that must not look like success."""

    async def swallow() -> None:
        async with transaction(pool) as connection:
            await connection.execute(PUT, "x")
            with suppress(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1/0")

    with pytest.raises(InvariantBroken, match="went on after a failed statement"):
        await swallow()
    assert await count(pool) == 0


async def test_cancelled_block(pool: LedgerPool) -> None:
    """A cancelled block is rolled back, and its connection serves the next one."""

    async def cancelled() -> None:
        async with asyncio.timeout(0.05), transaction(pool) as connection:
            await connection.execute(PUT, "x")
            await connection.execute("SELECT pg_sleep(3)")

    with pytest.raises(TimeoutError):
        await cancelled()
    assert await count(pool) == 0


async def test_conflict_names_the_constraint_and_no_value(pool: LedgerPool) -> None:
    """A doubled key is a conflict, not to be retried; the message has no value of the row."""
    await put(pool, "secret-value")
    with pytest.raises(LedgerError) as raised:
        await put(pool, "secret-value")
    assert str(raised.value) == "conflict: UniqueViolationError (rule_sets_pkey) [23505]"
    assert not raised.value.retryable
    assert isinstance(raised.value.__cause__, asyncpg.UniqueViolationError)


@pytest.mark.parametrize("statement", ["SELECT $1::int", "SELECT $1::text::int", "SELECT $1::jsonb"])
async def test_bad_value(pool: LedgerPool, statement: str) -> None:
    """A value that the driver or the server refuses is a data error without the value in it."""

    async def ask() -> None:
        async with transaction(pool) as connection:
            await connection.fetchval(statement, "hunter2")

    with pytest.raises(LedgerError) as raised:
        await ask()
    assert (raised.value.reason, raised.value.retryable) == ("data", False)
    assert "hunter2" not in str(raised.value)


async def test_lock_timeout(pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """A lock is waited for two seconds, then the caller is free again and may retry."""
    await put(pool, "x")
    async with other.transaction():
        await other.execute("SELECT FROM remediator.rule_sets FOR UPDATE")
        begun = asyncio.get_running_loop().time()
        with pytest.raises(LedgerError) as raised:
            await execute(pool, "UPDATE remediator.rule_sets SET files = '[]'")
        assert 1.8 < asyncio.get_running_loop().time() - begun < 5
    assert (raised.value.reason, raised.value.retryable) == ("timeout", True)


async def test_statement_timeout(pool: LedgerPool) -> None:
    """A statement ends by itself; here shortened within the transaction."""
    with pytest.raises(LedgerError) as raised:
        await execute(pool, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)")
    assert (raised.value.reason, raised.value.retryable) == ("timeout", True)


async def test_killed_connection(pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """A connection that the server ends is an error to retry, and the retry works."""

    async def lose() -> None:
        async with transaction(pool) as connection:
            await other.execute("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))
            await connection.execute(PUT, "x")

    with pytest.raises(LedgerError) as raised:
        await lose()
    assert (raised.value.reason, raised.value.retryable) == ("unavailable", True)
    await put(pool, "x")


async def test_error_of_the_block_is_the_one_that_is_told(
    pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    """When the connection is lost as well, the block's own error still comes out."""

    async def lose() -> None:
        async with transaction(pool) as connection:
            await other.execute("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await connection.execute(PUT, "x")
            raise KeyError

    with pytest.raises(KeyError):
        await lose()


async def test_lost_commit_is_unknown(pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """When the answer to COMMIT is lost the caller is told that it may have happened."""

    async def lose() -> None:
        async with transaction(pool) as connection:
            await connection.execute(PUT, "x")
            await other.execute("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))

    with pytest.raises(LedgerError) as raised:
        await lose()
    assert (raised.value.reason, raised.value.retryable) == ("commit_unknown", True)


async def test_reads_cannot_write(pools: LedgerPools) -> None:
    """The pool of the screens is read-only."""
    with pytest.raises(LedgerError, match="read_only"):
        await put(pools.read, "x")


async def test_refused_commit_is_known(pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """When COMMIT itself is refused nothing was stored, and that is certain."""
    await other.execute(
        "CREATE TABLE public.late (x int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        "GRANT INSERT ON public.late TO remediator_app"
    )
    with pytest.raises(LedgerError, match=r"conflict: UniqueViolationError \(late_x_key\)"):
        await execute(pool, "INSERT INTO public.late VALUES (1), (1)")


async def test_busy_pool_says_so(pools: LedgerPools) -> None:
    """A caller waits four seconds for a connection, not for ever, and another purpose is not touched."""
    enough, all_taken = asyncio.Event(), asyncio.Barrier(4)

    async def hold() -> None:
        async with transaction(pools.intake):
            await all_taken.wait()
            await enough.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(hold())
        await all_taken.wait()
        with pytest.raises(LedgerError, match=r"timeout: no connection of the intake pool became free within 4 s"):
            await put(pools.intake, "x")
        await put(pools.stages, "x")
        enough.set()


async def test_direct_server_is_told_from_a_pooler(database: str) -> None:
    """A direct server keeps prepared statements: the process number that it told is its own."""
    connection = await connect(database, name="test", command_seconds=5)
    server = await judge(connection)
    await connection.close()
    assert server.direct
    assert server.role == "remediator_app"
    assert server.warnings == ()


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("synchronous_commit", "off", "synchronous_commit is off .* would be lost in a crash"),
        ("default_transaction_read_only", "on", "default_transaction_read_only is on"),
        ("default_transaction_isolation", "repeatable read", "is 'repeatable read' .* counted under locks"),
    ],
)
async def test_unfit_server_is_refused(
    database: str, other: asyncpg.Connection[asyncpg.Record], setting: str, value: str, complaint: str
) -> None:
    """A server that would lose or refuse what we write is refused at the start, with the remedy."""
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    with pytest.raises(ConfigError, match=complaint):
        async with open_pools(database):
            pass


async def test_every_fault_at_once(database: str, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """All that is wrong with a server is told in one error."""
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(ConfigError) as raised:
        async with open_pools(database):
            pass
    assert len(raised.value.problems) == 2


async def test_wrong_encoding(ascii_database: str) -> None:
    """A database that is not UTF-8 could not hold every label."""
    with pytest.raises(ConfigError, match="encoding is SQL_ASCII"):
        async with open_pools(ascii_database):
            pass


async def test_server_turns_read_only(pool: LedgerPool, other: asyncpg.Connection[asyncpg.Record]) -> None:
    """A server that is switched to read-only while we run is worth a retry: somebody is failing over."""
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await pool.connections.expire_connections()
    with pytest.raises(LedgerError) as raised:
        await put(pool, "x")
    assert (raised.value.reason, raised.value.retryable) == ("read_only", True)


async def test_role_comes_and_goes(data_dir: Path) -> None:
    """Who may make roles gets the protection; without it the daemon works and says what to do."""
    async with running(data_dir) as server:
        administrator = await asyncpg.connect(server.dsn)
        await administrator.execute("CREATE ROLE maker LOGIN CREATEROLE; CREATE ROLE plain LOGIN")
        await administrator.execute("ALTER DATABASE remediator OWNER TO maker")
        await administrator.execute("CREATE DATABASE plain OWNER plain")
        plain = server.dsn.replace("//remediator@/remediator?", "//plain@/plain?")
        maker = server.dsn.replace("//remediator@", "//maker@")

        report = await migrate(plain)
        assert "cannot be made by plain" in report.warnings[0]
        async with open_pools(plain) as pools:
            assert pools.server.role is None
            assert "CREATE ROLE remediator_app NOLOGIN" in pools.server.warnings[0]
            await put(pools.stages, "x")

        assert (await migrate(maker)).warnings == ()
        async with open_pools(maker) as pools:
            assert (pools.server.role, pools.server.warnings) == ("remediator_app", ())
            await put(pools.stages, "x")

        async with open_pools(plain) as pools:
            assert pools.server.role is None
            assert "has no rights in the schema" in pools.server.warnings[0]
        await administrator.execute("REVOKE remediator_app FROM maker GRANTED BY maker")
        async with open_pools(maker) as pools:
            assert pools.server.role is None
            assert "GRANT remediator_app TO that user" in pools.server.warnings[0]
        await administrator.close()


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "pooler"])
async def test_a_single_statement_is_a_transaction_of_its_own(database: str, pools: LedgerPools, direct: bool) -> None:
    """It is committed when it has run, works as the same role, and a refused one leaves nothing behind."""
    async with one_pool(database, replace(pools.server, direct=direct), Purpose.LEASES) as pool:
        async with statement(pool) as connection:
            await connection.execute(
                "INSERT INTO remediator.quarantine (source, path, reason, raw) VALUES ('a', '$', current_user, '')"
            )
        async with statement(pool) as connection:
            assert await connection.fetchval("SELECT reason FROM remediator.quarantine") == "remediator_app"
        with pytest.raises(LedgerError, match="permission"):
            async with statement(pool) as connection:
                await connection.execute("DELETE FROM remediator.ledger")
