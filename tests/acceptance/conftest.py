"""What the acceptance tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.alertmanager import MISSING, PROGRAM
from tests.acceptance.scene import Scene


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests that need an Alertmanager where there is none, each by its name."""
    if PROGRAM is None and item.get_closest_marker("alertmanager") is not None:
        pytest.skip(MISSING)


@pytest.fixture
async def scene(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """The runbook's portal in a sandbox cluster, and an empty ledger on a server of the tests."""
    async with Scene.playing(tmp_path, database) as playing:
        yield playing
