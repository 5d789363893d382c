"""Decisions happen one after the other, whoever makes them: the admission lock."""

from __future__ import annotations

import asyncio

from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from tests.adapters.ledger.stand import Court, Owner, assessed, put_candidates

WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_a_decision_waits_for_the_one_under_way(pool: LedgerPool, owner: Owner) -> None:
    """Whoever comes second reads nothing before the first has committed: what it counts is then all there is."""
    await put_candidates(owner, 1)
    store = LedgerAdmissionStore(pool)
    items = [assessed(one) for one in await store.take(1, 60.0)]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks, transaction(pool, QUERIES["lock_admission"]):
        second = tasks.create_task(store.admit(items, Court()))
        while not second.done() and not await owner.fetchval(WAITING):
            await asyncio.sleep(0.01)
        assert not second.done(), "it decided while somebody else was deciding"
    assert second.result().acts == 1
