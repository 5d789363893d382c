"""The role that the daemon works as: all of its statements pass, and what was recorded is out of its reach."""

from __future__ import annotations

import asyncpg
import pytest

from remediator.adapters.ledger.connect import APPLICATION_ROLE
from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.queries import QUERIES
from tests.adapters.ledger.stand import Owner, admit_actions

KEPT = {"ledger": "summary", "evidence": "sha256", "approvals": "actor"}
# These are the schema's owner's, who alone changes the schema; the role has no right on what they touch.
OWNERS = {
    "migrations_exist", "applied_migrations", "lock_migrations", "schema_exists", "create_schema", "create_migrations",
    "record_migration", "let_role_log_in",
}  # fmt: skip


async def put_one_of_each(owner: Owner, pools: LedgerPools) -> None:
    """Have a row in each table that is only ever added to."""
    await admit_actions(owner, pools.stages)
    await owner.execute("INSERT INTO remediator.approvals (action, approved, actor) VALUES (1, true, 'ada')")
    await owner.execute(
        "INSERT INTO remediator.evidence (incident, target_key, sha256, size, content) VALUES (1, 'a', 'b', 1, '{}')"
    )


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE remediator.{table} SET {column} = 'forged'",
        "UPDATE remediator.{table} SET {column} = 'forged' WHERE false",
        "DELETE FROM remediator.{table}",
        "DELETE FROM remediator.{table} WHERE false",
        "TRUNCATE remediator.{table} CASCADE",
        "DROP TABLE remediator.{table} CASCADE",
        "ALTER TABLE remediator.{table} DISABLE TRIGGER ALL",
        "SELECT FROM remediator.{table} FOR UPDATE",
        "COPY remediator.{table} TO PROGRAM 'cat'",
        """INSERT INTO remediator.{table} OVERRIDING SYSTEM VALUE SELECT * FROM remediator.{table}
           ON CONFLICT ({key}) DO UPDATE SET {column} = 'forged'""",
        "MERGE INTO remediator.{table} AS t USING (VALUES (1)) AS v ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_what_was_recorded_stays(pools: LedgerPools, owner: Owner, table: str, statement: str) -> None:
    """SQLSTATE 42501 for each way to change it, whether or not a row would be touched."""
    await put_one_of_each(owner, pools)
    wanted = statement.format(table=table, column=KEPT[table], key="seq" if table == "ledger" else "id")
    before = await owner.fetch(f"SELECT * FROM remediator.{table}")  # noqa: S608 - a name of ours
    async with pools.stages.connections.acquire() as connection:
        assert await connection.fetchval("SELECT current_user") == APPLICATION_ROLE
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(wanted)
    assert caught.value.sqlstate == "42501"
    assert await owner.fetch(f"SELECT * FROM remediator.{table}") == before  # noqa: S608 - a name of ours


async def test_the_role_can_neither_grow_nor_lend_itself(pools: LedgerPools) -> None:
    """No tables of its own, no roles, no schema, and of the migrations no more than a look."""
    async with pools.stages.connections.acquire() as connection:
        for statement in (
            "CREATE TABLE remediator.mine (a int)",
            "CREATE FUNCTION remediator.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE ROLE mine",
            f"ALTER ROLE {APPLICATION_ROLE} SUPERUSER",
            "INSERT INTO remediator.schema_migrations (version, name, sha256) VALUES (9999, '', '')",
            "UPDATE remediator.schema_migrations SET sha256 = ''",
            "DELETE FROM remediator.rule_sets",
        ):
            with pytest.raises(asyncpg.PostgresError) as caught:
                await connection.execute(statement)
            assert caught.value.sqlstate == "42501", statement
        # This is no error, and does nothing.
        await connection.execute("GRANT UPDATE ON remediator.ledger TO PUBLIC")
        assert not await connection.fetchval("SELECT has_table_privilege('remediator.ledger', 'UPDATE')")


def test_the_owners_statements_are_known() -> None:
    """A new statement is the daemon's unless it is listed here."""
    assert set(QUERIES) >= OWNERS


@pytest.mark.parametrize("name", sorted(set(QUERIES) - OWNERS))
async def test_every_statement_of_the_daemon_passes(pools: LedgerPools, name: str) -> None:
    """The server checks the rights when it is about to execute, which explaining with empty values comes to."""
    async with pools.stages.connections.acquire() as connection:
        wanted = await connection.prepare(QUERIES[name])
        values = ", ".join(["NULL"] * len(wanted.get_parameters()))
        await connection.execute(f"PREPARE it AS {QUERIES[name]}")
        found = await connection.fetch("EXPLAIN EXECUTE it" + (f" ({values})" if values else ""))
        await connection.execute("DEALLOCATE it")
    assert found


async def test_a_statement_beyond_the_role_is_found_so(pools: LedgerPools) -> None:
    """What the test above relies on."""
    async with pools.stages.connections.acquire() as connection:
        await connection.execute("PREPARE it AS UPDATE remediator.ledger SET actor = $1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("EXPLAIN EXECUTE it (NULL)")
        await connection.execute("DEALLOCATE it")


async def test_sequences_can_be_used(pools: LedgerPools) -> None:
    """Numbers are taken in advance, and fences rise."""
    async with pools.stages.connections.acquire() as connection:
        for sequence in ("fences", "incidents_id_seq", "actions_number_seq", "ledger_seq_seq"):
            first = await connection.fetchval("SELECT nextval($1::regclass)", f"remediator.{sequence}")
            assert await connection.fetchval("SELECT nextval($1::regclass)", f"remediator.{sequence}") == first + 1
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("SELECT setval($1::regclass, 1)", f"remediator.{sequence}")
