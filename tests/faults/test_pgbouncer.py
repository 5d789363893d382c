"""Through a real pgbouncer in transaction mode: everything works as it does without, only a poll later."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.migrate import migrate, read_migrations
from remediator.adapters.ledger.pool import open_pools, statement, transaction
from remediator.model.entry import EntryKind
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import BACKSTAGE, CRASH, ROOMY, Scene, app_alert, body
from tests.faults.pgbouncer import Pooler, pooling
from tests.faults.stage import fleet

pytestmark = pytest.mark.pgbouncer

COUNT = 24
BURST = 5


async def test_an_alert_to_the_end(tmp_path: Path, database: str, pooler: Pooler) -> None:
    """Webhook, restart, verdict, resolved; commands read the same ledger the same way, and nobody listens."""
    async with Scene.playing(tmp_path, pooler.dsn(database)) as scene:
        daemon = scene.daemon(*ROOMY)
        await daemon.start()
        await scene.make_ill("backstage", "backstage")
        began = SystemClock().now()
        assert await daemon.post(scene.http, body([BACKSTAGE], began)) == 200
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        assert await _listeners(database) == []
        await scene.cluster.settle()
        assert await daemon.post(scene.http, body([BACKSTAGE], began, resolved=SystemClock().now())) == 200
        await scene.until_resolved()
        await scene.joined(1)
        assert (await daemon.get(scene.http, "/readyz"))[0] == 200
        assert await daemon.stop() == 0
        assert [line for line in daemon.lines() if line["level"] in ("error", "critical")] == []


async def test_two_replicas_make_the_schema_at_once(tmp_path: Path, blank_database: str) -> None:
    """Both start on an empty database through the pooler: the migrations run once, and both take alerts."""
    async with pooling(blank_database) as pooler, Scene.playing(tmp_path, pooler.dsn(blank_database)) as scene:
        first, second = await _both(scene, *ROOMY)
        connection = await asyncpg.connect(blank_database)
        try:
            versions = await connection.fetch("SELECT version FROM remediator.schema_migrations ORDER BY version")
        finally:
            await connection.close()
        assert [row["version"] for row in versions] == [one.version for one in read_migrations()]
        now = SystemClock().now()
        assert await first.post(scene.http, body([{"alertname": "One"}], now)) == 200
        assert await second.post(scene.http, body([{"alertname": "Two"}], now)) == 200
        await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 2)


async def test_a_start_meets_another_session_at_each_step(database: str, pooler: Pooler) -> None:
    """Many starts beside each other: none leans on a session that the next transaction does not have."""
    dsn = pooler.dsn(database)

    async def start() -> bool:
        report = await migrate(dsn)
        async with open_pools(dsn) as pools:
            async with transaction(pools.stages) as connection:
                assert await connection.fetchval("SELECT current_user") == "remediator_app"
            async with statement(pools.leases) as connection:
                assert await connection.fetchval("SHOW synchronous_commit") == "off"
            return report.applied == () and not pools.server.direct

    async with asyncio.TaskGroup() as group:
        starts = [group.create_task(start()) for _ in range(12)]
    assert [one.result() for one in starts] == [True] * 12


@pytest.mark.slow
async def test_limits_hold_over_two_replicas(tmp_path: Path, database: str, pooler: Pooler) -> None:
    """The lock is a transaction's, so the pooler keeps it: five may begin in ten minutes, and five do."""
    seed = fleet(COUNT)
    async with Scene.playing(tmp_path, pooler.dsn(database), seed) as scene:
        for number in range(COUNT):
            scene.cluster.annotate("Deployment", f"team-{number % 5}", f"app-{number}", {BEHAVIOUR: CRASH})
        replicas = await _both(scene, *ROOMY, "--cluster-burst", f"{BURST}/10m")
        since = SystemClock().now()
        bodies = [body([app_alert(number)], since) for number in range(COUNT)]
        async with asyncio.TaskGroup() as posting:
            posts = [posting.create_task(one.post(scene.http, each)) for each in bodies for one in replicas]
        assert {post.result() for post in posts} == {200}
        await scene.until("every target was decided about", lambda: _decided(scene))
        await scene.until_kind(EntryKind.ACTION_APPLIED, BURST)
        await scene.joined(BURST)
        assert (await scene.kinds())[EntryKind.DECISION_ACT] == BURST


async def _both(scene: Scene, *flags: str) -> list[Daemon]:
    daemons = [scene.daemon(*flags, name=name) for name in ("replica-0", "replica-1")]
    async with asyncio.TaskGroup() as starting:
        for daemon in daemons:
            starting.create_task(daemon.start())
    return daemons


async def _decided(scene: Scene) -> bool:
    found = await scene.entries(EntryKind.DECISION_ACT, EntryKind.DECISION_HOLD)
    return len({entry.target_key for entry in found}) == COUNT


async def _listeners(database: str) -> list[str]:
    """Return the sessions that listen for wake-ups, or have one's name."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND (query ILIKE 'LISTEN%' OR application_name LIKE '%wakeups%')"
        )
    finally:
        await connection.close()
    return [row["query"] for row in rows]
