"""A daemon that logs in as nothing but the application role: whatever its session is made to say, the record stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.connect import own_login
from remediator.adapters.ledger.migrate import MIGRATIONS, migrate
from remediator.adapters.ledger.pool import open_pools, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.rows import entries_json
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import ConfigError
from tests.adapters.ledger.stand import Owner

LOGIN = "remediator_daemon"
ENTRY = NewEntry(kind=EntryKind.STARTED, summary="started")
SEAL = "INSERT INTO remediator.seals VALUES (1, 1, '{1}', sha256(''), sha256('a'), sha256('b'), now(), 'x')"

# Each is tried by a session that may do all that the daemon does, and each must be refused: SQLSTATE 42501.
REFUSED = (
    *(f"{verb} remediator.{table}" for table in ("ledger", "seals") for verb in ("DELETE FROM", "TRUNCATE ONLY")),
    *(f"{verb} TABLE remediator.{table}" for table in ("ledger", "seals") for verb in ("DROP", "TRUNCATE")),
    "UPDATE remediator.ledger SET summary = ''",
    "UPDATE remediator.seals SET hash = prev",
    "UPDATE ONLY remediator.ledger AS l SET at = l.at WHERE false",
    "MERGE INTO remediator.ledger AS l USING (VALUES (1)) AS v ON true WHEN MATCHED THEN DELETE",
    "MERGE INTO remediator.ledger AS l USING (VALUES (1)) AS v ON true WHEN MATCHED THEN UPDATE SET summary = ''",
    "WITH gone AS (DELETE FROM remediator.ledger RETURNING seq) SELECT count(*) FROM gone",
    "DO $$ BEGIN DELETE FROM remediator.ledger; END $$",
    # Numbers and times that are not the database's.
    "INSERT INTO remediator.ledger (seq, kind, summary) OVERRIDING SYSTEM VALUE VALUES (1000000, 'x', 'y')",
    "INSERT INTO remediator.ledger (at, kind, summary) VALUES ('2020-01-01', 'x', 'y')",
    "INSERT INTO remediator.approvals (at, action, approved, actor) VALUES ('2020-01-01', 1, true, 'x')",
    "INSERT INTO remediator.ledger (kind, summary) VALUES ('x', 'y') ON CONFLICT (seq) DO UPDATE SET summary = 'z'",
    "COPY remediator.ledger (seq, kind, summary) FROM STDIN",
    "COPY remediator.ledger FROM PROGRAM 'echo 1'",
    "COPY remediator.ledger TO '/dev/null'",
    "SELECT setval('remediator.ledger_seq_seq', 1)",
    "ALTER SEQUENCE remediator.ledger_seq_seq RESTART",
    # The guard on the tables.
    "ALTER TABLE remediator.ledger DISABLE TRIGGER only_added_to",
    "ALTER TABLE remediator.ledger DISABLE TRIGGER ALL",
    "DROP TRIGGER only_added_to ON remediator.ledger",
    "CREATE TRIGGER mine BEFORE INSERT ON remediator.ledger FOR EACH ROW EXECUTE FUNCTION remediator.refuse_change()",
    "CREATE RULE mine AS ON INSERT TO remediator.ledger DO INSTEAD NOTHING",
    "CREATE POLICY mine ON remediator.ledger USING (false)",
    "CREATE OR REPLACE FUNCTION remediator.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP FUNCTION remediator.refuse_change() CASCADE",
    "SET session_replication_role = replica",
    # The tables.
    "ALTER TABLE remediator.ledger ADD COLUMN mine int",
    "ALTER TABLE remediator.ledger ALTER COLUMN summary TYPE varchar(1)",
    "ALTER TABLE remediator.ledger OWNER TO CURRENT_USER",
    "ALTER TABLE remediator.ledger SET UNLOGGED",
    "ALTER TABLE remediator.ledger RENAME TO mine",
    "ALTER TABLE remediator.ledger SET SCHEMA public",
    "ALTER TABLE remediator.ledger ENABLE ROW LEVEL SECURITY",
    "CREATE INDEX ON remediator.ledger (summary)",
    "CREATE TABLE remediator.mine () INHERITS (remediator.ledger)",
    "CLUSTER remediator.ledger USING ledger_pkey",
    "DO $$ BEGIN LOCK TABLE remediator.ledger IN ACCESS EXCLUSIVE MODE; END $$",
    "DO $$ BEGIN LOCK TABLE remediator.ledger IN SHARE MODE; END $$",
    "SELECT 1 FROM remediator.ledger FOR UPDATE",
    "COMMENT ON TABLE remediator.ledger IS ''",
    # More rights.
    "SET ROLE remediator",
    "SET SESSION AUTHORIZATION remediator",
    f"ALTER ROLE {LOGIN} SUPERUSER",
    "ALTER ROLE remediator_app SUPERUSER",
    f"GRANT remediator TO {LOGIN}",
    "REASSIGN OWNED BY remediator TO remediator_app",
    "DROP OWNED BY remediator CASCADE",
    "ALTER SCHEMA remediator OWNER TO remediator_app",
    "DROP SCHEMA remediator CASCADE",
    "CREATE ROLE mine",
    "DROP EXTENSION plpgsql CASCADE",
    "ALTER SYSTEM SET synchronous_commit = off",
    "UPDATE pg_catalog.pg_class SET relowner = 1 WHERE relname = 'ledger'",
    "DELETE FROM pg_catalog.pg_trigger",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'remediator'",
)


@pytest.fixture
async def login(database: str, owner: Owner) -> AsyncIterator[str]:
    """A connection string for a user who is a member of the application role, and nothing else."""
    make = f"DO $$ BEGIN CREATE ROLE {LOGIN} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    await owner.execute(make)
    await owner.execute(f"GRANT remediator_app TO {LOGIN}")
    yield database.replace("//remediator@", f"//{LOGIN}@")
    await owner.execute(f"REVOKE remediator_app FROM {LOGIN}")


async def test_a_daemon_works_with_it(login: str, owner: Owner) -> None:
    """The schema is found to be up to date, and everything is done as the application role."""
    assert (await migrate(login)).applied == ()
    async with open_pools(login) as pools:
        assert pools.server.warnings == ()
        await LedgerAppender(pools.stages).append(ENTRY)
        async with transaction(pools.stages) as connection:
            assert await connection.fetchval("SELECT session_user || ' ' || current_user") == f"{LOGIN} remediator_app"
    assert await owner.fetchval("SELECT summary FROM remediator.ledger") == "started"


async def test_what_was_recorded_stays_whatever_the_session_says(login: str, owner: Owner) -> None:
    """Refused for want of a right, also after the session has put its role off; and the record is as it was."""
    connection = await asyncpg.connect(login, server_settings={"role": "remediator_app"})
    try:
        await connection.execute(QUERIES["append_entries"], entries_json([ENTRY]))
        await connection.execute(SEAL)
        before = await record(owner)
        for role in ("SET ROLE remediator_app", "SET ROLE NONE", "RESET ROLE"):
            await connection.execute(role)
            assert {wanted: await answer(connection, wanted) for wanted in REFUSED} == dict.fromkeys(REFUSED, "42501")
    finally:
        await connection.close()
    assert await record(owner) == before


async def answer(connection: Owner, statement: str) -> str:
    """Return the SQLSTATE by which a statement is refused."""
    try:
        # What is not refused may wait for ever, as a COPY does for its data.
        await connection.execute(statement, timeout=10)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    except TimeoutError:
        return "waits"
    return "done"


async def test_a_right_cannot_be_lent(login: str, owner: Owner) -> None:
    """GRANT of what one does not have is no error in PostgreSQL: it gives nothing."""
    connection = await asyncpg.connect(login)
    try:
        await connection.execute("GRANT UPDATE, DELETE ON remediator.ledger TO PUBLIC")
        assert not await connection.fetchval("SELECT has_table_privilege('remediator.ledger', 'UPDATE, DELETE')")
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["ledger", "seals"])
@pytest.mark.parametrize("statement", ["UPDATE {0} SET seq = 1", "DELETE FROM {0}", "TRUNCATE {0}"])
async def test_even_the_owner_does_not_change_it_by_a_slip(owner: Owner, table: str, statement: str) -> None:
    """Also not where a session has put ordinary triggers off."""
    await owner.execute(QUERIES["append_entries"], entries_json([ENTRY]))
    await owner.execute(SEAL)
    wanted = statement.format(f"remediator.{table}").replace(
        "seq = 1", "sealed_by = ''" if table == "seals" else "actor = ''"
    )
    for mode in ("origin", "replica"):
        await owner.execute(f"SET session_replication_role = {mode}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever added to"):
            await owner.execute(wanted)
    assert await owner.fetchval(f"SELECT count(*) FROM remediator.{table}") == 1  # noqa: S608 - a name of ours


async def record(owner: Owner) -> list[object]:
    """Return all that is recorded."""
    return [await owner.fetch(f"SELECT * FROM remediator.{table}") for table in ("ledger", "seals", "approvals")]  # noqa: S608 - names of ours


async def test_on_a_server_of_our_own_the_daemon_logs_in_as_the_role_itself(database: str) -> None:
    """So that no session of it can become the owner again; it works as ever, and may be made ready twice."""
    assert (
        await own_login(database) == await own_login(database) == database.replace("//remediator@", "//remediator_app@")
    )
    async with open_pools(await own_login(database)) as pools:
        await LedgerAppender(pools.stages).append(ENTRY)
        async with pools.stages.connections.acquire() as connection:
            await connection.execute("RESET ROLE")
            assert await connection.fetchval("SELECT session_user") == "remediator_app"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SET ROLE remediator")


async def test_what_only_the_owner_can_apply_is_told(login: str, tmp_path: Path) -> None:
    """After an upgrade a daemon with that login says which command makes the schema fit."""
    for file in MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    number = len(list(tmp_path.iterdir())) + 1
    (tmp_path / f"{number:04}_more.sql").write_text("ALTER TABLE remediator.ledger ADD COLUMN more int;")
    with pytest.raises(ConfigError, match=rf"lacks {number:04}_more\.sql.*run remediator ledger migrate"):
        await migrate(login, tmp_path)
