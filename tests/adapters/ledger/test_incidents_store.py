"""Incidents and the outbox in PostgreSQL: who looks, what may end, and that people are told once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.incidents import LedgerIncidentStore, LedgerOutbox
from remediator.adapters.ledger.pool import LedgerPool
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.action import ActionState
from remediator.model.decision import HoldReason
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.incident import IncidentState
from remediator.ports.incidents import NextIncidentLook
from tests.adapters.ledger.stand import Owner, Whim, admit_actions, assessed, blocked, column, decide, hold
from tests.adapters.ledger.stand import put_candidates as put

OVER = NewEntry(kind=EntryKind.INCIDENT_RESOLVED, summary="resolved: all is quiet", incident=1)


@pytest.fixture
def store(pool: LedgerPool) -> LedgerIncidentStore:
    """The store."""
    return LedgerIncidentStore(pool)


@pytest.fixture
def outbox(pool: LedgerPool) -> LedgerOutbox:
    """The outbox."""
    return LedgerOutbox(pool)


async def open_incident(owner: Owner, pool: LedgerPool) -> None:
    """Let incident 1 be open, its action ended and its alert silent."""
    await admit_actions(owner, pool)
    await owner.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved', ends_at = now()")
    await owner.execute("UPDATE remediator.incidents SET check_at = now()")


async def test_a_quiet_incident_is_resolved_once(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """With its entry; the second who tries changes nothing and writes nothing."""
    await open_incident(owner, pool)
    async with asyncio.TaskGroup() as tasks:
        tries = [tasks.create_task(store.resolve(1, OVER)) for _ in range(4)]
    assert sorted(task.result() for task in tries) == [False, False, False, True]
    assert await column(owner, "incidents", "state || (resolved_at IS NOT NULL)") == ["resolvedtrue"]
    assert (await column(owner, "ledger", "summary", order="seq")).count(OVER.summary) == 1


async def test_it_is_not_resolved_while_an_alert_of_it_fires(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner
) -> None:
    """One of two is enough."""
    await open_incident(owner, pool)
    await put(owner, 2, rule="other")
    await owner.execute("INSERT INTO remediator.incident_alerts VALUES (1, 'am', $1)", f"{2:016x}")
    assert not await store.resolve(1, OVER)
    assert await column(owner, "incidents", "state") == ["open"]
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    assert await store.resolve(1, OVER)


@pytest.mark.parametrize("state", list(ActionState))
async def test_it_is_not_resolved_while_an_action_is_open(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner, state: ActionState
) -> None:
    """In any open state; one that waits for an answer is dropped, one that ended stays as it ended."""
    await open_incident(owner, pool)
    await owner.execute("UPDATE remediator.actions SET state = $1", state.value)
    assert await store.resolve(1, OVER) is not state.open
    dropped = state is ActionState.AWAITING_APPROVAL
    assert await column(owner, "actions", "state") == ["expired" if dropped else state.value]
    if dropped:
        assert "before anybody answered" in (await column(owner, "actions", "note"))[0]


async def test_an_alert_that_joins_in_that_moment_keeps_it_open(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner
) -> None:
    """A decision under way ties a firing alert to the incident: it must not be tied to one that is over."""
    await open_incident(owner, pool)
    async with asyncio.TaskGroup() as tasks:
        async with owner.transaction():
            await owner.execute(QUERIES["lock_admission"])
            await put(owner, 1, rule="other", source="late")
            await owner.execute("INSERT INTO remediator.incident_alerts VALUES (1, 'late', $1)", f"{1:016x}")
            resolving = tasks.create_task(store.resolve(1, OVER))
            await blocked(owner)
        assert await resolving is False
    assert await column(owner, "incidents", "state") == ["open"]


async def test_what_waited_for_it_is_dropped(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """Candidates of this incident alone; the same alert may be a candidate again."""
    await open_incident(owner, pool)
    await put(owner, 2, rule="other")
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    await owner.execute("UPDATE remediator.candidates SET incident = 1, state = 'held' WHERE id = 2")
    assert await store.resolve(1, OVER)
    assert await column(owner, "candidates", "state", order="id") == ["decided", "decided", "new"]


async def test_each_incident_is_looked_at_by_one_replica(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner
) -> None:
    """Those that are due, oldest first, for as long as the lease; not those that are over or have time."""
    await admit_actions(owner, pool, 8)
    await owner.execute("UPDATE remediator.incidents SET check_at = now() - make_interval(secs => id)")
    await owner.execute("UPDATE remediator.incidents SET state = 'resolved' WHERE id = 8")
    await owner.execute("UPDATE remediator.incidents SET check_at = now() + interval '1 h' WHERE id = 7")
    assert [one.incident.id for one in await store.due(1, 60.0)] == [6]
    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(store.due(2, 60.0)) for _ in range(4)]
    found = [one.incident.id for task in looks for one in task.result()]
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert await store.due(10, 60.0) == ()
    await owner.execute("UPDATE remediator.incidents SET check_at = now() WHERE id = 3")
    assert [one.incident.id for one in await store.due(10, 60.0)] == [3]


async def test_a_look_sees_what_fires_and_what_moves(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner
) -> None:
    """Alerts, open actions, and candidates on their way."""
    await open_incident(owner, pool)

    async def look() -> tuple[int, bool]:
        await owner.execute("UPDATE remediator.incidents SET check_at = now()")
        (due,) = await store.due(1, 60.0)
        assert due.incident.state is IncidentState.OPEN
        assert due.incident.target is not None
        assert due.incident.target.key == due.incident.target_key
        return due.firing, due.moving

    assert await look() == (0, False)
    await owner.execute("UPDATE remediator.alerts SET status = 'firing'")
    assert await look() == (1, False)
    await owner.execute("UPDATE remediator.candidates SET state = 'held'")
    assert await look() == (1, True)
    await owner.execute("UPDATE remediator.candidates SET state = 'decided'")
    await owner.execute("UPDATE remediator.actions SET state = 'in_doubt'")
    assert await look() == (1, True)


async def test_the_next_look_is_set(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """With the time since which all is healthy; an incident that is over is left alone."""
    await open_incident(owner, pool)
    (due,) = await store.due(1, 60.0)
    await store.look_again(
        [NextIncidentLook(incident=1, check_at=due.now - timedelta(seconds=1), healthy_since=due.now)]
    )
    (again,) = await store.due(1, 60.0)
    assert again.incident.healthy_since == due.now
    assert await store.resolve(1, OVER)
    before = await column(owner, "incidents", "check_at")
    await store.look_again([NextIncidentLook(incident=1, check_at=due.now)])
    assert await column(owner, "incidents", "check_at") == before


async def test_a_look_that_is_asked_for_meanwhile_is_not_put_off(
    store: LedgerIncidentStore, pool: LedgerPool, owner: Owner
) -> None:
    """The last alert ends while the incident is looked at."""
    await open_incident(owner, pool)
    (due,) = await store.due(1, 60.0)
    await owner.execute("UPDATE remediator.incidents SET check_at = now()")
    await store.look_again([NextIncidentLook(incident=1, check_at=due.now + timedelta(minutes=1))])
    assert len(await store.due(1, 60.0)) == 1


async def test_people_are_called_once(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """By whoever is first; with the message in the outbox and in the ledger in the same commit."""
    await open_incident(owner, pool)
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(store.escalate(1, "open for 16 min")) for _ in range(4)]
    assert sorted(task.result() for task in calls) == [False, False, False, True]
    (row,) = await owner.fetch("SELECT incident, payload::text AS payload FROM remediator.outbox")
    assert row["incident"] == 1
    for word in ("open for 16 min", "deployment/backstage/app-1", '"P1"', "BackstageDown", '"urgent": true'):
        assert word in row["payload"]
    (said,) = await owner.fetch("SELECT summary, incident FROM remediator.ledger WHERE kind = 'incident.escalated'")
    assert tuple(said) == ("people are called: open for 16 min", 1)
    assert await store.resolve(1, OVER)
    assert not await store.escalate(1, "again")


async def call(owner: Owner, pool: LedgerPool, count: int) -> None:
    """Let people be called for ``count`` incidents."""
    await put(owner, count)
    await decide(pool, lambda _: hold(HoldReason.PROTECTED))


async def test_messages_are_leased_in_order_and_counted(outbox: LedgerOutbox, pool: LedgerPool, owner: Owner) -> None:
    """Each by one replica; a lease that ended gives the message back, and its attempts tell how often it was tried."""
    await call(owner, pool, 5)
    first = await outbox.take(1, 60.0)
    assert [(one.id, one.attempts, one.incident) for one in first] == [(1, 1, 1)]
    async with asyncio.TaskGroup() as tasks:
        takes = [tasks.create_task(outbox.take(2, 60.0)) for _ in range(3)]
    assert sorted(one.id for task in takes for one in task.result()) == [2, 3, 4, 5]
    await owner.execute("UPDATE remediator.outbox SET not_before = now() WHERE id = 1")
    (again,) = await outbox.take(5, 60.0)
    assert (again.id, again.attempts) == (1, 2)
    assert again.payload == first[0].payload


async def test_what_was_delivered_is_said_and_over(outbox: LedgerOutbox, pool: LedgerPool, owner: Owner) -> None:
    """Also when its lease has ended meanwhile."""
    await call(owner, pool, 1)
    (message,) = await outbox.take(1, 0.0)
    await outbox.sent(message, "webhook")
    assert await column(owner, "outbox", "state || last_error") == ["sent"]
    (said,) = await owner.fetch("SELECT summary, incident FROM remediator.ledger WHERE kind = 'notified'")
    assert tuple(said) == ("told (webhook): because of protected", 1)
    assert await outbox.take(1, 60.0) == ()


async def test_what_failed_is_tried_again_until_it_is_given_up(
    outbox: LedgerOutbox, pool: LedgerPool, owner: Owner
) -> None:
    """A failure waits and is no matter for the ledger, unless it is to be said; giving up is."""
    await call(owner, pool, 1)
    (message,) = await outbox.take(1, 60.0)
    await outbox.failed(message, "503", 30.0)
    assert await column(owner, "outbox", "state || last_error") == ["waiting503"]
    (wait,) = await column(owner, "outbox", "not_before - now()")
    assert timedelta(seconds=25) < wait <= timedelta(seconds=30)
    assert await column(owner, "ledger", "kind", order="seq DESC LIMIT 1") == ["incident.escalated"]
    await outbox.failed(message, "401", 30.0, say=True)
    (said,) = await column(owner, "ledger", "summary", order="seq DESC LIMIT 1")
    assert said == "people could not be told after 1 attempts; it is tried on: 401"
    await outbox.failed(message, "404", None)
    assert await column(owner, "outbox", "state || last_error") == ["dead404"]
    _, said = await owner.fetch(
        "SELECT summary, incident FROM remediator.ledger WHERE kind = 'notify.failed' ORDER BY seq"
    )
    assert tuple(said) == ("people could not be told after 1 attempts: 404", 1)
    await owner.execute("UPDATE remediator.outbox SET not_before = now()")
    assert await outbox.take(1, 60.0) == ()


async def test_a_resolved_incident_frees_its_target(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """Until then the target has one open incident; the next episode has one of its own."""
    await open_incident(owner, pool)
    admission = LedgerAdmissionStore(pool)
    for expected in ([1], [1, 2]):
        await owner.execute("UPDATE remediator.alerts SET status = 'firing'")
        await put(owner, 1)
        items = [assessed(one) for one in await admission.take(9, 60.0)]
        await admission.admit(items, Whim(lambda _: hold(HoldReason.COOLDOWN)))
        assert await column(owner, "incidents", "id", order="id") == expected
        await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
        await store.resolve(1, OVER)


async def test_next_looks_wait_for_nobody(store: LedgerIncidentStore, pool: LedgerPool, owner: Owner) -> None:
    """What somebody has locked is being resolved or hastened; who waited for many of them could deadlock."""
    await admit_actions(owner, pool, 2)
    await owner.execute("UPDATE remediator.incidents SET check_at = now()")
    due = await store.due(2, 60.0)
    later = [NextIncidentLook(incident=one.incident.id, check_at=one.now, healthy_since=one.now) for one in due]
    async with owner.transaction():
        await owner.execute("SELECT FROM remediator.incidents WHERE id = 1 FOR UPDATE")
        await store.look_again(later)
    assert [since is None for since in await column(owner, "incidents", "healthy_since", order="id")] == [True, False]
