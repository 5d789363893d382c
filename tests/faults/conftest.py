"""What the fault tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faults import pgbouncer
from tests.faults.pgbouncer import Pooler, pooling


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests that need a pgbouncer where there is none, each by its name."""
    if pgbouncer.PROGRAM is None and item.get_closest_marker("pgbouncer") is not None:
        pytest.skip(pgbouncer.MISSING)


@pytest.fixture
async def pooler(database: str) -> AsyncIterator[Pooler]:
    """A pgbouncer before the server of the tests."""
    async with pooling(database) as running:
        yield running
