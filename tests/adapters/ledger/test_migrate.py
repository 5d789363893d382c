"""The migration runner, on folders of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.migrate import MigrationReport, migrate, read_migrations
from remediator.model.errors import ConfigError, InvariantBroken, LedgerError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE remediator.a (x int);\nCREATE TABLE remediator.b (x int);\n")
    (tmp_path / "0002_second.sql").write_text("INSERT INTO remediator.a VALUES (1);\n")
    return tmp_path


async def value(dsn: str, sql: str) -> object:
    """One value of one query."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_applies_once(blank_database: str, folder: Path) -> None:
    """All are applied in order, once; a later one is applied later."""
    assert await migrate(blank_database, folder) == MigrationReport(applied=(1, 2), version=2, warnings=())
    assert await migrate(blank_database, folder) == MigrationReport(applied=(), version=2, warnings=())
    (folder / "0003_third.sql").write_text("INSERT INTO remediator.a VALUES (2);")
    assert (await migrate(blank_database, folder)).applied == (3,)
    assert await value(blank_database, "SELECT sum(x) FROM remediator.a") == 3


async def test_replicas_at_the_same_time(blank_database: str, folder: Path) -> None:
    """Five replicas that start together apply each migration once, and all come up."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(migrate(blank_database, folder)) for _ in range(5)]
    assert sorted(version for task in tasks for version in task.result().applied) == [1, 2]
    assert await value(blank_database, "SELECT count(*) FROM remediator.a") == 1


async def test_newer_database_is_refused(blank_database: str, folder: Path) -> None:
    """A program that does not know what was done to the database keeps its hands off."""
    await migrate(blank_database, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(
        ConfigError, match=r"migration 2 \(0002_second\.sql\), this program knows 1: a newer remediator"
    ):
        await migrate(blank_database, folder)


async def test_changed_file_is_refused(blank_database: str, folder: Path) -> None:
    """A released migration never changes."""
    await migrate(blank_database, folder)
    (folder / "0001_first.sql").write_text("-- changed\n")
    with pytest.raises(ConfigError, match=r"0001_first\.sql is not the one that was applied"):
        await migrate(blank_database, folder)


async def test_failure_leaves_nothing_half_done(blank_database: str, folder: Path) -> None:
    """The fault is placed by file and line; what came before stays, of the failed one nothing does."""
    (folder / "0003_third.sql").write_text("CREATE TABLE remediator.c ();\n\nCREATE TABEL remediator.d ();\n")
    with pytest.raises(ConfigError, match=r'0003_third\.sql:3: syntax error at or near "TABEL" \[42601\]'):
        await migrate(blank_database, folder)
    assert await value(blank_database, "SELECT to_regclass('remediator.c')") is None
    (folder / "0003_third.sql").write_text("CREATE TABLE remediator.c ();\n")
    assert (await migrate(blank_database, folder)).applied == (3,)


async def test_migration_may_not_commit(blank_database: str, folder: Path) -> None:
    """A COMMIT inside a file would break the promise of all or nothing."""
    (folder / "0003_third.sql").write_text("COMMIT;")
    with pytest.raises(InvariantBroken, match=r"0003_third\.sql ends its transaction"):
        await migrate(blank_database, folder)


async def test_warnings_are_handed_on(blank_database: str, folder: Path) -> None:
    """What a migration warns of reaches the operator; notices do not."""
    (folder / "0003_third.sql").write_text(
        "DO $$ BEGIN RAISE WARNING 'no role was made'; RAISE NOTICE 'by the way'; END $$;"
    )
    report = await migrate(blank_database, folder)
    assert list(report.warnings) == ["no role was made"]


async def test_no_right_to_make_the_schema(blank_database: str, folder: Path) -> None:
    """A restricted user is told which statement to ask for; with the schema given it works."""
    await value(
        blank_database,
        "DO $$ BEGIN CREATE ROLE restricted LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    dsn = blank_database.replace("//remediator@", "//restricted@")
    with pytest.raises(ConfigError, match="CREATE SCHEMA remediator AUTHORIZATION"):
        await migrate(dsn, folder)
    await value(blank_database, "CREATE SCHEMA remediator AUTHORIZATION restricted")
    assert (await migrate(dsn, folder)).applied == (1, 2)


async def test_user_who_may_not_make_roles(blank_database: str) -> None:
    """Our own migrations succeed for the owner of a schema and warn where the role cannot be used."""
    await value(
        blank_database,
        "DO $$ BEGIN CREATE ROLE restricted LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    await value(blank_database, "CREATE SCHEMA remediator AUTHORIZATION restricted")
    report = await migrate(blank_database.replace("//remediator@", "//restricted@"))
    assert report.applied == tuple(range(1, report.version + 1))
    assert any("remediator_app" in warning for warning in report.warnings)


async def test_nobody_answers(tmp_path: Path, folder: Path) -> None:
    """No server is a retryable error; a string that is none is a wrong configuration."""
    with pytest.raises(LedgerError, match="unavailable: the database cannot be reached") as raised:
        await migrate(f"postgresql://someone@/x?host={tmp_path}", folder)
    assert raised.value.retryable
    with pytest.raises(ConfigError, match="cannot be understood") as wrong:
        await migrate("mysql://someone:hunter2@host/x", folder)
    assert "hunter2" not in str(wrong.value)


def test_numbers_are_checked(folder: Path) -> None:
    """A gap, a doubled number and a strange name are bugs of a release, found before anything runs."""
    (folder / "0002_again.sql").touch()
    with pytest.raises(InvariantBroken, match="must be numbered"):
        read_migrations(folder)
    (folder / "0002_again.sql").rename(folder / "0004_gap.sql")
    with pytest.raises(InvariantBroken, match="must be numbered"):
        read_migrations(folder)
    (folder / "0004_gap.sql").rename(folder / "third.sql")
    with pytest.raises(InvariantBroken, match=r"third\.sql is not named NNNN_what\.sql"):
        read_migrations(folder)


def test_our_own_are_in_order() -> None:
    """What we ship passes its own check."""
    assert read_migrations()
