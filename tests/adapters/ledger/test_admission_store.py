"""The admission transaction: exact limits over replicas, every candidate recorded once, nothing ever half written."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools, Purpose, one_pool, transaction
from remediator.adapters.ledger.writs import CROWD
from remediator.model.action import ActionState
from remediator.model.case import Assessed
from remediator.model.decision import Act, Ask, Decision, HoldReason, Observe
from remediator.model.errors import LedgerError
from remediator.model.incident import Cause
from remediator.model.policy import Policy
from remediator.model.rule import RateLimit, Rung
from remediator.ports.admission import AdmissionReport
from tests.adapters.ledger.forging import forge
from tests.adapters.ledger.stand import (
    ROOMY,
    Court,
    Owner,
    Whim,
    a_rule,
    act,
    assessed,
    column,
    decide,
    hold,
    lost,
    put_candidates,
)

ROUNDS, REPLICAS, CANDIDATES, LIMIT = 20, 4, 200, 7


@pytest.fixture
async def replicas(pools: LedgerPools, database: str) -> AsyncIterator[list[LedgerAdmissionStore]]:
    """The admission stores of several replicas, each on a pool of its own."""
    async with AsyncExitStack() as stack:
        made = [one_pool(database, pools.server, Purpose.STAGES) for _ in range(REPLICAS)]
        yield [LedgerAdmissionStore(await stack.enter_async_context(pool)) for pool in made]


async def clear(owner: Owner) -> None:
    """Forget every candidate and all that came of it."""
    await owner.execute("TRUNCATE remediator.candidates, remediator.alerts, remediator.incidents CASCADE")
    await forge(owner, "TRUNCATE remediator.ledger")


async def work(store: LedgerAdmissionStore, court: Court) -> AdmissionReport:
    """Admit batch after batch until nothing is due, as a replica does."""
    total = AdmissionReport()
    while items := [assessed(one) for one in await store.take(24, 60.0)]:
        report = await store.admit(items, court)
        total = structs.replace(total, acts=total.acts + report.acts, held=total.held + report.held)
    return total


@pytest.mark.parametrize(
    ("policy", "rule_limit"),
    [
        (structs.replace(ROOMY, cluster_hourly=RateLimit(count=LIMIT, window_s=3600)), 1000),
        (structs.replace(ROOMY, open_per_cluster=LIMIT), 1000),
        (structs.replace(ROOMY, open_per_namespace=LIMIT), 1000),
        (ROOMY, LIMIT),
    ],
    ids=["cluster-hourly", "open-per-cluster", "open-per-namespace", "per-rule"],
)
async def test_a_limit_is_exact_over_replicas_that_admit_at_once(
    replicas: list[LedgerAdmissionStore], owner: Owner, policy: Policy, rule_limit: int
) -> None:
    """However the batches interleave: as many acts as the limit allows, and one decision entry for each candidate."""
    limits = structs.replace(a_rule().limits, per_rule=RateLimit(count=rule_limit, window_s=3600))
    court = Court(rules=(a_rule(limits=limits),), policy=policy)
    for _ in range(ROUNDS // 4):
        await clear(owner)
        await put_candidates(owner, CANDIDATES)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(work(store, court)) for store in replicas]
        reports = [task.result() for task in working]
        assert sum(report.acts for report in reports) == LIMIT
        assert sum(report.held for report in reports) == CANDIDATES - LIMIT
        assert await owner.fetchval("SELECT count(*) FROM remediator.actions") == LIMIT
        said = await owner.fetch(
            "SELECT kind, data ->> 'fingerprint' AS alert FROM remediator.ledger WHERE kind LIKE 'decision.%'"
        )
        assert Counter(row["kind"] for row in said) == {"decision.act": LIMIT, "decision.hold": CANDIDATES - LIMIT}
        assert len({row["alert"] for row in said}) == CANDIDATES
        states = Counter(await column(owner, "candidates", "state"))
        assert states == {"decided": LIMIT, "held": CANDIDATES - LIMIT}


async def test_a_limit_outlasts_restarts(pools: LedgerPools, database: str, owner: Owner) -> None:
    """Nothing of a count is kept in a process: lives that follow on each other share one window."""
    court = Court(policy=structs.replace(ROOMY, cluster_hourly=RateLimit(count=LIMIT, window_s=3600)))
    await put_candidates(owner, 30)
    acts = []
    for _ in range(4):
        async with one_pool(database, pools.server, Purpose.STAGES) as pool:
            store = LedgerAdmissionStore(pool)
            report = await store.admit([assessed(one) for one in await store.take(4, 60.0)], court)
            acts.append(report.acts)
    assert acts == [4, LIMIT - 4, 0, 0]


async def test_two_replicas_with_the_same_candidates_decide_once(
    replicas: list[LedgerAdmissionStore], owner: Owner
) -> None:
    """A lease that ran out while its owner was slow: whoever comes second finds nothing left to decide."""
    await put_candidates(owner, 10)
    items = [assessed(one) for one in await replicas[0].take(10, 60.0)]
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(store.admit(items, Court())) for store in replicas]
    assert sorted(task.result().acts for task in sent) == [0, 0, 0, 10]
    assert await owner.fetchval("SELECT count(*) FROM remediator.ledger WHERE kind = 'decision.act'") == 10


async def test_a_second_open_action_on_a_target_fails_the_transaction(pool: LedgerPool, owner: Owner) -> None:
    """Even if the core were wrong, the index stands, and nothing of the batch is half written."""
    await put_candidates(owner, 3)
    with pytest.raises(LedgerError) as caught:
        await decide(pool, act, name="backstage")
    assert (caught.value.reason, "actions_one_open" in caught.value.message) == ("conflict", True)
    for table in ("actions", "incidents", "incident_alerts", "ledger", "outbox"):
        assert await owner.fetchval(f"SELECT count(*) FROM remediator.{table}") == 0, table  # noqa: S608 - a constant
    assert await column(owner, "candidates", "state || tries") == ["new0"] * 3


@pytest.mark.parametrize("state", [state for state in ActionState if state.open])
async def test_a_target_is_held_in_every_open_state(pool: LedgerPool, owner: Owner, state: ActionState) -> None:
    """From admission until the verdict."""
    await put_candidates(owner, 1)
    await decide(pool, act, name="backstage")
    await owner.execute("UPDATE remediator.actions SET state = $1", state.value)
    await put_candidates(owner, 1, rule="other")
    with pytest.raises(LedgerError, match="actions_one_open"):
        await decide(pool, act, name="backstage")


@pytest.mark.parametrize("state", [state for state in ActionState if not state.open])
async def test_a_target_is_free_when_the_action_has_ended_or_waits_for_a_person(
    pool: LedgerPool, owner: Owner, state: ActionState
) -> None:
    """Waiting for an answer holds nothing up."""
    await put_candidates(owner, 1)
    await decide(pool, act, name="backstage")
    await owner.execute("UPDATE remediator.actions SET state = $1", state.value)
    await put_candidates(owner, 1, rule="other")
    assert (await decide(pool, act, name="backstage")).acts == 1


async def test_candidates_are_leased_the_most_severe_first(pool: LedgerPool, owner: Owner) -> None:
    """Two takers share nothing; a lease that ended gives its candidate back; one that is not due stays."""
    await put_candidates(owner, 6)
    await owner.execute("UPDATE remediator.candidates SET severity = 'P4' WHERE id <= 3")
    await owner.execute("UPDATE remediator.candidates SET not_before = now() + interval '1 h' WHERE id = 6")
    store = LedgerAdmissionStore(pool)
    assert {one.id for one in await store.take(2, 60.0)} == {4, 5}
    async with asyncio.TaskGroup() as tasks:
        takes = [tasks.create_task(store.take(2, 60.0)) for _ in range(3)]
    taken = [one.id for task in takes for one in task.result()]
    assert sorted(taken) == [1, 2, 3]
    assert await store.take(10, 60.0) == ()
    await owner.execute("UPDATE remediator.candidates SET lease_until = now() - interval '1 s' WHERE id = 2")
    assert [one.id for one in await store.take(10, 60.0)] == [2]


@pytest.mark.parametrize(
    ("new", "held", "room", "expected"),
    [(20, 20, 8, (4, 4)), (2, 20, 8, (2, 6)), (20, 2, 8, (6, 2)), (0, 20, 8, (0, 8))],
)
async def test_what_comes_back_does_not_starve_what_is_new(
    pool: LedgerPool, owner: Owner, new: int, held: int, room: int, expected: tuple[int, int]
) -> None:
    """However severe and overdue it is: it gets half of the places, or those that nothing new wants."""
    await put_candidates(owner, held)
    await owner.execute("UPDATE remediator.candidates SET state = 'held', not_before = now() - interval '1 h'")
    await put_candidates(owner, new, rule="other")
    await owner.execute("UPDATE remediator.candidates SET severity = 'P4' WHERE state = 'new'")
    rules = Counter(one.rule for one in await LedgerAdmissionStore(pool).take(room, 60.0))
    assert (rules["other"], rules["service-unavailable"]) == expected


@pytest.mark.parametrize(("state", "other"), [("held", "new"), ("new", "held"), ("new", "new"), ("held", "held")])
async def test_a_severe_one_that_comes_late_goes_first(pool: LedgerPool, owner: Owner, state: str, other: str) -> None:
    """Before milder ones that have been due for longer, whichever of them are new or come back."""
    await put_candidates(owner, 12, rule="mild")
    await owner.execute("UPDATE remediator.candidates SET severity = 'P3', state = $1", other)
    await put_candidates(owner, 1, rule="severe")
    await owner.execute("UPDATE remediator.candidates SET state = $1 WHERE rule = 'severe'", state)
    (taken,) = await LedgerAdmissionStore(pool).take(1, 60.0)
    assert taken.rule == "severe"


async def test_two_rules_for_one_target_are_arbitrated_over_replicas(
    replicas: list[LedgerAdmissionStore], owner: Owner
) -> None:
    """Whoever decides: one action a target; every loser names the rule that came first and the number of its action."""
    court = Court(rules=(a_rule(), a_rule(name="other", priority=5)))
    await owner.execute("SELECT nextval('remediator.actions_number_seq') FROM generate_series(1, 40)")
    await put_candidates(owner, 30)
    await put_candidates(owner, 30, rule="other")
    async with asyncio.TaskGroup() as tasks:
        for store in replicas:
            tasks.create_task(work(store, court))
    acting = {row["target_key"]: row for row in await owner.fetch("SELECT * FROM remediator.actions")}
    assert len(acting) == await owner.fetchval("SELECT count(*) FROM remediator.actions") == 30
    lost = await owner.fetch("SELECT summary, rule, target_key FROM remediator.ledger WHERE kind = 'decision.hold'")
    assert len(lost) == 30
    for row in lost:
        winner = acting[row["target_key"]]
        assert row["rule"] != winner["rule"]
        assert winner["rule"] in row["summary"]
        assert f"action {winner['number']}" in row["summary"]


async def test_what_only_looks_is_counted_by_its_name(
    pool: LedgerPool, replicas: list[LedgerAdmissionStore], owner: Owner
) -> None:
    """In a storm, over replicas: as many looks as there is room for, not one more."""
    stormy = structs.replace(ROOMY, storm=RateLimit(count=2, window_s=120))
    court = Court(rules=(a_rule(ladder=(Rung(action="investigate", parameters={}),)),), policy=stormy)
    await put_candidates(owner, 60)
    async with asyncio.TaskGroup() as tasks:
        for store in replicas:
            tasks.create_task(work(store, court))
    assert await owner.fetchval("SELECT count(*) FROM remediator.actions") == stormy.storm_evidence.count
    held = await owner.fetch("SELECT last_reasons FROM remediator.candidates WHERE state = 'held'")
    assert {tuple(row["last_reasons"]) for row in held} == {("storm_evidence",)}
    assert len(held) == 60 - stormy.storm_evidence.count
    assert await work(LedgerAdmissionStore(pool), court) == AdmissionReport()


async def test_a_hold_waits_for_its_time_within_bounds(pool: LedgerPool, owner: Owner) -> None:
    """A retry in the past comes in a second, one far off within a quarter of an hour; none is final."""
    times = {1: -60.0, 2: 120.0, 3: 86_400.0, 4: None}
    await put_candidates(owner, 4)
    await decide(pool, lambda item: hold(HoldReason.COOLDOWN, retry_in_s=times[item.candidate.id]))
    rows = await owner.fetch("SELECT id, state, not_before - now() AS wait FROM remediator.candidates ORDER BY id")
    assert [row["state"] for row in rows] == ["held", "held", "held", "decided"]
    waits = [row["wait"] for row in rows]
    assert timedelta(0) < waits[0] <= timedelta(seconds=1)
    assert timedelta(seconds=110) < waits[1] <= timedelta(seconds=120)
    assert timedelta(minutes=14) < waits[2] <= timedelta(minutes=15)


async def again(owner: Owner) -> None:
    """Let every held candidate be due."""
    await owner.execute("UPDATE remediator.candidates SET not_before = now() WHERE state = 'held'")


async def test_a_hold_that_only_repeats_is_counted_and_not_written_again(pool: LedgerPool, owner: Owner) -> None:
    """The ledger tells when the reasons change, and how it ended: not every ten seconds that nothing is new."""
    await put_candidates(owner, 1)
    story = [
        hold(HoldReason.COOLDOWN, retry_in_s=1),
        hold(HoldReason.COOLDOWN, retry_in_s=1),
        hold(HoldReason.SPACING, HoldReason.COOLDOWN, retry_in_s=1),
        hold(HoldReason.COOLDOWN, HoldReason.SPACING, retry_in_s=1),
        hold(HoldReason.COOLDOWN, retry_in_s=1),
        hold(HoldReason.COOLDOWN),
    ]
    chapters = iter(story)
    for _ in story:
        await decide(pool, lambda _: next(chapters))
        await again(owner)
    entries = await owner.fetch("SELECT reasons FROM remediator.ledger WHERE kind = 'decision.hold' ORDER BY seq")
    assert [row["reasons"] for row in entries] == [["cooldown"], ["cooldown", "spacing"], ["cooldown"], ["cooldown"]]
    assert await column(owner, "candidates", "state || tries") == ["decided6"]


async def test_an_incident_is_opened_once_and_joined(pool: LedgerPool, owner: Owner) -> None:
    """Three alerts of one target in one batch, and a fourth later: one incident with four alerts."""
    await put_candidates(owner, 3)
    court = Court()
    store = LedgerAdmissionStore(pool)
    await store.admit([assessed(one, "backstage") for one in await store.take(10, 60.0)], court)
    await put_candidates(owner, 1, source="other")
    await store.admit([assessed(one, "backstage") for one in await store.take(10, 60.0)], court)
    rows = await owner.fetch("SELECT id, severity, state, rule, title FROM remediator.incidents")
    assert [tuple(row)[1:4] for row in rows] == [("P1", "open", "service-unavailable")]
    assert rows[0]["title"] == "BackstageDown: deployment/backstage in backstage"
    assert await owner.fetchval("SELECT count(*) FROM remediator.incident_alerts") == 4
    assert set(await column(owner, "candidates", "incident")) == {rows[0]["id"]}
    entries = await owner.fetch("SELECT kind, incident, action FROM remediator.ledger ORDER BY seq")
    assert [row["kind"] for row in entries] == [
        "incident.opened",
        "decision.act",
        "decision.hold",
        "decision.hold",
        "decision.hold",
    ]
    assert {row["incident"] for row in entries} == {rows[0]["id"]}
    assert [row["action"] is not None for row in entries] == [False, True, False, False, False]


async def test_a_resolved_incident_is_not_joined(pool: LedgerPool, owner: Owner) -> None:
    """The next episode is another incident, also for a candidate that belonged to the old one."""
    await put_candidates(owner, 1)
    await decide(pool, lambda _: hold(HoldReason.COOLDOWN, retry_in_s=0))
    await owner.execute("UPDATE remediator.incidents SET state = 'resolved'")
    await again(owner)
    assert (await decide(pool, act)).acts == 1
    assert await column(owner, "incidents", "state", order="id") == ["resolved", "open"]
    assert await column(owner, "actions", "incident") == [max(await column(owner, "incidents", "id"))]


async def test_an_alert_without_a_target_has_an_incident_of_its_own(pool: LedgerPool, owner: Owner) -> None:
    """Under its own name; a second rule, and the next episode while it is still open, join it."""
    store = LedgerAdmissionStore(pool)
    final = Whim(lambda _: hold(HoldReason.TARGET_MISSING))
    for rule in ("service-unavailable", "other", "third"):
        await put_candidates(owner, 1, rule=rule)
        report = await store.admit([lost(one) for one in await store.take(10, 60.0)], final)
        assert report.held == 1
    rows = await owner.fetch("SELECT target_key, target, state FROM remediator.incidents")
    assert [tuple(row) for row in rows] == [(f"alert/am/{1:016x}", None, "escalated")]
    assert len(set(await column(owner, "candidates", "incident"))) == 1
    assert await owner.fetchval("SELECT count(*) FROM remediator.outbox") == 1


async def test_people_are_called_once_for_an_incident(pool: LedgerPool, owner: Owner) -> None:
    """By the first hold that time does not cure; the message has all that it takes to find the way."""
    for rule in ("service-unavailable", "other"):
        await put_candidates(owner, 2, rule=rule)
        report = await decide(pool, lambda _: hold(HoldReason.PROTECTED), name="backstage")
        assert report.reasons == ("protected", "protected")
        assert report.escalated == (1 if rule == "service-unavailable" else 0)
    (incident,) = await owner.fetch("SELECT id, state, escalated_at FROM remediator.incidents")
    assert incident["state"] == "escalated"
    assert incident["escalated_at"] is not None
    message = "SELECT incident, payload ->> 'message' AS said, payload ->> 'severity' AS severity, "
    message += "payload ->> 'target' AS target, payload ->> 'urgent' AS urgent FROM remediator.outbox"
    (row,) = await owner.fetch(message)
    assert tuple(row) == (
        incident["id"], "because of protected", "P1", "deployment/backstage/backstage", "true"
    )  # fmt: skip
    called = await owner.fetch("SELECT summary, reasons FROM remediator.ledger WHERE kind = 'incident.escalated'")
    assert [tuple(row) for row in called] == [("people are called: because of protected", ["protected"])]


async def test_a_question_is_told_beside_a_call_for_the_same_incident(pool: LedgerPool, owner: Owner) -> None:
    """Two rules for one target in one batch, one asks and one calls people: nobody would answer an unheard question."""

    def both(item: Assessed) -> Decision:
        asks = item.candidate.rule == "service-unavailable"
        return Ask(plan=act(item).plan, because="it is in mode ask") if asks else hold(HoldReason.PROTECTED)

    store = LedgerAdmissionStore(pool)
    asking = Whim(both, people=lambda item: "may I?" if item.candidate.rule == "service-unavailable" else "")
    for backwards in (False, True):
        await clear(owner)
        await put_candidates(owner, 1)
        await put_candidates(owner, 1, rule="other")
        taken = sorted(await store.take(10, 60.0), key=lambda one: one.rule, reverse=backwards)
        await store.admit([assessed(one, "backstage") for one in taken], asking)
        said = await owner.fetch("SELECT payload ->> 'message' AS said FROM remediator.outbox ORDER BY 1")
        assert [row["said"] for row in said] == ["because of protected", "may I?"]
        called = await column(owner, "ledger", "summary || kind", order="seq")
        assert [one for one in called if "escalated" in one] == [
            "people are called: because of protectedincident.escalated"
        ]


async def test_modes_become_states(pool: LedgerPool, owner: Owner) -> None:
    """Act and observe are carried out, a question waits; only what may change the target holds it and counts."""
    decisions: dict[str, Decision] = {}

    def one_each(item: Assessed) -> Decision:
        plan = act(item).plan
        found = (Act(plan=plan), Observe(plan=plan, because="m"), Ask(plan=plan, because="m"))[len(decisions)]
        decisions[item.candidate.fingerprint] = found
        return found

    await put_candidates(owner, 3)
    report = await decide(pool, one_each)
    assert (report.acts, report.observed, report.asked, report.held) == (1, 1, 1, 0)
    rows = await owner.fetch("SELECT mode, state, good_until - admitted_at AS life FROM remediator.actions")
    assert sorted((row["mode"], row["state"]) for row in rows) == [
        ("ask", "awaiting_approval"),
        ("enforce", "admitted"),
        ("observe", "admitted"),
    ]
    assert all(abs(row["life"] - timedelta(seconds=a_rule().shelf_life_s)) < timedelta(seconds=1) for row in rows)
    await put_candidates(owner, 1, source="later")
    store, whim = LedgerAdmissionStore(pool), Whim(lambda _: hold(HoldReason.COOLDOWN, retry_in_s=1))
    await store.admit([assessed(one) for one in await store.take(9, 60.0)], whim)
    (batch,) = whim.seen
    assert (batch.open_in_cluster, batch.open_by_namespace) == (1, {"backstage": 1})
    assert batch.last_in_cluster == await owner.fetchval(
        "SELECT admitted_at FROM remediator.actions WHERE mode = 'enforce'"
    )


async def test_the_batch_is_what_the_guards_need(pool: LedgerPool, owner: Owner) -> None:
    """The past of this target, whether the alert (or another of its incident) fires, the time of the database."""
    await put_candidates(owner, 3)
    await decide(pool, act)
    await owner.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
    await owner.execute("UPDATE remediator.actions SET admitted_at = now() - interval '745 h' WHERE number = 2")
    await owner.execute("UPDATE remediator.actions SET changes = false WHERE number = 3")
    await owner.execute("UPDATE remediator.alerts SET status = 'resolved' WHERE fingerprint <> $1", f"{1:016x}")
    await owner.execute(
        """INSERT INTO remediator.incident_alerts (incident, source, fingerprint)
           SELECT max(id), 'am', $1 FROM remediator.incidents""",
        f"{1:016x}",
    )
    await owner.execute(
        """INSERT INTO remediator.candidates (cause, rule, rung, source, fingerprint, labels, severity, incident)
           SELECT 'next_rung', rule, 1, source, fingerprint, labels, severity, incident
           FROM remediator.candidates ORDER BY id"""
    )
    store, whim = LedgerAdmissionStore(pool), Whim(lambda _: hold(HoldReason.COOLDOWN, retry_in_s=1))
    items = await store.take(9, 60.0)
    assert {(one.cause, one.rung) for one in items} == {(Cause.NEXT_RUNG, 1)}
    await store.admit([assessed(one) for one in items], whim)
    (batch,) = whim.seen
    firing = {item.candidate.fingerprint: batch.firing[item.candidate.id] for item in batch.items}
    assert firing == {f"{1:016x}": True, f"{2:016x}": False, f"{3:016x}": True}
    assert list(batch.past) == ["deployment/backstage/app-1"]
    (past,) = batch.past["deployment/backstage/app-1"]
    assert (past.number, past.state, past.action, past.incident) == (1, ActionState.UNCHANGED, "restart", 1)
    assert set(batch.incidents) == {f"deployment/backstage/app-{n}" for n in (1, 2, 3)}
    assert abs(batch.now - await owner.fetchval("SELECT now()")) < timedelta(seconds=5)
    assert {item.incident.target_key for item in batch.items if item.incident} == set(batch.incidents)


async def test_a_batch_of_nothing_left_is_no_decision(pool: LedgerPool, owner: Owner) -> None:
    """Decided meanwhile: the core is not asked, nothing is written."""
    await put_candidates(owner, 1)
    store, whim = LedgerAdmissionStore(pool), Whim(act)
    items = [assessed(one) for one in await store.take(1, 60.0)]
    await owner.execute("UPDATE remediator.candidates SET state = 'decided'")
    assert await store.admit(items, whim) == AdmissionReport()
    assert whim.seen == []
    assert await owner.fetchval("SELECT count(*) FROM remediator.ledger") == 0


@pytest.mark.parametrize("change", ["rule = 'other'", "fingerprint = 'ff'", "tries = 1", "state = 'decided'"])
async def test_a_row_that_is_not_what_was_assessed_is_left_alone(pool: LedgerPool, owner: Owner, change: str) -> None:
    """A ladder has moved it meanwhile, or its number was given again after the server lost its newest rows."""
    await put_candidates(owner, 2)
    store, whim = LedgerAdmissionStore(pool), Whim(act)
    items = [assessed(one) for one in await store.take(2, 60.0)]
    await owner.execute(f"UPDATE remediator.candidates SET {change} WHERE id = 1")  # noqa: S608 - the test's own words
    assert (await store.admit(items, whim)).acts == 1
    (batch,) = whim.seen
    assert [item.candidate.id for item in batch.items] == [2]


@pytest.mark.parametrize(("count", "woken"), [(CROWD - 1, []), (CROWD, ["execute"])])
async def test_a_crowd_of_actions_is_shared(pool: LedgerPool, owner: Owner, count: int, woken: list[str]) -> None:
    """Other replicas are woken for many actions; a few are taken at once by the one that admitted them."""
    rung: list[object] = []
    await owner.add_listener("remediator", lambda *said: rung.append(said[-1]))
    await put_candidates(owner, count)
    assert (await decide(pool, act)).acts == count
    await owner.fetchval("SELECT 1")
    assert rung == woken


@pytest.mark.parametrize("sequence", ["incidents_id_seq", "actions_number_seq"])
async def test_a_number_that_somebody_else_draws_is_none_of_ours(pool: LedgerPool, owner: Owner, sequence: str) -> None:
    """What was foreseen is compared with what was drawn: nothing is written under another's number."""
    await put_candidates(owner, 3)
    store = LedgerAdmissionStore(pool)
    items = [assessed(one) for one in await store.take(3, 60.0)]
    await owner.execute(f"ALTER SEQUENCE remediator.{sequence} INCREMENT 2")
    with pytest.raises(LedgerError, match="drawn by somebody else") as raised:
        await store.admit(items, Whim(act))
    assert raised.value.retryable
    for table in ("actions", "incidents", "incident_alerts", "ledger"):
        assert await owner.fetchval(f"SELECT count(*) FROM remediator.{table}") == 0, table  # noqa: S608 - a constant
    await owner.execute(f"ALTER SEQUENCE remediator.{sequence} INCREMENT 1")
    assert (await store.admit(items, Whim(act))).acts == 3
    rows = await owner.fetch(
        """SELECT action.number, action.incident, entry.action AS said, entry.incident AS of
           FROM remediator.actions AS action JOIN remediator.incidents ON incidents.id = action.incident
           JOIN remediator.ledger AS entry ON entry.action = action.number AND entry.target_key = action.target_key"""
    )
    assert len(rows) == 3
    assert all((row["number"], row["incident"]) == (row["said"], row["of"]) for row in rows)


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "pooler"])
@pytest.mark.parametrize(
    ("decision", "waits"),
    [
        (act, "off"),
        (lambda _: hold(HoldReason.COOLDOWN, retry_in_s=60), "off"),
        (lambda item: Ask(plan=act(item).plan, because="it is in mode ask"), "on"),
        (lambda _: hold(HoldReason.PROTECTED), "on"),
    ],
    ids=["act", "hold", "ask", "call"],
)
async def test_a_commit_waits_for_the_disk_where_people_are_told(
    database: str, pools: LedgerPools, owner: Owner, direct: bool, decision: Callable[[Assessed], Decision], waits: str
) -> None:
    """What nobody has heard of, and nothing has come of, may be decided again after a crash of the server."""
    await owner.execute(
        """CREATE TABLE remediator.witness (waits text);
           GRANT INSERT ON remediator.witness TO remediator_app;
           CREATE FUNCTION remediator.look() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
               INSERT INTO remediator.witness VALUES (current_setting('synchronous_commit'));
               RETURN NULL;
           END $$;
           CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON remediator.ledger DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION remediator.look()"""
    )
    await put_candidates(owner, 1)
    people = Whim(decision, people=lambda _: "somebody" if waits == "on" else "")
    async with one_pool(database, replace(pools.server, direct=direct), Purpose.STAGES) as pool:
        store = LedgerAdmissionStore(pool)
        await store.admit([assessed(one) for one in await store.take(1, 60.0)], people)
        assert set(await column(owner, "witness", "waits")) == {waits}
        async with transaction(pool) as connection:
            assert await connection.fetchval("SHOW synchronous_commit") == "on", "the next one is as ever"


@pytest.mark.parametrize(("state", "days", "told"), [("unchanged", 29, True), ("awaiting_approval", 2, False)])
async def test_the_past_goes_as_far_back_as_a_cooldown(
    pool: LedgerPool, owner: Owner, state: str, days: int, told: bool
) -> None:
    """A rule may ask for thirty days; a question that nobody has answered for a day stops no others."""
    await put_candidates(owner, 1)
    await decide(pool, act)
    await owner.execute(
        """UPDATE remediator.actions SET state = $1, admitted_at = now() - make_interval(days => $2),
           mode = CASE WHEN $1 = 'unchanged' THEN 'enforce' ELSE 'ask' END""",
        state,
        days,
    )
    await put_candidates(owner, 1, source="later")
    store, whim = LedgerAdmissionStore(pool), Whim(lambda _: hold(HoldReason.COOLDOWN, retry_in_s=1))
    await store.admit([assessed(one) for one in await store.take(9, 60.0)], whim)
    (batch,) = whim.seen
    assert bool(batch.past) is told


async def test_times_are_those_of_the_database_whatever_its_zone(pool: LedgerPool, owner: Owner) -> None:
    """What is read as JSON is the same moment as what is read as a time."""
    await put_candidates(owner, 1)
    await decide(pool, act)
    await owner.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = clock_timestamp()")
    await put_candidates(owner, 1, source="later")
    store, whim = LedgerAdmissionStore(pool), Whim(lambda _: hold(HoldReason.COOLDOWN, retry_in_s=1))
    await store.admit([assessed(one) for one in await store.take(9, 60.0)], whim)
    (batch,) = whim.seen
    ((past,),) = batch.past.values()
    (incident,) = batch.incidents.values()
    row = await owner.fetchrow("SELECT admitted_at, ended_at, opened_at FROM remediator.actions, remediator.incidents")
    assert row is not None
    assert (past.admitted_at, past.ended_at, incident.opened_at) == tuple(row)
    assert past.admitted_at.utcoffset() == timedelta(0)


async def test_what_is_written_for_an_act(pool: LedgerPool, owner: Owner) -> None:
    """The plan as data, the facts beside the candidate, and an id that is the same for the same decision alone."""
    await put_candidates(owner, 2)
    await decide(pool, act)
    (row, other) = await owner.fetch(
        """SELECT id, action, target_key, namespace, changes, plan -> 'steps' -> 0 ->> 'type' AS step,
                  target ->> 'uid' AS uid
           FROM remediator.actions ORDER BY number"""
    )
    assert tuple(row)[1:] == (
        "restart", "deployment/backstage/app-1", "backstage", True, "patch_object", "uid-app-1"
    )  # fmt: skip
    assert (len(row["id"]), row["id"] == other["id"]) == (40, False)
    assert await column(owner, "candidates", "facts -> 'workload' ->> 'ready'") == ["3", "3"]
