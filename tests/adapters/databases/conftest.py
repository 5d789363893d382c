"""A server of its own for these tests: connection limits and ALTER SYSTEM count for all of its databases."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.adapters.databases.patient import Patient, patient
from tests.database_server import BLANK, DatabaseServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def sick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """An embedded PostgreSQL that is not our own store."""
    data_dir = tmp_path_factory.mktemp("sick")
    program = (sys.executable, "-m", "tests.adapters.databases.plain_server")
    with DatabaseServer(data_dir, migrated=False, program=program) as server:
        yield server
    shutil.rmtree(data_dir)


@pytest.fixture
async def sick(sick_server: DatabaseServer, tmp_path: Path) -> AsyncIterator[Patient]:
    """A fresh database there, with the functions installed."""
    name = f"sick_{next(_numbers)}"
    async with patient(sick_server.create(name, BLANK), tmp_path) as one:
        yield one
    sick_server.drop(name)
