"""What all tests share: an embedded PostgreSQL for each test process, and databases from it."""

from __future__ import annotations

import itertools
import logging
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, open_pools
from tests.database_server import BLANK, DatabaseServer

# The same examples in every run, so that a red build is the change's; and no clock: machines are shared and slow.
settings.register_profile(
    "steady", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

# A shell that runs the tests in the background has them, and the programs that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Put logging back: a test that runs a daemon in this process has it write to a stream that is closed after it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    if structlog.is_configured():
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """An embedded PostgreSQL whose template is migrated; each xdist worker has its own."""
    data_dir = tmp_path_factory.mktemp("postgres")
    with DatabaseServer(data_dir) as server:
        yield server
    shutil.rmtree(data_dir)


@pytest.fixture
def database(postgres_server: DatabaseServer) -> Iterator[str]:
    """The connection string of a fresh, migrated database (about 20 ms)."""
    name = f"test_{next(_numbers)}"
    yield postgres_server.create(name)
    postgres_server.drop(name)


@pytest.fixture
def blank_database(postgres_server: DatabaseServer) -> Iterator[str]:
    """The connection string of an empty database, without our schema."""
    name = f"blank_{next(_numbers)}"
    yield postgres_server.create(name, BLANK)
    postgres_server.drop(name)


@pytest.fixture
async def pools(database: str) -> AsyncIterator[LedgerPools]:
    """All pools on a fresh, migrated database."""
    async with open_pools(database) as opened:
        yield opened


@pytest.fixture
def pool(pools: LedgerPools) -> LedgerPool:
    """The pool of the stages on a fresh, migrated database."""
    return pools.stages
