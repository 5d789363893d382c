"""The lookout in PostgreSQL: one turn at a time, what is held and marked, silences that hold and end, gaps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.incidents import LedgerIncidentStore
from remediator.adapters.ledger.lookout import SILENT_S, LedgerLookoutStore
from remediator.adapters.ledger.pool import LedgerPools
from remediator.model.case import AdmissionBatch
from remediator.model.decision import HoldReason
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.sighting import Gap, Hush
from remediator.model.signal import Delivery, Status
from remediator.ports.incidents import DueIncident
from remediator.ports.lookout import MissedIncident, Notes, Turn
from tests.adapters.ledger.stand import Owner, Whim, accept, assessed, hold, put_candidates, signal

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE_S = 60.0


@pytest.fixture
def store(pools: LedgerPools) -> LedgerLookoutStore:
    """The store, in which gaps are kept."""
    return LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=True)


async def take(store: LedgerLookoutStore, owner: str = "one", *, hurry: bool = False) -> Turn | None:
    """Take the turn."""
    return await store.take(owner, LEASE_S, hurry=hurry)


async def turn(store: LedgerLookoutStore) -> Turn:
    """Take the turn, which must be due."""
    taken = await take(store)
    assert taken is not None
    return taken


async def due(owner: Owner) -> None:
    """Let the next turn be due."""
    await owner.execute("UPDATE remediator.duties SET due_at = now() - interval '1 s', lease_until = NULL")


async def put_alert(owner: Owner, number: int = 1, status: str = "firing", **changes: Any) -> None:
    """Have the state of an alert."""
    row = {"source": "am", "fingerprint": f"{number:016x}", "status": status, "starts_at": T0, "changed_at": T0}
    row |= {"ends_at": None if status == "firing" else T0, "labels": "{}", **changes}
    await owner.execute(
        """INSERT INTO remediator.alerts (source, fingerprint, status, starts_at, ends_at, changed_at, labels)
           VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)""",
        *(row[name] for name in ("source", "fingerprint", "status", "starts_at", "ends_at", "changed_at", "labels")),
    )


def notes(**changes: Any) -> Notes:
    """Return notes about nothing."""
    return structs.replace(Notes(source="am", absent={}, hushed=(), audible=()), **changes)


def hush(number: int = 1, how: str = "silenced") -> Hush:
    """Return a silence of an alert."""
    return Hush(source="am", fingerprint=f"{number:016x}", how=how, by=("5e1f",), since=T0)


async def test_a_turn_is_one_replicas(store: LedgerLookoutStore) -> None:
    """Many ask at once, one gets it; and it is not due again before its time."""
    async with asyncio.TaskGroup() as asking:
        tasks = [asking.create_task(take(store, f"replica-{number}")) for number in range(8)]
    taken = [task.result() for task in tasks if task.result() is not None]
    assert len(taken) == 1
    assert taken[0] is not None
    await store.finish(taken[0], 60.0, {})
    assert await take(store, "another") is None


async def test_a_turn_comes_back_after_its_time(store: LedgerLookoutStore, owner: Owner) -> None:
    """A little sooner or later than was said, so that replicas that began together part."""
    first = await turn(store)
    await store.finish(first, 60.0, {})
    wait = await owner.fetchval(
        "SELECT extract(epoch FROM due_at - now())::float8 FROM remediator.duties WHERE name = 'lookout'"
    )
    assert 50.0 < wait < 70.0
    await due(owner)
    assert (await turn(store)).number == first.number + 1


async def test_a_dead_owners_turn_is_taken_over(store: LedgerLookoutStore, owner: Owner) -> None:
    """When its lease is over; then it can write nothing down any more."""
    dead = await turn(store)
    assert await take(store, "another", hurry=True) is None
    await owner.execute("UPDATE remediator.duties SET lease_until = now() - interval '1 s'")
    taken = await take(store, "another")
    assert taken is not None
    assert not await store.note(dead, notes(absent={"0" * 16: T0}))
    assert await store.note(taken, notes())
    await store.finish(dead, 60.0, {})
    assert await store.note(taken, notes())
    assert await owner.fetchval("SELECT count(*) FROM remediator.absent_alerts") == 0


async def test_the_same_owner_goes_on(store: LedgerLookoutStore) -> None:
    """Its last turn failed half-way; it need not wait for its own lease."""
    await turn(store)
    assert await take(store) is not None


async def test_a_hurry_has_its_bound(store: LedgerLookoutStore, owner: Owner) -> None:
    """Who makes us doubt can not make us ask without end."""
    first = await turn(store)
    await store.finish(first, 60.0, {})
    assert await take(store, hurry=True) is None
    await owner.execute("UPDATE remediator.duties SET began_at = now() - interval '11 s'")
    assert await take(store) is None
    assert await take(store, hurry=True) is not None


async def test_what_is_held(store: LedgerLookoutStore, owner: Owner, pools: LedgerPools) -> None:
    """What fires of the source, and what is known of the given; the last word on one only where it is asked for."""
    await accept(pools.intake, Delivery(source="am", signals=(signal(1), signal(2))))
    for number, status in ((1, "firing"), (2, "firing"), (3, "resolved"), (4, "resolved")):
        await put_alert(owner, number, status)
    await put_alert(owner, 5, source="other")
    await store.note(await turn(store), notes(absent={f"{1:016x}": T0}, hushed=(hush(2),)))
    held = await store.known("am", [f"{number:016x}" for number in (2, 3, 9)])
    assert sorted(int(key, 16) for key in held.alerts) == [1, 2, 3]
    one, two, three = (held.alerts[f"{number:016x}"] for number in (1, 2, 3))
    assert (one.absent_since, one.state.status) == (T0, Status.FIRING)
    assert one.told_at is not None
    assert (two.absent_since, two.told_at) == (None, None)
    assert three.state.status is Status.RESOLVED
    assert held.hushed == {f"{2:016x}"}


async def test_what_is_missing_replaces_what_was(store: LedgerLookoutStore, owner: Owner) -> None:
    """Of this source; what was noted of another one stays."""
    taken = await turn(store)
    await store.note(taken, notes(absent={"a": T0, "b": T0}))
    await store.note(taken, notes(source="other", absent={"a": T0}))
    later = T0 + timedelta(minutes=1)
    await store.note(taken, notes(absent={"b": later, "c": T0}))
    found = await owner.fetch("SELECT source, fingerprint, since FROM remediator.absent_alerts ORDER BY 1, 2")
    assert [tuple(row) for row in found] == [("am", "b", later), ("am", "c", T0), ("other", "a", T0)]
    await store.note(taken, notes())
    assert await owner.fetchval("SELECT count(*) FROM remediator.absent_alerts WHERE source = 'am'") == 0


async def test_a_silence_keeps_its_beginning(store: LedgerLookoutStore, owner: Owner) -> None:
    """However often it is seen; an inhibition after it is another matter."""
    taken = await turn(store)
    later = T0 + timedelta(minutes=5)
    for one in (hush(), structs.replace(hush(), since=later, by=("77",))):
        await store.note(taken, notes(hushed=(one,)))
    row = await owner.fetchrow("SELECT how, by, since, seen_at > since AS seen FROM remediator.hushed_alerts")
    assert row is not None
    assert (row["how"], row["by"], row["since"], row["seen"]) == ("silenced", ["77"], T0, True)
    await store.note(taken, notes(hushed=(structs.replace(hush(how="inhibited"), since=later),)))
    assert await owner.fetchval("SELECT since FROM remediator.hushed_alerts") == later


async def test_candidates_wake_when_their_silence_ends(store: LedgerLookoutStore, owner: Owner) -> None:
    """Those that waited for it, and no others."""
    await put_candidates(owner, 3)
    await owner.execute(
        """UPDATE remediator.candidates SET state = 'held', not_before = now() + interval '10 min',
                  last_reasons = CASE WHEN id = 1 THEN '{silenced}' ELSE '{cooldown}' END::text[]"""
    )
    prints = [row["fingerprint"] for row in await owner.fetch("SELECT fingerprint FROM remediator.candidates")]
    taken = await turn(store)
    await store.note(taken, notes(hushed=tuple(structs.replace(hush(), fingerprint=one) for one in prints)))
    await store.note(taken, notes(audible=tuple(prints)))
    awake = await owner.fetch("SELECT id FROM remediator.candidates WHERE not_before <= now()")
    assert [row["id"] for row in awake] == [1]
    assert await owner.fetchval("SELECT count(*) FROM remediator.hushed_alerts") == 0


async def test_people_are_called_once_where_nobody_answers_for_long(store: LedgerLookoutStore, owner: Owner) -> None:
    """And the ledger says when somebody answers again."""

    async def look(problem: str) -> tuple[str, ...]:
        await due(owner)
        return await store.finish(await turn(store), 60.0, {"am": problem, "other": ""})

    assert await look("timeout: no answer") == ()
    await owner.execute(
        "UPDATE remediator.monitoring SET seen_at = now() - make_interval(secs => $1) WHERE source = 'am'", SILENT_S + 1
    )
    assert await look("timeout: no answer") == ("am",)
    assert await look("timeout: no answer") == ()
    assert await look("") == ()
    assert await look("timeout: no answer") == ()
    told = await owner.fetch("SELECT kind, summary FROM remediator.ledger ORDER BY seq")
    assert [row["kind"] for row in told] == [EntryKind.MONITORING_LOST, EntryKind.MONITORING_FOUND]
    assert "timeout: no answer" in told[0]["summary"]
    message = await owner.fetchval("SELECT payload ->> 'message' FROM remediator.outbox")
    assert message == told[0]["summary"]
    assert await owner.fetchval("SELECT count(*) FROM remediator.outbox") == 1


async def test_a_time_without_a_sign_of_life_is_a_gap(store: LedgerLookoutStore, owner: Owner) -> None:
    """Longer than ten seconds, whoever had the turn; before the first sign there is none."""
    await take(store)
    assert await store.gaps(10) == ()
    for seconds in (5, 30):
        await owner.execute("UPDATE remediator.pulse SET at = at - make_interval(secs => $1)", float(seconds))
        assert await take(store, "another") is None
    (gap,) = await store.gaps(10)
    assert 30 <= (gap.to_at - gap.from_at).total_seconds() < 35
    await store.postpone(gap, 60.0)
    assert await store.gaps(10) == ()
    await owner.execute("UPDATE remediator.gaps SET due_at = now()")
    assert [one.tries for one in await store.gaps(10)] == [1]


async def test_a_turn_is_a_sign_of_life_at_its_end_too(store: LedgerLookoutStore, owner: Owner) -> None:
    """Asking may take a while; that is no absence."""
    taken = await turn(store)
    await owner.execute("UPDATE remediator.pulse SET at = at - interval '30 s'")
    await store.finish(taken, 60.0, {})
    await take(store)
    assert await store.gaps(10) == ()


async def test_a_turn_that_was_never_ended_leaves_a_gap(store: LedgerLookoutStore, owner: Owner) -> None:
    """Who had it died or hangs, and others were alive but did not look: nobody has since the last whole turn."""
    first = await turn(store)
    await store.finish(first, 60.0, {"alertmanager": ""})
    await owner.execute("UPDATE remediator.monitoring SET seen_at = seen_at - interval '2 min'")
    await owner.execute("UPDATE remediator.duties SET due_at = now()")
    await turn(store)
    assert await take(store, "another") is None
    await owner.execute("UPDATE remediator.duties SET due_at = now(), lease_until = now() - interval '1 ms'")
    assert await store.gaps(10) == ()
    assert await take(store, "another") is not None
    assert await take(store, "a third") is None
    (gap,) = await store.gaps(10)
    assert 120 <= (gap.to_at - gap.from_at).total_seconds() < 150


async def test_without_anybody_to_ask_no_gap_is_kept(pools: LedgerPools, owner: Owner) -> None:
    """Nobody would ever look at it."""
    store = LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=False)
    await take(store)
    await owner.execute("UPDATE remediator.pulse SET at = at - interval '1 h'")
    await owner.execute("UPDATE remediator.duties SET due_at = now(), lease_until = now() - interval '1 ms'")
    assert await take(store) is not None
    assert await store.gaps(10) == ()


def missed(rule: str = "service-unavailable") -> MissedIncident:
    """Return an alert that came and went."""
    return MissedIncident(
        source="am",
        fingerprint="0" * 16,
        rule=rule,
        severity="P1",
        title="BackstageDown: fired and ended while nobody listened",
        began_at=T0,
        ended_at=T0 + timedelta(minutes=3),
        entry=NewEntry(kind=EntryKind.ALERT_MISSED, summary="it fired", rule=rule),
    )


async def a_gap(store: LedgerLookoutStore, owner: Owner) -> Gap:
    """Have a gap."""
    await take(store)
    await owner.execute("UPDATE remediator.pulse SET at = at - interval '1 h'")
    await take(store)
    (gap,) = await store.gaps(10)
    return gap


async def test_what_was_missed_is_recorded_and_told_once(store: LedgerLookoutStore, owner: Owner) -> None:
    """Its incident is over from the beginning, with its alert; what has no rule has its entry."""
    gap = await a_gap(store, owner)
    found = (missed(), structs.replace(missed(""), fingerprint="1" * 16))
    assert await store.settle(gap, found, "two alerts were missed")
    assert not await store.settle(gap, found, "two alerts were missed")
    assert await store.gaps(10) == ()
    (incident,) = await owner.fetch(
        """SELECT id, target_key, state, severity, rule, opened_at, resolved_at, fingerprint
           FROM remediator.incidents JOIN remediator.incident_alerts ON incident = id"""
    )
    assert incident["target_key"] == f"alert/am/{'0' * 16}"
    assert (incident["state"], incident["severity"], incident["rule"]) == ("resolved", "P1", "service-unavailable")
    assert (incident["opened_at"], incident["resolved_at"]) == (T0, T0 + timedelta(minutes=3))
    entries = await owner.fetch("SELECT kind, incident, rule FROM remediator.ledger ORDER BY seq")
    assert [(row["kind"], row["incident"]) for row in entries] == [
        (EntryKind.ALERT_MISSED, incident["id"]),
        (EntryKind.ALERT_MISSED, None),
    ]
    assert await owner.fetchval("SELECT payload ->> 'message' FROM remediator.outbox") == "two alerts were missed"


async def test_a_gap_in_which_nothing_was_missed_is_not_told(store: LedgerLookoutStore, owner: Owner) -> None:
    """Nobody needs to know."""
    assert await store.settle(await a_gap(store, owner), (), "")
    assert await owner.fetchval("SELECT count(*) FROM remediator.outbox") == 0


async def test_what_has_changed_since(store: LedgerLookoutStore, owner: Owner) -> None:
    """And what fires, however long it has."""
    await put_alert(owner, 1)
    await put_alert(owner, 2, "resolved")
    await put_alert(owner, 3, "resolved", changed_at=T0 + timedelta(hours=1))
    found = await store.known_since(T0 + timedelta(minutes=1))
    assert sorted(int(one.state.fingerprint, 16) for one in found) == [1, 3]


async def deliberate(pools: LedgerPools, owner: Owner) -> AdmissionBatch:
    """Have the one candidate decided about, and return what it was decided on."""
    await owner.execute("UPDATE remediator.candidates SET state = 'new', not_before = now(), lease_until = NULL")
    store, whim = LedgerAdmissionStore(pools.stages), Whim(lambda _: hold(HoldReason.COOLDOWN, retry_in_s=60))
    await store.admit([assessed(one) for one in await store.take(1, 60.0)], whim)
    return whim.seen[-1]


async def watched(pools: LedgerPools, owner: Owner) -> DueIncident:
    """Return the one incident, as the close stage sees it."""
    await owner.execute("UPDATE remediator.incidents SET check_at = now() - interval '1 s'")
    (found,) = await LedgerIncidentStore(pools.stages).due(10, 0.0)
    return found


async def test_a_candidate_whose_alert_is_silenced(store: LedgerLookoutStore, pools: LedgerPools, owner: Owner) -> None:
    """The core is told by whom, and since when."""
    await put_candidates(owner, 1)
    assert (await deliberate(pools, owner)).hushed == {}
    await store.note(await turn(store), notes(hushed=(hush(),)))
    batch = await deliberate(pools, owner)
    assert batch.hushed == {1: hush()}
    assert batch.firing == {1: True}


async def test_an_incident_with_an_alert_that_nobody_has_silenced(
    store: LedgerLookoutStore, pools: LedgerPools, owner: Owner
) -> None:
    """There is something to do, whichever alert came first; when both are silent there is not, and no clock runs."""
    await put_candidates(owner, 1)
    await put_alert(owner, 77)
    await owner.execute(
        """INSERT INTO remediator.incidents (target_key, severity, state, rule, title)
           VALUES ('k', 'P1', 'open', 'r', 't')"""
    )
    for number in (1, 77):
        await owner.execute("INSERT INTO remediator.incident_alerts VALUES (1, 'am', $1)", f"{number:016x}")
    await owner.execute("UPDATE remediator.candidates SET incident = 1")
    taken = await turn(store)
    await store.note(taken, notes(hushed=(hush(),)))
    assert (await deliberate(pools, owner)).hushed == {}
    assert not (await watched(pools, owner)).hushed
    await store.note(taken, notes(hushed=(hush(), hush(77))))
    assert list((await deliberate(pools, owner)).hushed) == [1]
    assert (await watched(pools, owner)).hushed
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    assert not (await watched(pools, owner)).hushed


@pytest.mark.parametrize(("after_min", "holds"), [(9, True), (11, False)])
async def test_a_notification_long_after_proves_that_a_silence_is_over(
    store: LedgerLookoutStore, pools: LedgerPools, owner: Owner, after_min: int, holds: bool
) -> None:
    """What is silenced is not posted; and nobody can be asked, else it would have been seen silent since."""
    await put_candidates(owner, 1)
    await store.note(await turn(store), notes(hushed=(hush(),)))
    await accept(pools.intake, Delivery(source="am", signals=(signal(),)))
    await owner.execute("UPDATE remediator.hushed_alerts SET seen_at = seen_at - make_interval(mins => $1)", after_min)
    assert bool((await deliberate(pools, owner)).hushed) is holds
