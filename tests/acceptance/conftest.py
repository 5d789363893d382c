"""What the acceptance tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.scene import Scene


@pytest.fixture
async def scene(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """The runbook's portal in a sandbox cluster, and an empty ledger on a server of the tests."""
    async with Scene.playing(tmp_path, database) as playing:
        yield playing
