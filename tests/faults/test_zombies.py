"""A replica that sleeps through its lease and wakes up: what it still does has no effect.

It is stopped with three actions in its hands, each at another point: one has just been claimed and its object read, of
one the write is on its way, of one the write is stored and the answer under way. Another replica takes all three over
and ends them. Then the write that was on its way arrives, and then the sleeper wakes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import yaml

from remediator.adapters.kubernetes.client import MERGE_PATCH
from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.kubernetes.policy import manifest
from remediator.flow.parts import Bounds
from remediator.model.entry import EntryKind
from remediator.sandbox.requestlog import RequestRecord
from tests.faults.points import Point
from tests.faults.stage import Kind, Stage, Target

CLAIMED, ON_ITS_WAY, STORED, LATER = (Target(number, Kind.SCALE) for number in range(4))
READ, WRITE = "GET deployments", "PATCH deployments"
ADMINISTRATOR = "admin"
PATIENCE_S = 60.0


@dataclass(slots=True)
class Sleep:
    """Holds each of the three at its point, until all are there; then each waits to be let go."""

    stage: Stage
    held: dict[Target, asyncio.Event] = field(default_factory=dict)
    reached: dict[Target, asyncio.Event] = field(
        default_factory=lambda: {one: asyncio.Event() for one in (CLAIMED, ON_ITS_WAY, STORED)}
    )

    async def meet(self, point: Point) -> None:
        """Hold a call that is one of the three."""
        if (point.call, point.after) == ("claim_actions", True) and point.rows:
            # A write may rest on the decision's own read for a while; the first of the three is to read again.
            await asyncio.sleep(Bounds().read_again_s + 0.5)
        for target, call, after in ((CLAIMED, READ, True), (ON_ITS_WAY, WRITE, False), (STORED, WRITE, True)):
            if (point.call, point.after) != (call, after) or not point.about.endswith(target.path):
                continue
            if target in self.held or (target is CLAIMED and not await self._claimed(target)):
                continue
            self.held[target] = asyncio.Event()
            self.reached[target].set()
            await self.held[target].wait()

    async def all_are_there(self) -> None:
        """Wait for the three."""
        async with asyncio.timeout(PATIENCE_S):
            for reached in self.reached.values():
                await reached.wait()

    async def _claimed(self, target: Target) -> bool:
        """Tell whether this read is the last before the write: earlier ones were for the decision."""
        statement = "SELECT count(*) FROM remediator.actions WHERE target_key = $1 AND state = 'claimed'"
        return bool(await self.stage.sql.fetchval(statement, target.key))


def writes(stage: Stage, target: Target) -> list[RequestRecord]:
    """Return every write about a target, as the cluster recorded it, the refused ones too."""
    return [one for one in stage.scene.writes() if one.path.endswith(target.path)]


def fences(stage: Stage, target: Target) -> list[int]:
    """Return the fences of the writes that were stored, in their order."""
    return [int(one.body["metadata"]["annotations"][FENCE]) for one in writes(stage, target) if one.changed]


async def applied(stage: Stage, *targets: Target) -> bool:
    """Tell whether each of the targets has an action that was applied."""
    entries = await stage.scene.entries(EntryKind.ACTION_APPLIED)
    return {one.key for one in targets} <= {entry.target_key for entry in entries}


@pytest.mark.slow
async def test_what_a_sleeper_does_after_its_lease_has_no_effect(tmp_path: Path, database: str) -> None:
    """Each of the three has one effect; the late write is refused for its version, and without one for its fence."""
    async with Stage.playing(tmp_path, database, apps=4) as stage:
        stage.scene.cluster.put(yaml.safe_load_all(manifest(ADMINISTRATOR, 20)))
        sleeper, other = await stage.replica("sleeper"), await stage.replica("other")
        sleep = Sleep(stage)
        sleeper.meet = sleep.meet
        await sleeper.daemon.start()
        assert await stage.fire(sleeper, CLAIMED, ON_ITS_WAY, STORED) == 200
        await sleep.all_are_there()
        os.kill(sleeper.daemon.pid, signal.SIGSTOP)
        try:
            for target in (CLAIMED, STORED):
                sleep.held[target].set()  # the answers wait in its sockets
            await other.daemon.start()
            await stage.until(
                "the other replica has ended all three",
                lambda: applied(stage, CLAIMED, ON_ITS_WAY, STORED),
                PATIENCE_S,
            )
            before = {target: stage.changes(target) for target in (CLAIMED, ON_ITS_WAY, STORED)}
            assert set(before.values()) == {1}
            sleep.held[ON_ITS_WAY].set()
            await stage.until("the late write has arrived", lambda: _arrived(stage), PATIENCE_S)
        finally:
            os.kill(sleeper.daemon.pid, signal.SIGCONT)
        assert await other.daemon.stop() == 0
        # It works again, so whatever it had in its hands when it fell asleep is behind it.
        sleeper.meet = _pass
        assert await stage.fire(sleeper, LATER) == 200
        await stage.until("it has woken up", lambda: applied(stage, LATER), PATIENCE_S)
        await stage.until("it has put everything down", lambda: _nothing_open(stage), PATIENCE_S)
        assert {target: stage.changes(target) for target in before} == before
        assert [one.status for one in writes(stage, CLAIMED)] == [200], "what was read long ago was not written to"
        assert [one.status for one in writes(stage, ON_ITS_WAY)] == [200, 409], "and too late is too late"
        assert [one.status for one in writes(stage, STORED)] == [200], "and what is found stored is not sent again"
        await _judge(stage)


async def _judge(stage: Stage) -> None:
    """Look at what the ledger has, and at what the late write would be without its version."""
    found = await stage.scene.entries(EntryKind.ACTION_APPLIED)
    assert sorted(entry.target_key for entry in found) == sorted(
        one.key for one in (CLAIMED, ON_ITS_WAY, STORED, LATER)
    )
    rows = await stage.sql.fetch("SELECT id, fence, attempts, target_key FROM remediator.actions")
    actions = {row["target_key"]: row for row in rows}
    assert {actions[one.key]["attempts"] for one in (CLAIMED, ON_ITS_WAY, STORED)} == {2}
    assert fences(stage, CLAIMED) == [actions[CLAIMED.key]["fence"]]
    late = writes(stage, ON_ITS_WAY)[-1]
    marks = late.body["metadata"]["annotations"]
    assert (marks[ACTION], int(marks[FENCE]) < actions[ON_ITS_WAY.key]["fence"]) == (
        actions[ON_ITS_WAY.key]["id"],
        True,
    )
    unversioned = {**late.body, "metadata": {"annotations": marks}}
    cluster = stage.scene.cluster
    headers = {"Authorization": f"Bearer {cluster.token}", "Content-Type": MERGE_PATCH}
    async with (
        aiohttp.ClientSession() as http,
        http.patch(cluster.url + late.path, json=unversioned, headers=headers) as answer,
    ):
        assert answer.status == 422
        assert f"stale fence {marks[FENCE]}" in (await answer.json())["message"]
    assert stage.changes(ON_ITS_WAY) == 1


async def _arrived(stage: Stage) -> bool:
    return len(writes(stage, ON_ITS_WAY)) == 2


async def _nothing_open(stage: Stage) -> bool:
    states = ["admitted", "claimed", "dispatched", "in_doubt"]
    return not await stage.sql.fetchval("SELECT count(*) FROM remediator.actions WHERE state = ANY ($1)", states)


async def _pass(_: Point) -> None:
    """Let everything pass."""
