"""What has done its work is forgotten after its time, and nothing else."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.housekeeping import BUNDLES, SLICES, Housekeeping
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, open_pools
from tests.adapters.ledger.stand import Owner, admit_actions, column, put_candidates

OLD, NEW = "31 days", "29 days"
DAY_S = 86400.0


def keeper(pool: LedgerPool, keep_days: float = 90) -> Housekeeping:
    """Return a housekeeping that keeps evidence so long."""
    return Housekeeping(pool=pool, clock=SystemClock(), failed=print, keep_evidence_s=keep_days * DAY_S)


async def resolved(owner: Owner, incident: int, ago: str | None) -> None:
    """Let an incident be resolved so long ago; None: it is not."""
    await owner.execute(
        """UPDATE remediator.incidents
           SET state = CASE WHEN $2::text IS NULL THEN 'escalated' ELSE 'resolved' END,
               resolved_at = now() - $2::text::interval
           WHERE id = $1""",
        incident,
        ago,
    )


async def put_evidence(owner: Owner, incident: int, count: int = 1) -> None:
    """Put bundles of evidence of an incident."""
    await owner.execute(
        """INSERT INTO remediator.evidence (incident, target_key, sha256, size, content)
           SELECT $1, 'deployment/a/b', 'sha-' || $1::bigint || '-' || n, 1, '{"parts": {}}'
           FROM generate_series(1, $2::int) AS n""",
        incident,
        count,
    )


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
        keeping = keeper(pools.stages)
        assert await keeping.sweep() == 3
        assert await keeping.sweep() == 0
    assert await owner.fetchval("SELECT count(*) FROM remediator.inbox") == 1
    assert await owner.fetchval("SELECT count(*) FROM remediator.signals") == 2
    assert await owner.fetchval("SELECT count(*) FROM remediator.quarantine") == 1
    assert await owner.fetchval("SELECT count(*) FROM remediator.outbox") == 3
    await owner.close()


async def test_a_signal_that_is_told_again_meanwhile_stays(pools: LedgerPools, owner: Owner, database: str) -> None:
    """It comes once more, after a month, while it is being forgotten: it waits to be judged, so it must be there."""
    await owner.execute(
        """INSERT INTO remediator.signals (source, fingerprint, status, starts_at, labels, annotations, last_seen_at)
           VALUES ('a', '0', 'firing', now(), '{}', '{}', now() - interval '31 days')"""
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks, owner.transaction():
        await owner.execute("UPDATE remediator.signals SET last_seen_at = now()")
        await owner.execute("INSERT INTO remediator.inbox SELECT id FROM remediator.signals")
        sweeping = tasks.create_task(keeper(pools.stages).sweep())
        other = await asyncpg.connect(database)
        while not sweeping.done() and not await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM%'"
        ):
            await asyncio.sleep(0.01)
        await other.close()
    assert sweeping.result() == 0
    assert await owner.fetchval("SELECT count(*) FROM remediator.signals") == 1


async def test_evidence_goes_long_after_its_incident(pools: LedgerPools, owner: Owner) -> None:
    """Not that of an incident which is open, or was resolved lately; what went is in the ledger, with its hash."""
    await admit_actions(owner, pools.stages, 4)
    for incident, ago in [(1, "91 days"), (2, "89 days"), (3, None), (4, "400 days")]:
        await put_evidence(owner, incident, 2)
        await resolved(owner, incident, ago)
    keeping = keeper(pools.stages)
    assert await keeping.sweep() >= 4
    assert await column(owner, "evidence", "incident", order="id") == [2, 2, 3, 3]
    (entry,) = await owner.fetch("SELECT * FROM remediator.ledger WHERE kind = 'evidence.forgotten'")
    assert entry["summary"] == "forgotten: 4 bundles of evidence, 90 days after their incidents were resolved"
    assert [bundle["sha256"] for bundle in json.loads(entry["data"])["bundles"]] == [
        *("sha-1-1", "sha-1-2", "sha-4-1", "sha-4-2"),
    ]
    assert await keeping.sweep() == 0
    assert len(await column(owner, "incidents", "id")) == len(await column(owner, "actions", "number")) == 4


async def test_no_setting_makes_evidence_go_sooner_than_thirty_days(pools: LedgerPools, owner: Owner) -> None:
    """The database itself sees to that, and the application role cannot delete evidence in another way."""
    await admit_actions(owner, pools.stages, 2)
    for incident, ago in [(1, NEW), (2, OLD)]:
        await put_evidence(owner, incident)
        await resolved(owner, incident, ago)
    await keeper(pools.stages, keep_days=0).sweep()
    assert await column(owner, "evidence", "incident") == [1]
    await owner.execute("SET ROLE remediator_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.execute("DELETE FROM remediator.evidence")
    await owner.execute("RESET ROLE")


async def test_decided_candidates_go_and_those_of_actions_lose_their_facts(pools: LedgerPools, owner: Owner) -> None:
    """Who approved an action is not forgotten; what is not decided, or belongs to an open incident, stays whole."""
    await admit_actions(owner, pools.stages, 2)
    await resolved(owner, 1, "91 days")
    await resolved(owner, 2, None)
    await put_candidates(owner, 6, rule="other")
    await owner.execute("UPDATE remediator.candidates SET facts = '{}'")
    for name, state, incident, ago in [
        ("of an old incident", "decided", 1, "1 day"),
        ("of an open one", "decided", 2, "400 days"),
        ("of none, old", "decided", None, "91 days"),
        ("of none, new", "decided", None, "89 days"),
        ("held", "held", None, "400 days"),
        ("held, of an old incident", "held", 1, "400 days"),
    ]:
        await owner.execute(
            """UPDATE remediator.candidates SET cause = $1, state = $2, incident = $3,
                      first_seen_at = now() - $4::text::interval
               WHERE id = (SELECT min(id) FROM remediator.candidates WHERE rule = 'other' AND cause = 'signal')""",
            *(name, state, incident, ago),
        )
    keeping = keeper(pools.stages)
    assert await keeping.sweep() == 3
    assert await keeping.sweep() == 0
    left = await column(owner, "candidates", "cause", order="id")
    assert left == ["signal", "signal", "of an open one", "of none, new", "held", "held, of an old incident"]
    facts = await column(owner, "candidates", "facts IS NULL", order="id")
    assert facts == [True, False, False, False, False, False]


async def test_the_end_of_an_alert_is_forgotten_when_nothing_of_it_is_on_its_way(
    pools: LedgerPools, owner: Owner
) -> None:
    """After thirty days; not while it fires, nor while an incident that it belongs to is open."""
    await admit_actions(owner, pools.stages, 2)
    await resolved(owner, 1, "60 days")
    await owner.execute("DELETE FROM remediator.alerts")
    ties = [
        row["fingerprint"] for row in await owner.fetch("SELECT * FROM remediator.incident_alerts ORDER BY incident")
    ]
    for fingerprint, status, ago in [
        (ties[0], "resolved", "60 days"),
        (ties[1], "resolved", "60 days"),
        ("f" * 16, "firing", "60 days"),
        ("e" * 16, "resolved", OLD),
        ("d" * 16, "resolved", NEW),
    ]:
        await owner.execute(
            """INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, labels, changed_at)
               VALUES ('am', $1, $2, now(), '{}', now() - $3::text::interval)""",
            *(fingerprint, status, ago),
        )
    keeping = keeper(pools.stages)
    assert await keeping.sweep() == 2
    assert await keeping.sweep() == 0
    assert set(await column(owner, "alerts", "fingerprint")) == {ties[1], "f" * 16, "d" * 16}


async def test_a_sweep_is_bounded_and_the_next_goes_on(pools: LedgerPools, owner: Owner) -> None:
    """However much there is; what may not go yet does not stand in the way of what may."""
    await admit_actions(owner, pools.stages, 2)
    most = BUNDLES * SLICES
    await put_evidence(owner, 2, most + 10)
    await put_evidence(owner, 1, 20)
    await resolved(owner, 1, "91 days")
    await resolved(owner, 2, None)
    keeping = keeper(pools.stages)
    gone = [await keeping.sweep() for _ in range(2)]
    assert gone == [1, 20]
    assert set(await column(owner, "evidence", "incident")) == {2}
    await resolved(owner, 2, "91 days")
    gone = [await keeping.sweep() for _ in range(3)]
    assert sum(gone) == most + 10 + 1
    assert max(gone) <= most + 1
    assert await column(owner, "evidence", "id") == []
