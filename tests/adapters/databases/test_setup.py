"""What administrators install: once or again, and on a server whose max_connections nobody can configure."""

from __future__ import annotations

import itertools
from pathlib import Path

from remediator.adapters.databases.queries import SETUP
from remediator.ports.cluster import WriteRefused
from remediator.ports.databases import Ran
from tests.adapters.databases.patient import Patient, mark, maximum, patient, raising
from tests.database_server import BLANK, DatabaseServer

_numbers = itertools.count(1)


async def test_installing_again_keeps_everything(sick: Patient) -> None:
    """Marks, fence and what is allowed stay; a mark that is there is found as before."""
    assert isinstance(await sick.databases.run(raising(20), mark()), Ran)
    await sick.sql.execute(SETUP)
    again = await sick.databases.run(raising(20), mark(fence=6))
    assert isinstance(again, Ran)
    assert again.found
    assert await sick.sql.fetchval("SELECT count(*) FROM remediator_limits.allowed") == 2


async def test_a_maximum_that_is_given_at_the_start_is_not_configured(
    postgres_server: DatabaseServer, tmp_path: Path
) -> None:
    """The command line counts more than the files: a change there would never come into force, so it is refused."""
    name = f"fixed_{next(_numbers)}"
    async with patient(postgres_server.create(name, BLANK), tmp_path) as one:
        running = int(await one.sql.fetchval("SHOW max_connections"))
        refused = await one.databases.run(maximum(running + 10, before=running), mark())
        assert isinstance(refused, WriteRefused)
        assert "where the server is started" in refused.message
        assert await one.marks() == []
    postgres_server.drop(name)
