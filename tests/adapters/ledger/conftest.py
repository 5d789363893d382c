"""Clusters to start, kill and restart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

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
