"""What has done its work is forgotten after its time, and nothing else."""

from __future__ import annotations

import asyncpg

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.housekeeping import Housekeeping
from remediator.adapters.ledger.pool import open_pools

OLD, NEW = "31 days", "29 days"


async def test_only_finished_rows_past_their_time_go(database: str) -> None:
    """An unmatched signal and an unsent message stay however old they are."""
    owner = await asyncpg.connect(database)
    for number, (matched, age) in enumerate([(True, OLD), (True, NEW), (False, OLD)]):
        await owner.execute(
            """WITH put AS (
                   INSERT INTO remediator.signals
                       (source, fingerprint, status, starts_at, labels, annotations, last_seen_at)
                   VALUES ('a', $1, 'firing', now(), '{}', '{}', now() - $3::text::interval)
                   RETURNING id
               )
               INSERT INTO remediator.inbox SELECT id FROM put WHERE NOT $2""",
            f"{number:016x}",
            matched,
            age,
        )
    for age in (OLD, NEW):
        await owner.execute(
            """INSERT INTO remediator.quarantine (at, source, path, reason, raw)
               VALUES (now() - $1::text::interval, 'a', '$', 'r', '')""",
            age,
        )
    for state, age in [("sent", OLD), ("sent", NEW), ("waiting", OLD), ("dead", OLD)]:
        await owner.execute(
            "INSERT INTO remediator.outbox (state, created_at, payload) VALUES ($1, now() - $2::text::interval, '{}')",
            state,
            age,
        )
    async with open_pools(database) as pools:
        keeping = Housekeeping(pools.stages, SystemClock(), lambda _: None)
        assert await keeping.sweep() == 3
        assert await keeping.sweep() == 0
    assert await owner.fetchval("SELECT count(*) FROM remediator.inbox") == 1
    assert await owner.fetchval("SELECT count(*) FROM remediator.signals") == 2
    assert await owner.fetchval("SELECT count(*) FROM remediator.quarantine") == 1
    assert await owner.fetchval("SELECT count(*) FROM remediator.outbox") == 3
    await owner.close()
