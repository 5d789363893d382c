"""Two replicas on one database: every target once, and limits that hold over both together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox import scenario
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import CRASH, CROWDS, ROOMY, Scene, app_alert, body

COUNT = 40
BURST = 7


@pytest.fixture
async def fleet(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """Forty applications in five namespaces, all of them crashing until restarted."""
    seed = scenario.fleet(COUNT, namespace_count=5)
    async with Scene.playing(tmp_path, database, seed) as playing:
        for number in range(COUNT):
            playing.cluster.annotate("Deployment", f"team-{number % 5}", f"app-{number}", {BEHAVIOUR: CRASH})
        yield playing


async def _both(fleet: Scene, *flags: str) -> list[Daemon]:
    daemons = [fleet.daemon(*flags, name=name) for name in ("replica-0", "replica-1")]
    async with asyncio.TaskGroup() as starting:
        for daemon in daemons:
            starting.create_task(daemon.start())
    return daemons


async def _alert(fleet: Scene, daemons: list[Daemon]) -> None:
    """Tell each replica of all targets at once, as two Alertmanagers behind one Service do."""
    since = SystemClock().now()
    bodies = [body([app_alert(number)], since) for number in range(COUNT)]
    async with asyncio.TaskGroup() as posting:
        posts = [posting.create_task(daemon.post(fleet.http, one)) for one in bodies for daemon in daemons]
    assert {post.result() for post in posts} == {200}


@pytest.mark.slow
async def test_forty_targets_are_each_restarted_once(fleet: Scene) -> None:
    """With room for all, every target is written to, once, whichever replica does it."""
    daemons = await _both(fleet, *ROOMY)
    await _alert(fleet, daemons)
    await fleet.until_kind(EntryKind.ACTION_APPLIED, COUNT)
    paths = await fleet.joined(COUNT)
    assert len(set(paths)) == COUNT
    await fleet.cluster.settle()
    counts = await fleet.kinds()
    assert counts[EntryKind.DECISION_ACT] == counts[EntryKind.INCIDENT_OPENED] == COUNT


@pytest.mark.slow
async def test_limits_hold_over_both_replicas(fleet: Scene) -> None:
    """Seven may begin in ten minutes: seven do, not one more, however many decide at the same time."""
    flags = ("--spacing", "0s", "--open-per-namespace", "1000", "--open-per-cluster", "1000")
    daemons = await _both(fleet, *flags, *CROWDS, "--cluster-burst", f"{BURST}/10m")
    await _alert(fleet, daemons)
    await fleet.until("every target was decided about", lambda: _decided(fleet))
    await fleet.until_kind(EntryKind.ACTION_APPLIED, BURST)
    await fleet.joined(BURST)
    assert (await fleet.kinds())[EntryKind.DECISION_ACT] == BURST
    held = await fleet.entries(EntryKind.DECISION_HOLD)
    assert {"limit_cluster"} <= {reason for entry in held for reason in entry.reasons}


async def _decided(fleet: Scene) -> bool:
    found = await fleet.entries(EntryKind.DECISION_ACT, EntryKind.DECISION_HOLD)
    return len({entry.target_key for entry in found}) == COUNT
