"""Power cuts and orderly ends in the middle of the work: an action has one effect, and what was taken is kept."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.marks import ACTION
from remediator.model.entry import EntryKind
from remediator.sandbox.resources import REPLICA_SETS
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene, Stall, body

DEV_PORTAL = {**BACKSTAGE, "namespace": "dev-portal"}
DRAIN_S = 25.0


def restarts(scene: Scene, namespace: str) -> int:
    """Count how often the pods of backstage were replaced: each time has a ReplicaSet of its own."""
    found = scene.cluster.store.list(REPLICA_SETS, namespace)
    return sum(1 for item in found if item["metadata"]["labels"]["app"] == "backstage") - 1


async def test_killed_while_it_verifies(scene: Scene) -> None:
    """Killed after the write, before the verdict: the next start verifies, and writes nothing."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    began = SystemClock().now()
    assert await daemon.post(scene.http, body([BACKSTAGE], began)) == 200
    await scene.until_kind(EntryKind.ACTION_APPLIED)
    await daemon.kill()
    await daemon.start()
    assert await daemon.post(scene.http, body([BACKSTAGE], began, resolved=SystemClock().now())) == 200
    await scene.until_resolved()
    await scene.joined(1)
    assert restarts(scene, "backstage") == 1
    assert (await scene.kinds())[EntryKind.ACTION_VERIFIED] == 1


@pytest.mark.slow
async def test_killed_between_the_intent_and_the_answer(scene: Scene) -> None:
    """One write was stored and its answer lost, one was lost on the way: after the restart each has had one effect."""
    stored, lost = Stall("backstage", stored=True), Stall("dev-portal", stored=False)
    scene.cluster.server.middlewares.extend([stored, lost])
    daemon = scene.daemon(*ROOMY, "--action-lease", "20s")
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    await scene.make_ill("dev-portal", "backstage")
    began = SystemClock().now()
    assert await daemon.post(scene.http, body([BACKSTAGE, DEV_PORTAL], began)) == 200
    async with asyncio.timeout(30):
        await stored.held.wait()
        await lost.held.wait()
    await daemon.kill()
    assert (await scene.kinds())[EntryKind.ACTION_DISPATCHED] == 2
    scene.cluster.server.middlewares.clear()
    await daemon.start()
    await scene.until_kind(EntryKind.ACTION_APPLIED, 2)
    await scene.cluster.settle()
    assert await daemon.post(scene.http, body([BACKSTAGE, DEV_PORTAL], began, resolved=SystemClock().now())) == 200
    await scene.until_resolved(2)
    assert (restarts(scene, "backstage"), restarts(scene, "dev-portal")) == (1, 1)
    written = [(write.path.split("/")[5], write.body["metadata"]["annotations"][ACTION]) for write in scene.writes()]
    assert sorted(namespace for namespace, _ in written) == ["backstage", "dev-portal", "dev-portal"]
    assert len(set(written)) == 2
    applied = await scene.entries(EntryKind.ACTION_APPLIED)
    assert sorted(bool(entry.data.get("read_back")) for entry in applied) == [False, True]


async def test_an_orderly_end_waits_for_the_answer_to_a_write(scene: Scene) -> None:
    """SIGTERM while the API server takes its time: the answer is waited for and recorded, then it ends with 0."""
    slow = Stall("backstage", stored=True, seconds=3.0)
    scene.cluster.server.middlewares.append(slow)
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
    async with asyncio.timeout(30):
        await slow.held.wait()
    assert (await scene.kinds())[EntryKind.ACTION_APPLIED] == 0
    assert await daemon.stop() == 0
    assert (await scene.kinds())[EntryKind.ACTION_APPLIED] == 1
    await scene.joined(1)


async def test_an_orderly_end_has_a_deadline(scene: Scene) -> None:
    """The API server does not answer at all: after the time for draining it ends all the same, and says so."""
    scene.cluster.server.middlewares.append(stuck := Stall("backstage", stored=False))
    daemon = scene.daemon(*ROOMY, "--drain", "2s")
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
    async with asyncio.timeout(30):
        await stuck.held.wait()
    clock = SystemClock()
    began = clock.monotonic()
    assert await daemon.stop() == 0
    assert 1.5 < clock.monotonic() - began < 10
    assert [line["stage"] for line in daemon.lines() if line.get("outcome") == "cut_off"] == ["supervisor"]


@dataclass
class Load:
    """Posts alerts without a pause and remembers the names of those that were taken."""

    scene: Scene
    daemon: Daemon
    taken: set[str] = field(default_factory=set)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Post until nobody takes anything any more."""
        while True:
            names = [f"Load{next(self.numbers)}" for _ in range(10)]
            status = await self.daemon.post(
                self.scene.http, body(({"alertname": n} for n in names), SystemClock().now())
            )
            if status != 200:
                return
            self.taken.update(names)


async def test_an_orderly_end_under_load(scene: Scene) -> None:
    """SIGTERM while alerts pour in: it ends with 0 in time, and everything that was answered 200 is in the database."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    load = Load(scene, daemon)
    clock = SystemClock()
    async with asyncio.TaskGroup() as posters:
        for _ in range(8):
            posters.create_task(load.run())
        await scene.until("a thousand alerts were taken", lambda: _at_least(load, 1000))
        began = clock.monotonic()
        assert await daemon.stop() == 0
        took = clock.monotonic() - began
    assert took < DRAIN_S
    connection = await asyncpg.connect(scene.database)
    try:
        rows = await connection.fetch("SELECT labels->>'alertname' AS name FROM remediator.signals")
    finally:
        await connection.close()
    stored = [row["name"] for row in rows]
    assert load.taken <= set(stored)
    assert len(stored) == len(set(stored))
    assert [line for line in daemon.lines() if line["level"] in ("error", "critical")] == []


async def _at_least(load: Load, count: int) -> bool:
    return len(load.taken) >= count
