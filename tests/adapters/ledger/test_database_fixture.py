"""The fixtures that other tests stand on."""

from __future__ import annotations

import asyncpg


async def test_database_is_migrated(database: str) -> None:
    """A test's database has our schema and nothing in it."""
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM remediator.signals") == 0
    assert await connection.fetchval("SELECT count(*) FROM remediator.schema_migrations") >= 2
    await connection.execute("CREATE TABLE leftover ()")
    await connection.close()


async def test_databases_are_fresh(database: str) -> None:
    """What another test made is not there."""
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT to_regclass('leftover')") is None
    await connection.close()


async def test_blank_database_is_empty(blank_database: str) -> None:
    """A blank database has no schema of ours."""
    connection = await asyncpg.connect(blank_database)
    assert await connection.fetchval("SELECT to_regnamespace('remediator')") is None
    await connection.close()
