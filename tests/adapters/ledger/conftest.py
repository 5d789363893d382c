"""Clusters to start, kill and restart, and stores on a fresh database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.ledger.actions import LedgerActionStore, moves_together
from remediator.adapters.ledger.pool import LedgerPools
from tests.database_server import DatabaseServer


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster that was made once; never served itself, only copied."""
    folder = tmp_path_factory.mktemp("made")
    DatabaseServer(folder, migrated=False).close()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A state folder with an existing cluster in it."""
    folder = tmp_path / "state"
    shutil.copytree(made, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def ascii_database(postgres_server: DatabaseServer) -> Iterator[str]:
    """The connection string of a database whose encoding is not UTF-8."""
    yield postgres_server.create("ascii", "template0 ENCODING 'SQL_ASCII'")
    postgres_server.drop("ascii")


@pytest.fixture
async def owner(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the schema's owner, to prepare and to look."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def actions(pools: LedgerPools) -> AsyncIterator[LedgerActionStore]:
    """The store of actions, its group commit running."""
    moves = moves_together(pools.stages)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(moves.run())
        yield LedgerActionStore(pools.stages, moves)
        moves.close()
