"""The state machine in PostgreSQL: one owner at a time, every move under its fence, and what comes after an end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from remediator.adapters.ledger.actions import LedgerActionStore
from remediator.adapters.ledger.endings import lock_admission
from remediator.adapters.ledger.evidence import LedgerEvidenceStore
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, transaction
from remediator.model.action import Action, ActionState, BeforeImage
from remediator.model.decision import HoldReason
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.plan import PatchObject
from remediator.model.rule import Mode
from remediator.ports.actions import CallPeople, Claim, Conclusion, NextLook, NextRung, Nothing, Recovered, Successor
from tests.adapters.ledger.stand import Owner, act, admit_actions, blocked, column, decide, hold, put_candidates

IMAGE = BeforeImage(resource_version="100", uid="uid-app-1", generation=4, object={"spec": {"replicas": 3}, "": "\x00"})
ENDED = [state for state in ActionState if not state.open and state is not ActionState.AWAITING_APPROVAL]


def entry(kind: EntryKind = EntryKind.ACTION_APPLIED, number: int = 1) -> NewEntry:
    """Return the entry of a move."""
    return NewEntry(kind=kind, summary=f"{kind} {number}", incident=1, action=number)


def conclusion(
    action: Action, successor: Successor | None = None, state: ActionState = ActionState.UNCHANGED, say: str = ""
) -> Conclusion:
    """Return the end of an action."""
    return Conclusion(
        number=action.number,
        fence=action.fence,
        state=state,
        note="it did not help",
        entries=(entry(EntryKind.ACTION_VERIFIED, action.number),),
        successor=successor or Nothing(),
        say=say,
    )


async def claim_one(actions: LedgerActionStore, owner: str = "me") -> Claim:
    """Claim the only action there is to claim."""
    (claim,) = await actions.claim(10, owner, 60.0)
    return claim


async def expire(owner: Owner) -> None:
    """Let every lease end."""
    await owner.execute("UPDATE remediator.actions SET lease_until = now() - interval '1 s' WHERE lease_until > now()")


async def verifying(owner: Owner, pool: LedgerPool, actions: LedgerActionStore) -> Action:
    """Bring one action to its verification, its alert silent."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    assert await actions.dispatched(1, claim.action.fence, IMAGE, entry())
    assert await actions.applied(1, claim.action.fence, entry())
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    return claim.action


@pytest.mark.parametrize("left_in", ["admitted", "claimed", "dispatched", "in_doubt"])
async def test_two_owners_never_claim_the_same(
    pools: LedgerPools, actions: LedgerActionStore, owner: Owner, left_in: str
) -> None:
    """Each action by one of them, each under a fence of its own: new ones, and those that dead owners left."""
    numbers = await admit_actions(owner, pools.stages, 40)
    await owner.execute(
        "UPDATE remediator.actions SET state = $1, lease_until = now() - make_interval(secs => number)", left_in
    )
    async with asyncio.TaskGroup() as tasks:
        claims = [tasks.create_task(actions.claim(7, f"owner-{n}", 60.0)) for n in range(6)]
    taken = [claim.action for task in claims for claim in task.result()]
    assert sorted(one.number for one in taken) == numbers
    assert len({one.fence for one in taken}) == len(numbers)
    assert await actions.claim(7, "late", 60.0) == ()


@pytest.mark.parametrize("left_in", ["admitted", "dispatched"])
async def test_a_lock_that_somebody_holds_is_passed_over(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, left_in: str
) -> None:
    """A claim under way delays nobody."""
    await admit_actions(owner, pool, 3)
    await owner.execute("UPDATE remediator.actions SET state = $1, lease_until = now() - interval '1 s'", left_in)
    async with owner.transaction():
        await owner.execute("SELECT FROM remediator.actions WHERE number = 1 FOR UPDATE")
        assert {claim.action.number for claim in await actions.claim(10, "me", 60.0)} == {2, 3}
    assert {claim.action.number for claim in await actions.claim(10, "me", 60.0)} == {1}


async def test_a_claim_tells_all_that_the_owner_needs(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """The plan as it was decided, its deadline, and how its alert stands now."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    action = claim.action
    assert (action.state, claim.found_in, action.mode) == (ActionState.CLAIMED, ActionState.ADMITTED, Mode.ENFORCE)
    assert (action.attempts, claim.tries, claim.before, claim.has_evidence) == (1, 1, None, False)
    assert claim.firing
    assert action.target.uid == "uid-app-1"
    (step,) = action.plan.steps
    assert isinstance(step, PatchObject)
    assert step.mark_template
    assert action.admitted_at <= claim.now < action.good_until


async def test_a_lease_that_ended_makes_way_under_a_higher_fence(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """Whoever takes over learns in which state it was left, and with which image."""
    await admit_actions(owner, pool)
    first = await claim_one(actions, "first")
    assert await actions.claim(1, "second", 60.0) == ()
    await expire(owner)
    second = await claim_one(actions, "second")
    assert (second.found_in, second.action.attempts, second.before) == (ActionState.CLAIMED, 2, None)
    assert await actions.dispatched(1, second.action.fence, IMAGE, entry())
    await expire(owner)
    third = await claim_one(actions, "third")
    assert (third.found_in, third.action.state) == (ActionState.DISPATCHED, ActionState.DISPATCHED)
    assert third.before is not None
    assert third.before.object == {"spec": {"replicas": 3}, "": "\ufffd"}
    assert await actions.in_doubt(1, third.action.fence, entry())
    await expire(owner)
    fourth = await claim_one(actions, "fourth")
    assert fourth.found_in is ActionState.IN_DOUBT
    fences = [claim.action.fence for claim in (first, second, third, fourth)]
    assert fences == sorted(set(fences))
    assert await column(owner, "actions", "owner || attempts") == ["fourth4"]


@pytest.mark.parametrize("state", [*ENDED, ActionState.AWAITING_APPROVAL, ActionState.VERIFYING])
async def test_nobody_claims_what_is_not_to_be_executed(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, state: ActionState
) -> None:
    """Ended, waiting for a person, or done and being looked at: also when an old lease stands in the row."""
    await admit_actions(owner, pool)
    await owner.execute("UPDATE remediator.actions SET state = $1, lease_until = now() - interval '1 h'", state.value)
    assert await actions.claim(10, "me", 60.0) == ()


MOVES = ["renew", "dispatched", "in_doubt", "applied", "conclude", "look_again"]


async def move(actions: LedgerActionStore, how: str, claim: Claim) -> Any:
    """Make one move under the fence of a claim."""
    number, fence = claim.action.number, claim.action.fence
    match how:
        case "renew":
            return await actions.renew(number, fence, 60.0)
        case "dispatched":
            return await actions.dispatched(number, fence, IMAGE, entry())
        case "in_doubt":
            return await actions.in_doubt(number, fence, entry())
        case "applied":
            return await actions.applied(number, fence, entry())
        case "conclude":
            return await actions.conclude(conclusion(claim.action, CallPeople(message="help")))
        case _:
            return await actions.look_again(
                [NextLook(number=number, fence=fence, check_at=claim.now, quiet_since=claim.now)]
            )


@pytest.mark.parametrize("how", MOVES)
async def test_no_move_is_made_under_an_old_fence(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, how: str
) -> None:
    """Whoever was overtaken changes nothing, writes nothing, and is told so."""
    await admit_actions(owner, pool)
    zombie = await claim_one(actions, "zombie")
    await expire(owner)
    await claim_one(actions, "heir")
    if how == "look_again":
        await owner.execute("UPDATE remediator.actions SET state = 'verifying'")
    before = await owner.fetch("SELECT * FROM remediator.actions"), await column(owner, "ledger", "seq")
    assert not await move(actions, how, zombie)
    assert (await owner.fetch("SELECT * FROM remediator.actions"), await column(owner, "ledger", "seq")) == before
    assert await column(owner, "outbox", "id") == []


@pytest.mark.parametrize("how", MOVES)
async def test_no_move_is_made_after_the_end(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, how: str
) -> None:
    """Under the right fence, too: an end is an end."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    assert await actions.conclude(conclusion(claim.action))
    before = await owner.fetch("SELECT * FROM remediator.actions"), await column(owner, "ledger", "seq")
    assert not await move(actions, how, claim)
    assert (await owner.fetch("SELECT * FROM remediator.actions"), await column(owner, "ledger", "seq")) == before


async def test_moves_of_one_commit_do_not_mix(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """Each is answered for itself, and only the entries of those that moved are written."""
    await admit_actions(owner, pool, 6)
    claims = {claim.action.number: claim for claim in await actions.claim(6, "me", 60.0)}
    await owner.execute("UPDATE remediator.actions SET fence = fence + 1000 WHERE number IN (2, 5)")
    async with asyncio.TaskGroup() as tasks:
        moves = {
            number: tasks.create_task(actions.dispatched(number, claim.action.fence, IMAGE, entry(number=number)))
            for number, claim in claims.items()
        }
    assert [number for number in range(1, 7) if not moves[number].result()] == [2, 5]
    written = await owner.fetch("SELECT action FROM remediator.ledger WHERE kind = 'action.applied' ORDER BY action")
    assert [row["action"] for row in written] == [1, 3, 4, 6]
    assert await column(owner, "actions", "state", order="number") == [
        "dispatched", "claimed", "dispatched", "dispatched", "claimed", "dispatched",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "news",
    [
        "UPDATE remediator.alerts SET status = 'resolved'",
        "UPDATE remediator.actions SET good_until = clock_timestamp() - interval '1 ms'",
    ],
)
async def test_an_intent_needs_a_reason_in_its_moment(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, news: str
) -> None:
    """No write is intended for an alert that has ended or on an old decision; what was written is told all the same."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    await owner.execute(news)
    before = await column(owner, "ledger", "seq")
    assert not await actions.dispatched(1, claim.action.fence, IMAGE, entry())
    assert (await column(owner, "actions", "state"), await column(owner, "ledger", "seq")) == (["claimed"], before)
    assert await actions.renew(1, claim.action.fence, 60.0), "the action is still ours"
    assert await actions.in_doubt(1, claim.action.fence, entry())
    assert await actions.applied(1, claim.action.fence, entry())


async def test_a_number_that_was_given_again_is_not_the_same_action(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """The server has crashed and forgot an action that we still hold: number and fence are another one's now."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    said = structs.replace(entry(), data={"action_id": claim.action.id})
    await owner.execute("UPDATE remediator.actions SET id = 'another'")
    assert not await actions.dispatched(1, claim.action.fence, IMAGE, said)
    assert not await actions.applied(1, claim.action.fence, said)
    await owner.execute("UPDATE remediator.actions SET id = $1", claim.action.id)
    assert await actions.dispatched(1, claim.action.fence, IMAGE, said)


async def test_a_look_that_is_asked_for_meanwhile_is_not_put_off(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """The alert ends while it is looked at: the look that its end asks for comes before the one that was planned."""
    action = await verifying(owner, pool, actions)
    await owner.execute("UPDATE remediator.actions SET check_at = now()")
    (due,) = await actions.due(5, 60.0)
    await owner.execute("UPDATE remediator.actions SET check_at = now()")
    look = NextLook(number=1, fence=action.fence, check_at=due.now + timedelta(minutes=1), quiet_since=due.now)
    assert await actions.look_again([look]) == {1}
    (again,) = await actions.due(5, 60.0)
    assert again.quiet_since == due.now


async def test_what_was_applied_is_looked_at_soon(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """By one replica at a time; the lease of execution is over."""
    action = await verifying(owner, pool, actions)
    (row,) = await owner.fetch(
        "SELECT state, lease_until, check_at - now() AS wait, applied_at FROM remediator.actions"
    )
    assert (row["state"], row["lease_until"]) == ("verifying", None)
    assert row["wait"] <= timedelta(seconds=5)
    await owner.execute("UPDATE remediator.actions SET check_at = now()")
    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(actions.due(5, 60.0)) for _ in range(4)]
    (due,) = [one for task in looks for one in task.result()]
    assert (due.action.number, due.action.fence, due.action.applied_at) == (1, action.fence, row["applied_at"])
    assert (due.firing, due.quiet_since, due.ready_before, due.tries) == (0, None, 3, 1)
    look = NextLook(number=1, fence=action.fence, check_at=due.now - timedelta(seconds=1), quiet_since=due.now)
    assert await actions.look_again([look]) == {1}
    (again,) = await actions.due(5, 60.0)
    assert again.quiet_since == due.now
    assert await actions.due(5, 60.0) == ()


async def test_a_look_counts_the_alerts_of_the_incident_that_fire(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """Its own and those that joined; not those of others."""
    await verifying(owner, pool, actions)
    await put_candidates(owner, 3, rule="other", source="more")
    await owner.execute(
        """INSERT INTO remediator.incident_alerts
           SELECT 1, source, fingerprint FROM remediator.alerts WHERE source = 'more' LIMIT 2"""
    )
    await owner.execute("UPDATE remediator.actions SET check_at = now()")
    (due,) = await actions.due(5, 60.0)
    assert due.firing == 2


async def test_evidence_of_the_incident_is_known_for_ten_minutes(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """What was just seen is not read again; what was seen long ago is."""
    await admit_actions(owner, pool)
    await LedgerEvidenceStore(pool).keep(1, 1, "deployment/backstage/app-1", {"pods": []}, {})
    assert (await claim_one(actions)).has_evidence
    await expire(owner)
    await owner.execute("UPDATE remediator.evidence SET captured_at = now() - interval '11 min'")
    assert not (await claim_one(actions)).has_evidence


async def test_nothing_comes_after_it(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """The action ends, its entry is written, its target is free, and that is all."""
    action = await verifying(owner, pool, actions)
    assert await actions.conclude(conclusion(action))
    (row,) = await owner.fetch("SELECT state, note, ended_at - now() AS ago, check_at FROM remediator.actions")
    assert (row["state"], row["note"], row["check_at"]) == ("unchanged", "it did not help", None)
    assert abs(row["ago"]) < timedelta(seconds=5)
    assert (await column(owner, "ledger", "kind", order="seq"))[-1] == "action.verified"
    assert await column(owner, "incidents", "state") == ["open"]
    assert await column(owner, "candidates", "state") == ["decided"]
    assert await column(owner, "outbox", "id") == []


async def test_the_next_rung_is_a_candidate(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """Of the same alert, rule and incident, due at once; the assess stage is rung for."""
    action = await verifying(owner, pool, actions)
    rung: list[object] = []
    await owner.add_listener("remediator", lambda *said: rung.append(said[-1]))
    assert await actions.conclude(conclusion(action, NextRung(rung=1)))
    rows = await owner.fetch(
        """SELECT cause, rung, rule, incident, state, severity, not_before <= now() AS due
           FROM remediator.candidates ORDER BY id"""
    )
    assert [tuple(row) for row in rows][1:] == [("next_rung", 1, "service-unavailable", 1, "new", "P1", True)]
    assert rung == ["assess"]


async def test_the_next_rung_takes_over_what_waits_under_its_rule(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """A new episode is held by the ladder under way: its candidate gets the rung, and what is said of that is new."""
    action = await verifying(owner, pool, actions)
    await put_candidates(owner, 1)
    await decide(pool, lambda _: hold(HoldReason.COOLDOWN, retry_in_s=600))
    assert await actions.conclude(conclusion(action, NextRung(rung=1)))
    rows = await owner.fetch(
        "SELECT cause, rung, incident, not_before <= now() AS due FROM remediator.candidates ORDER BY id"
    )
    assert [tuple(row) for row in rows][1:] == [("next_rung", 1, 1, True)]
    await decide(pool, lambda _: hold(HoldReason.COOLDOWN, retry_in_s=600))
    assert (await column(owner, "ledger", "kind", order="seq")).count("decision.hold") == 2


async def test_people_are_called_after_it(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """The incident goes to them, once; a second action that ends so sends its message all the same."""
    action = await verifying(owner, pool, actions)
    assert await actions.conclude(conclusion(action, CallPeople(message="all was tried")))
    assert await column(owner, "incidents", "state") == ["escalated"]
    (payload,) = await column(owner, "outbox", "payload::text")
    for word in ("all was tried", '"action": 1', '"P1"', '"urgent": true', "deployment/backstage/app-1"):
        assert word in payload
    assert (await column(owner, "ledger", "kind", order="seq"))[-2:] == ["action.verified", "incident.escalated"]
    await put_candidates(owner, 1, rule="other")
    await owner.execute("UPDATE remediator.alerts SET status = 'firing'")
    await decide(pool, act)
    claim = await claim_one(actions)
    assert await actions.conclude(conclusion(claim.action, CallPeople(message="that, too")))
    assert (await column(owner, "ledger", "kind", order="seq")).count("incident.escalated") == 1
    assert len(await column(owner, "outbox", "id")) == 2


async def test_what_an_action_says_to_people_goes_out_with_its_end(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """The ladder goes on after it."""
    action = await verifying(owner, pool, actions)
    assert await actions.conclude(conclusion(action, NextRung(rung=1), say="restarted once"))
    assert "restarted once" in (await column(owner, "outbox", "payload::text"))[0]
    assert await column(owner, "incidents", "state") == ["open"]


async def test_a_recovery_resolves_the_incident(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """With what still waited for it."""
    action = await verifying(owner, pool, actions)
    await put_candidates(owner, 1, rule="other")
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    await owner.execute("UPDATE remediator.candidates SET incident = 1")
    assert await actions.conclude(conclusion(action, Recovered(message="3 of 3 ready"), ActionState.RECOVERED))
    assert await column(owner, "incidents", "state") == ["resolved"]
    assert await column(owner, "candidates", "state") == ["decided", "decided"]
    assert (await column(owner, "ledger", "summary", order="seq"))[-1] == "resolved: 3 of 3 ready"


async def test_a_recovery_leaves_an_incident_open_in_which_something_fires(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """The action is over, the incident is not; nothing says that it were."""
    action = await verifying(owner, pool, actions)
    await owner.execute("UPDATE remediator.alerts SET status = 'firing'")
    assert await actions.conclude(conclusion(action, Recovered(message="3 of 3 ready"), ActionState.RECOVERED))
    assert await column(owner, "actions", "state") == ["recovered"]
    assert await column(owner, "incidents", "state") == ["open"]
    assert (await column(owner, "ledger", "kind", order="seq"))[-1] == "action.verified"


async def test_a_recovery_waits_for_a_decision_under_way(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """Which may tie another alert to the incident; and no row is locked meanwhile that the decision may want."""
    action = await verifying(owner, pool, actions)
    async with asyncio.TaskGroup() as tasks:
        async with transaction(pool) as connection:
            await lock_admission(connection)
            ending = tasks.create_task(
                actions.conclude(conclusion(action, Recovered(message="fine"), ActionState.RECOVERED))
            )
            await blocked(owner)
            await owner.execute("UPDATE remediator.alerts SET status = 'firing'")
            await connection.execute("UPDATE remediator.actions SET note = 'not locked'")
        assert await ending
    assert await column(owner, "incidents", "state") == ["open"]


async def test_an_end_is_whole_or_not_at_all(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """If its last write fails, the action goes on where it was."""
    action = await verifying(owner, pool, actions)
    await owner.execute("ALTER TABLE remediator.outbox ADD CHECK (payload ->> 'message' <> 'poison')")
    with pytest.raises(Exception, match="outbox") as caught:
        await actions.conclude(conclusion(action, CallPeople(message="poison")))
    assert isinstance(caught.value.__cause__, asyncpg.CheckViolationError)
    assert await column(owner, "actions", "state") == ["verifying"]
    assert await column(owner, "incidents", "state") == ["open"]


async def test_an_owner_that_renews_keeps_its_action(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """And learns whether its alert still fires."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    await owner.execute("UPDATE remediator.actions SET lease_until = now() + interval '1 s'")
    standing = await actions.renew(1, claim.action.fence, 60.0)
    assert standing is not None
    assert standing.firing
    (left,) = await column(owner, "actions", "lease_until - now()")
    assert left > timedelta(seconds=50)
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    standing = await actions.renew(1, claim.action.fence, 60.0)
    assert standing is not None
    assert not standing.firing
    assert standing.now > claim.now


async def test_tries_count_the_actions_of_a_rung(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """Of this incident, rule and rung: a rung that was put off comes back only so often."""
    await admit_actions(owner, pool)
    claim = await claim_one(actions)
    assert await actions.conclude(conclusion(claim.action, NextRung(rung=0), ActionState.EXPIRED))
    await decide(pool, act)
    second = await claim_one(actions)
    assert (second.tries, second.action.rung) == (2, 0)
    assert await actions.conclude(conclusion(second.action, NextRung(rung=1)))
    await decide(pool, act)
    third = await claim_one(actions)
    assert (third.tries, third.action.rung) == (1, 1)


async def test_ends_that_come_together_share_a_commit(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner
) -> None:
    """Ten recover in the same moment: each is told for itself, and nearly all in one transaction."""
    await admit_actions(owner, pool, 10)
    claims = await actions.claim(10, "me", 60.0)
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    await owner.execute("UPDATE remediator.actions SET fence = fence + 1000 WHERE number = 4")
    recovered = [conclusion(one.action, Recovered(message="all well"), ActionState.RECOVERED) for one in claims]
    async with asyncio.TaskGroup() as tasks:
        ends = [tasks.create_task(actions.conclude(one)) for one in recovered]
    assert [one.number for one, end in zip(recovered, ends, strict=True) if not end.result()] == [4]
    ended = await owner.fetch("SELECT xmin::text AS xmin FROM remediator.actions WHERE state = 'recovered'")
    assert len(ended) == 9
    assert len({row["xmin"] for row in ended}) <= 2
    assert await column(owner, "incidents", "state", order="id") == ["resolved"] * 3 + ["open"] + ["resolved"] * 6


@pytest.mark.parametrize("last", ["climbs", "recovers"])
async def test_two_ends_in_one_incident_are_two_ends(
    pool: LedgerPool, actions: LedgerActionStore, owner: Owner, last: str
) -> None:
    """Though they share a commit: while the second is open the first cannot resolve the incident."""
    await admit_actions(owner, pool, 2)
    await owner.execute("UPDATE remediator.actions SET incident = 1")
    first, second = sorted(await actions.claim(2, "me", 60.0), key=lambda claim: claim.action.number)
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved'")
    recovers = conclusion(first.action, Recovered(message="all well"), ActionState.RECOVERED)
    climbs = conclusion(second.action, NextRung(rung=1))
    ordered = [recovers, climbs] if last == "climbs" else [climbs, recovers]
    async with asyncio.TaskGroup() as tasks:
        ends = [tasks.create_task(actions.conclude(one)) for one in ordered]
    assert all(end.result() for end in ends)
    (incident,) = await owner.fetch("SELECT state FROM remediator.incidents WHERE id = 1")
    waiting = await owner.fetch("SELECT rung FROM remediator.candidates WHERE state <> 'decided' AND incident = 1")
    assert (incident["state"], [row["rung"] for row in waiting]) == (
        ("open", [1]) if last == "climbs" else ("resolved", [])
    )


async def test_next_looks_wait_for_nobody(pool: LedgerPool, actions: LedgerActionStore, owner: Owner) -> None:
    """What somebody has locked is being ended or hastened; who waited for many of them could deadlock."""
    await admit_actions(owner, pool, 2)
    claims = await actions.claim(2, "me", 60.0)
    looks = [
        NextLook(number=one.action.number, fence=one.action.fence, check_at=one.now, quiet_since=None) for one in claims
    ]
    async with owner.transaction():
        await owner.execute("SELECT FROM remediator.actions WHERE number = 1 FOR UPDATE")
        assert await actions.look_again(looks) == {2}
