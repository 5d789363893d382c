"""The daemon is away, or its database is: Alertmanager tries again, nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from tests.acceptance.alertmanager import Alertmanager
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene, Stall, body
from tests.database_server import DatabaseServer

DEV_PORTAL = {**BACKSTAGE, "namespace": "dev-portal"}
UNKNOWN = [{"alertname": f"Unknown{number}", "namespace": "backstage"} for number in range(10)]


async def _fall_ill(scene: Scene) -> None:
    await scene.make_ill("backstage", "backstage")
    await scene.make_ill("dev-portal", "backstage")


async def _all_done_once(scene: Scene, alertmanager: Alertmanager) -> None:
    """Both portals are restarted once, and every alert without a rule stands in the ledger once."""
    await scene.until_kind(EntryKind.ACTION_APPLIED, 2)
    await scene.cluster.settle()
    await alertmanager.resolve(BACKSTAGE, DEV_PORTAL)
    await scene.until_resolved(2)
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, len(UNKNOWN))
    await scene.joined(2)
    counts = await scene.kinds()
    assert counts[EntryKind.DECISION_ACT] == counts[EntryKind.INCIDENT_OPENED] == 2
    assert counts[EntryKind.SIGNAL_UNMATCHED] == len(UNKNOWN)


@pytest.mark.slow
@pytest.mark.alertmanager
@pytest.mark.parametrize(("kill", "seconds"), [(False, 20.0), (True, 4.0)], ids=["stopped for 20 s", "killed for 4 s"])
async def test_the_daemon_is_away(scene: Scene, kill: bool, seconds: float) -> None:
    """Alerts begin to fire while nobody takes them: Alertmanager keeps trying, and everything is done once."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    async with Alertmanager.running(scene.folder / "am", scene.http, [daemon.url]) as alertmanager:
        if kill:
            await daemon.kill()
        else:
            assert await daemon.stop() == 0
        async with asyncio.TaskGroup() as meanwhile:
            meanwhile.create_task(asyncio.sleep(seconds))
            await _fall_ill(scene)
            await alertmanager.fire(BACKSTAGE, DEV_PORTAL, *UNKNOWN)
        assert scene.writes() == []
        await daemon.start()
        await _all_done_once(scene, alertmanager)


async def test_a_kill_right_after_the_answer_loses_nothing(scene: Scene) -> None:
    """What was answered 200 is in the database: killed the moment after, the next start works on all of it, once."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    alerts = [{"alertname": f"Unknown{number}", "namespace": "backstage"} for number in range(300)]
    assert await daemon.post(scene.http, body(alerts, SystemClock().now())) == 200
    await daemon.kill()
    await daemon.start()
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, len(alerts))
    found = Counter(entry.summary for entry in await scene.entries(EntryKind.SIGNAL_UNMATCHED))
    assert len(found) == len(alerts)
    assert set(found.values()) == {1}


@asynccontextmanager
async def _own_server(folder: Path) -> AsyncIterator[list[DatabaseServer]]:
    """A database server of this test's own, which it may stop; the last one in the list is the one that runs."""
    servers = [DatabaseServer(folder)]
    try:
        yield servers
    finally:
        servers[-1].close()
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.alertmanager
async def test_a_period_without_a_database(tmp_path: Path) -> None:
    """The database stops under the daemon: 503, not ready, but alive; when it is back, every alert arrives."""
    folder = tmp_path / "database"
    async with _own_server(folder) as servers, Scene.playing(tmp_path, servers[0].dsn) as scene:
        daemon = scene.daemon(*ROOMY)
        await daemon.start()
        async with Alertmanager.running(scene.folder / "am", scene.http, [daemon.url]) as alertmanager:
            servers[0].close()
            await _fall_ill(scene)
            await alertmanager.fire(BACKSTAGE, DEV_PORTAL, *UNKNOWN)
            await scene.until("webhooks are refused", lambda: _refused(scene, daemon, 10), ledger=False)
            assert (await daemon.get(scene.http, "/readyz"))[0] == 503
            assert (await daemon.get(scene.http, "/livez"))[0] == 200
            servers.append(DatabaseServer(folder))
            assert servers[1].dsn == servers[0].dsn
            await _all_done_once(scene, alertmanager)
        assert (await daemon.get(scene.http, "/readyz"))[0] == 200
        assert await daemon.stop() == 0


@pytest.mark.slow
async def test_the_database_stops_in_the_middle_of_an_action(tmp_path: Path) -> None:
    """The write was stored and that cannot be recorded: found out when the database is back, and not repeated."""
    folder = tmp_path / "database"
    async with _own_server(folder) as servers, Scene.playing(tmp_path, servers[0].dsn) as scene:
        stall = Stall("backstage", stored=True, seconds=2.0)
        scene.cluster.server.middlewares.append(stall)
        daemon = scene.daemon(*ROOMY, "--action-lease", "20s")
        await daemon.start()
        await scene.make_ill("backstage", "backstage")
        since = SystemClock().now()
        assert await daemon.post(scene.http, body([BACKSTAGE], since)) == 200
        async with asyncio.timeout(30):
            await stall.held.wait()
        servers[0].close()
        await asyncio.sleep(stall.seconds + 1)
        servers.append(DatabaseServer(folder))
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        await scene.cluster.settle()
        assert await daemon.post(scene.http, body([BACKSTAGE], since, resolved=SystemClock().now())) == 200
        await scene.until_resolved()
        await scene.joined(1)
        assert await daemon.stop() == 0


async def _refused(scene: Scene, daemon: Daemon, count: int) -> bool:
    _, text = await daemon.get(scene.http, "/metrics")
    return any('code="503"' in line and float(line.split()[-1]) >= count for line in text.splitlines())


async def test_a_full_inbox_refuses_and_then_takes_everything(scene: Scene) -> None:
    """Nothing is matched for a while: the inbox fills up and answers 503; later each of the same bodies is taken."""
    daemon = scene.daemon("--inbox-limit", "100")
    await daemon.start()
    now = SystemClock().now()
    bodies = [
        body([{"alertname": f"Unknown{part}-{number}"} for number in range(60)], now) for part in range(4)
    ]  # fmt: skip
    blocker = await asyncpg.connect(scene.database)
    try:
        async with blocker.transaction():
            # Nobody can change an alert, so nothing is matched; the intake only reads them.
            await blocker.execute("LOCK TABLE remediator.alerts IN SHARE MODE")
            answers = [await daemon.post(scene.http, one) for one in bodies]
    finally:
        await blocker.close()
    assert answers == [200, 503, 503, 503]
    for one in bodies[1:]:

        async def taken(one: dict[str, object] = one) -> bool:
            return await daemon.post(scene.http, one) == 200

        await scene.until("the inbox takes it", taken)
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 240)
    assert (await scene.kinds())[EntryKind.SIGNAL_UNMATCHED] == 240


async def test_a_slow_database_is_not_waited_for(scene: Scene) -> None:
    """No commit within the deadline: 503 while Alertmanager still listens; sent again, the alert counts once."""
    daemon = scene.daemon("--accept-deadline", "0.5s")
    await daemon.start()
    document = body([{"alertname": "Unknown"}], SystemClock().now())
    clock = SystemClock()
    blocker = await asyncpg.connect(scene.database)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE remediator.signals IN ACCESS EXCLUSIVE MODE")
            began = clock.monotonic()
            assert await daemon.post(scene.http, document) == 503
            assert clock.monotonic() - began < 5
    finally:
        await blocker.close()

    async def taken() -> bool:
        return await daemon.post(scene.http, document) == 200

    await scene.until("it is taken", taken)
    assert await daemon.post(scene.http, document) == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)
    assert await daemon.stop() == 0
    assert (await scene.kinds())[EntryKind.SIGNAL_UNMATCHED] == 1
