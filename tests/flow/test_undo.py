"""Undo through the stages: the former values come back by the same way as everything else, or it is told why not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.core.guardrails.opted_out import ANNOTATION
from remediator.flow.bells import Stage
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.policy import Policy
from remediator.model.rule import Mode, Recovery, Rule, Rung, Severity
from remediator.model.signal import Status
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.resources import DEPLOYMENTS
from tests.flow.rig import ROOMY, Rig, a_rule, alert, deployment, rig
from tests.flow.test_doubt import QUICK, Fault
from tests.flow.test_flow import step
from tests.flow.test_pause import pause

SCALE = a_rule(ladder=(Rung(action="scale", parameters={"step": 3, "max": 20}),))
LONG = structs.replace(SCALE, severity=Severity.P3, recover=Recovery(for_s=600, within_s=600))


def whole(replicas: int = 3) -> dict[str, Any]:
    """Return a Deployment as an API server has it, defaults included."""
    made = deployment(replicas=replicas)
    fill_in(DEPLOYMENTS, made)
    return made


@asynccontextmanager
async def scaled(
    database: str, rule: Rule = SCALE, *, resolved: bool = True, policy: Policy = ROOMY
) -> AsyncIterator[tuple[Rig, LedgerUndos]]:
    """A Deployment that was scaled from 3 to 6 pods, and where undo is asked for; ``resolved``: the alert is over."""
    async with rig(database, rule, policy=policy, bounds=QUICK) as r, open_pools(database) as pools:
        r.put(whole())
        await r.deliver(alert())
        await r.settle()
        assert r.live()["spec"]["replicas"] == 6
        r.rolled_out()
        if resolved:
            await r.deliver(alert(status=Status.RESOLVED))
            for _ in range(3):
                await r.hasten()
            assert await r.states() == ["recovered"]
        yield r, LedgerUndos(pools.stages)


async def ask(r: Rig, undos: LedgerUndos, number: int = 1) -> bool:
    """Ask for the undo of an action, and let the daemon work on it."""
    former = await undos.former(number)
    assert former is not None
    asked = await undos.ask(former, actor="mira", reason="the peak is over")
    await r.settle()
    return asked


async def finish(r: Rig) -> None:
    """Let the rollout of what was returned be complete, and look at it."""
    r.rolled_out()
    await r.hasten()


def change(r: Rig, **spec: Any) -> None:
    """Change the Deployment's spec, as somebody else would."""
    r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", lambda one: {**one, "spec": {**one["spec"], **spec}})


async def last(r: Rig, kind: EntryKind) -> Any:
    """Return the last entry of a kind."""
    return [entry for entry in await r.entries() if entry.kind is kind][-1]


async def test_what_was_added_is_taken_back(database: str) -> None:
    """One write, with a mark and a higher fence of its own; verified; and both actions say so."""
    async with scaled(database) as (r, undos):
        first = dict(r.live()["metadata"]["annotations"])
        assert await ask(r, undos)
        assert r.live()["spec"]["replicas"] == 3
        marks = r.live()["metadata"]["annotations"]
        assert marks[ACTION] != first[ACTION]
        assert int(marks[FENCE]) > int(first[FENCE])
        await finish(r)
        assert await r.states() == ["recovered", "recovered"]
        assert len(r.writes()) == 2
        asked, decided = await last(r, EntryKind.UNDO_ASKED), await last(r, EntryKind.DECISION_ACT)
        assert (asked.actor, asked.action, asked.summary) == ("mira", 1, "mira asks to undo it: the peak is over")
        assert decided.summary == (
            "will undo A1 on deployment/backstage in backstage, asked for by mira: spec.replicas 6 -> 3"
        )
        undone = await last(r, EntryKind.ACTION_UNDONE)
        assert (undone.action, undone.data) == (1, {"undone_by": 2})
        assert (await last(r, EntryKind.ACTION_VERIFIED)).summary == "recovered: as before, 3 of 3 pods ready"
        assert {entry.incident for entry in await r.entries() if entry.action is not None} == {1}
        assert [row["state"] for row in await r.rows("SELECT state FROM remediator.incidents")] == ["resolved"]


async def test_an_alert_that_fires_is_none_of_its_business(database: str) -> None:
    """Asked for while the incident is open: returned all the same, and the ladder does not go on because of it."""
    async with scaled(database, LONG, resolved=False) as (r, undos):
        await r.sql.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
        assert await ask(r, undos)
        assert r.live()["spec"]["replicas"] == 3
        await finish(r)
        assert await r.states() == ["unchanged", "recovered"]
        assert await r.rows("SELECT FROM remediator.candidates WHERE state <> 'decided'") == []
        assert r.people.heard == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"replicas": 9}, "spec.replicas: 6 -> 9"),
        ({"replicas": 3}, "spec.replicas: 6 -> 3"),
        ({"paused": True}, "spec.paused: nothing -> true"),
        ({"minReadySeconds": 5}, "spec.minReadySeconds: nothing -> 5"),
    ],
)
async def test_what_somebody_has_changed_since_is_theirs(database: str, spec: dict[str, Any], said: str) -> None:
    """Nothing is written; it is said what is not as we left it."""
    async with scaled(database) as (r, undos):
        change(r, **spec)
        assert await ask(r, undos)
        entry = await last(r, EntryKind.DECISION_HOLD)
        assert entry.reasons == ("changed_since",)
        assert entry.summary.endswith(f"was changed since, ours -> theirs: {said}")
        assert len(r.writes()) == 1
        assert r.people.heard == [], "who asked is told by the command"


async def test_another_image_is_somebody_elses_change_too(database: str) -> None:
    """A deployment since then: the container is named, and its former image."""
    async with scaled(database) as (r, undos):
        pods = r.live()["spec"]["template"]
        container = {**pods["spec"]["containers"][0], "image": "example.com/app:2"}
        change(r, template={**pods, "spec": {**pods["spec"], "containers": [container]}})
        await ask(r, undos)
        summary = (await last(r, EntryKind.DECISION_HOLD)).summary
        assert "spec.template.spec.containers.app.image: example.com/app:1 -> example.com/app:2" in summary


async def test_a_later_action_of_ours_has_changed_it_too(database: str) -> None:
    """Only the latest action on an object can be undone."""
    async with scaled(database) as (r, undos):
        marked = {**r.live()["metadata"]["annotations"], ACTION: "f" * 40}
        r.sandbox.store.mutate(
            DEPLOYMENTS,
            "backstage",
            "backstage",
            lambda one: {**one, "metadata": {**one["metadata"], "annotations": marked}},
        )
        await ask(r, undos)
        assert "metadata.annotations[remediator.io/action]: " in (await last(r, EntryKind.DECISION_HOLD)).summary


async def test_status_labels_and_other_annotations_are_nobodys_change(database: str) -> None:
    """They say nothing about what is returned."""
    async with scaled(database) as (r, undos):
        r.sandbox.store.mutate(
            DEPLOYMENTS,
            "backstage",
            "backstage",
            lambda one: {
                **one,
                "metadata": {
                    **one["metadata"],
                    "labels": {"more": "labels"},
                    "annotations": {**one["metadata"]["annotations"], "team": "platform"},
                },
            },
        )
        await ask(r, undos)
        assert r.live()["spec"]["replicas"] == 3
        assert r.live()["metadata"]["annotations"]["team"] == "platform"


async def test_a_change_between_decision_and_write_is_seen(database: str) -> None:
    """The last look is at the object itself."""
    async with scaled(database) as (r, undos):

        async def meddle(call: Any, proceed: Any) -> Any:
            if call.method == "GET" and "/deployments/" in call.path and "claimed" in await r.states():
                change(r, replicas=8)
            return await proceed()

        r.sandbox.middlewares.append(meddle)
        await ask(r, undos)
        assert await r.states() == ["recovered", "refused"]
        entry = await last(r, EntryKind.ACTION_REFUSED)
        assert (entry.reasons, "spec.replicas: 6 -> 8" in entry.summary) == (("changed_since",), True)
        assert len(r.writes()) == 1
        assert r.people.heard == []


async def test_it_is_done_once(database: str) -> None:
    """A second wish waits for the first; when that is done there is nothing more to undo."""
    async with scaled(database) as (r, undos):
        former = await undos.former(1)
        assert former is not None
        assert await undos.ask(former, actor="mira", reason="")
        assert not await undos.ask(former, actor="jon", reason="")
        await r.settle()
        await ask(r, undos)
        entry = await last(r, EntryKind.DECISION_HOLD)
        assert (entry.reasons, "A1 cannot be undone: A2 undoes it already" in entry.summary) == (("cannot_plan",), True)
        await finish(r)
        again = await undos.former(1)
        assert again is not None
        assert again.undone_by == 2
        assert len(r.writes()) == 2


async def test_an_undo_that_was_refused_may_be_asked_for_again(database: str) -> None:
    """It has not undone anything."""
    async with scaled(database) as (r, undos):
        r.sandbox.middlewares.append(Fault("403"))
        await ask(r, undos)
        assert await r.states() == ["recovered", "refused"]
        assert await ask(r, undos)
        assert r.live()["spec"]["replicas"] == 3


async def test_a_restart_leaves_nothing_to_return(database: str) -> None:
    """It cannot be taken back, and nothing is tried."""
    async with rig(database, bounds=QUICK) as r, open_pools(database) as pools:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        await ask(r, LedgerUndos(pools.stages))
        summary = (await last(r, EntryKind.DECISION_HOLD)).summary
        assert "A1 cannot be undone: a restart leaves nothing behind that could be brought back" in summary
        assert len(r.writes()) == 1


async def test_guards_that_protect_people_hold_for_it_too(database: str) -> None:
    """An owner who has opted out since, and a rule that is gone."""
    async with scaled(database) as (r, undos):
        r.sandbox.store.mutate(
            DEPLOYMENTS,
            "backstage",
            "backstage",
            lambda one: {
                **one,
                "metadata": {**one["metadata"], "annotations": {**one["metadata"]["annotations"], ANNOTATION: "true"}},
            },
        )
        await ask(r, undos)
        assert (await last(r, EntryKind.DECISION_HOLD)).reasons == ("opted_out",)
        r.rules.rules = ()
        await ask(r, undos)
        assert (await last(r, EntryKind.DECISION_HOLD)).reasons == ("rule_gone",)
        assert len(r.writes()) == 1


async def test_guards_on_the_machines_own_zeal_do_not(database: str) -> None:
    """Neither the cooldown nor the rule's limits, which its own action has used up, keep a person from undoing it."""
    tight = structs.replace(
        SCALE.limits,
        cooldown_s=3600,
        per_rule=structs.replace(SCALE.limits.per_rule, count=1),
        per_target=structs.replace(SCALE.limits.per_target, count=1),
        per_namespace=structs.replace(SCALE.limits.per_namespace, count=1),
    )
    async with scaled(database, structs.replace(SCALE, limits=tight)) as (r, undos):
        await ask(r, undos)
        assert r.live()["spec"]["replicas"] == 3


async def test_it_waits_while_the_target_is_busy_but_not_for_ever(database: str) -> None:
    """Spacing keeps it back, and after ten minutes nobody expects it any more."""
    async with scaled(database, policy=structs.replace(ROOMY, spacing_s=3600)) as (r, undos):
        await ask(r, undos)
        entry = await last(r, EntryKind.DECISION_HOLD)
        assert (entry.reasons, bool(entry.data["retry_at"])) == (("spacing",), True)
        await r.sql.execute("UPDATE remediator.candidates SET first_seen_at = now() - interval '11 minutes'")
        await r.hasten()
        entry = await last(r, EntryKind.DECISION_HOLD)
        assert (entry.reasons, entry.data["retry_at"]) == (("stale_facts",), None)
        assert "ask again if it is wanted" in entry.summary
        assert len(r.writes()) == 1


async def test_a_rule_that_asks_needs_no_second_yes(database: str) -> None:
    """Who asks for an undo has said yes to it; and where only observing is allowed, nothing is written."""
    async with scaled(database) as (r, undos):
        r.rules.rules = (structs.replace(SCALE, mode=Mode.OBSERVE),)
        await ask(r, undos)
        assert (await r.states())[-1] == "observed"
        assert len(r.writes()) == 1
        r.rules.rules = (structs.replace(SCALE, mode=Mode.ASK),)
        await ask(r, undos)
        assert len(r.writes()) == 2
        assert r.live()["spec"]["replicas"] == 3


async def test_an_object_that_was_made_anew_is_another_one(database: str) -> None:
    """The name is the same, the uid is not."""
    async with scaled(database) as (r, undos):
        r.sandbox.store.remove(DEPLOYMENTS, "backstage", "backstage")
        r.put(whole(6))
        await ask(r, undos)
        assert (await last(r, EntryKind.DECISION_HOLD)).reasons == ("target_not_found",)
        assert len(r.writes()) == 1


async def test_a_lost_answer_is_read_back(database: str) -> None:
    """An undo is one write like any other: at most once."""
    async with scaled(database) as (r, undos):
        r.sandbox.middlewares.append(Fault("swallow"))
        await ask(r, undos)
        assert await r.states() == ["recovered", "verifying"]
        assert r.live()["spec"]["replicas"] == 3
        assert len(r.writes()) == 2


async def test_a_return_that_gets_stuck_is_told_to_people(database: str) -> None:
    """The rollout of what was returned never ends."""
    async with scaled(database) as (r, undos):
        await ask(r, undos)
        await r.sql.execute("UPDATE remediator.actions SET applied_at = now() - interval '1 hour' WHERE number = 2")
        r.rolled_out(availableReplicas=1, updatedReplicas=1)
        await r.hasten()
        assert (await r.states())[-1] in {"unchanged", "worse"}
        assert "undo A1" in r.people.heard[-1]["message"]
        assert EntryKind.ACTION_UNDONE not in [entry.kind for entry in await r.entries()]


async def test_an_incident_that_ends_does_not_lose_the_wish(database: str) -> None:
    """What still waited for an incident is dropped when it is over; a person's wish is not."""
    async with scaled(database, LONG, resolved=False) as (r, undos):
        await r.sql.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
        former = await undos.former(1)
        assert former is not None
        await undos.ask(former, actor="mira", reason="")
        await r.sql.execute(
            "UPDATE remediator.candidates SET not_before = now() + interval '1 hour' WHERE cause = 'undo'"
        )
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        closing = NewEntry(kind=EntryKind.INCIDENT_RESOLVED, summary="resolved", incident=1)
        assert await r.parts.stores.incidents.resolve(1, closing)
        assert [row["state"] for row in await r.rows("SELECT state FROM remediator.incidents")] == ["resolved"]
        await r.sql.execute("UPDATE remediator.candidates SET not_before = now() WHERE cause = 'undo'")
        await r.settle()
        assert r.live()["spec"]["replicas"] == 3


async def test_a_refused_wish_drives_nothing_on_and_calls_nobody(database: str) -> None:
    """The incident is open and its alert fires: a refusal, by the cluster or by us, is none of the ladder's affairs."""
    async with scaled(database, LONG, resolved=False) as (r, undos):
        await r.sql.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
        r.sandbox.middlewares.append(Fault("403"))
        await ask(r, undos)
        assert await r.states() == ["unchanged", "refused"]
        change(r, replicas=9)
        await ask(r, undos)
        assert (await last(r, EntryKind.DECISION_HOLD)).reasons == ("changed_since",)
        assert await r.rows("SELECT FROM remediator.candidates WHERE state <> 'decided'") == []
        assert r.people.heard == []


@pytest.mark.parametrize("hindrance", ["pause", "shelf life"])
async def test_a_wish_does_not_outlast_a_pause_or_its_shelf_life(database: str, hindrance: str) -> None:
    """Undone is whatever fires, and for that reason only: between claim and write the same things stop it as others."""
    async with scaled(database) as (r, undos):
        former = await undos.former(1)
        assert former is not None
        await undos.ask(former, actor="mira", reason="the peak is over")
        for stage in (Stage.ASSESS, Stage.ADMIT):
            await step(r, stage)
        (claim,) = await r.parts.stores.actions.claim(1, "test", 60.0)
        assert claim.action.plan.undoes is not None
        if hindrance == "pause":
            await pause(database)
        else:
            await r.sql.execute("UPDATE remediator.actions SET good_until = now() - interval '1 second'")
        live = await r.parts.cluster.reader.live(claim.action.target)
        entry = NewEntry(kind=EntryKind.ACTION_DISPATCHED, summary="sending", action=claim.action.number)
        actions = r.parts.stores.actions
        assert not await actions.dispatched(claim.action.number, claim.action.fence, live.image, entry)
