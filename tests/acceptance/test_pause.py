"""The kill switch on running replicas: pulled from a shell, obeyed by all of them within two seconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox import scenario
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from tests.acceptance.scene import CRASH, ROOMY, Scene, app_alert, body

COUNT = 12
OBEYED_S = 2.0


@pytest.fixture
async def fleet(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """A dozen applications that crash until restarted."""
    async with Scene.playing(tmp_path, database, scenario.fleet(COUNT, namespace_count=5)) as playing:
        for number in range(COUNT):
            playing.cluster.annotate("Deployment", f"team-{number % 5}", f"app-{number}", {BEHAVIOUR: CRASH})
        yield playing


async def command(fleet: Scene, *words: str) -> str:
    """Run a command as a person would, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "remediator", *words, "--database-url", fleet.database, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.slow
async def test_no_write_two_seconds_after_the_pause(fleet: Scene) -> None:
    """Actions are queued on two replicas, one begins each second; the pause stops both, and they go on afterwards."""
    flags = ("--spacing", "1s")
    daemons = [fleet.daemon(*ROOMY, *flags, name=name) for name in ("replica-0", "replica-1")]
    async with asyncio.TaskGroup() as starting:
        for daemon in daemons:
            starting.create_task(daemon.start())
    since = SystemClock().now()
    for number in range(COUNT):
        assert await daemons[number % 2].post(fleet.http, body([app_alert(number)], since)) == 200
    await fleet.until_kind(EntryKind.ACTION_APPLIED, 2)
    said = await command(fleet, "pause", "--reason", "test", "--for", "1m", "--as", "ann")
    assert said.startswith("P1: everything is paused until ")
    await asyncio.sleep(OBEYED_S)
    written = len(fleet.writes())
    assert written < COUNT
    await asyncio.sleep(3.0)
    assert len(fleet.writes()) == written
    assert "everything" in await command(fleet, "status")
    assert await command(fleet, "resume", "--as", "bob") == "P1: everything goes on (it was paused by ann)\n"
    await fleet.until_kind(EntryKind.ACTION_APPLIED, COUNT)
    await fleet.joined(COUNT)
