"""Nobody may be left alone: alerts that flap, ladders that meet, rules that change while something is under way."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiohttp import web
from msgspec import structs

from remediator.adapters.ledger.queries import QUERIES
from remediator.flow.lane import Lane
from remediator.model.rule import Matcher, MatchOp, Mode, RateLimit, Rung
from remediator.model.signal import Signal, Status
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_flow import step

PATIENT = structs.replace(a_rule().limits, cooldown_s=3600)
SLOW = structs.replace(a_rule().recover, for_s=3600)


def again(first: Signal, seconds: float = 30.0) -> Signal:
    """Return the next episode of an alert."""
    return structs.replace(first, starts_at=first.starts_at + timedelta(seconds=seconds + 3000))


async def resolve(r: Rig, *stages: str) -> None:
    """Let the alert end."""
    await r.deliver(alert(status=Status.RESOLVED))
    await step(r, "match", *stages)


async def once(lane: Lane) -> int:
    """Take one step of a lane, as a task of its own."""
    return await lane.step()


class Gate:
    """Stands before the API and keeps the first read waiting until it is opened; those behind it pass."""

    def __init__(self) -> None:
        """Closed."""
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Handle one request."""
        if not self.reached.is_set():
            self.reached.set()
            await self.open.wait()
        return await proceed()


async def test_an_alert_that_flaps_before_its_action_begins_is_still_driven(database: str) -> None:
    """The action expires because the alert is silent; it fires again in the same incident, and must be acted on."""
    async with rig(database) as r:
        r.put(deployment(readyReplicas=0, availableReplicas=0))
        first = alert()
        await r.deliver(first)
        await step(r, "match", "assess", "admit")
        await resolve(r, "execute")
        assert await r.states() == ["expired"]
        await r.deliver(again(first))
        await r.settle()
        assert await r.states() == ["expired", "verifying"]
        assert len(r.writes()) == 1


async def test_an_alert_that_flaps_while_it_is_held_is_still_driven(database: str) -> None:
    """Held for a reason that passes, silent when it is asked again, then firing: not "already being worked on"."""
    async with rig(database, a_rule(min_healthy_percent=51)) as r:
        r.put(deployment(readyReplicas=0, availableReplicas=0))
        first = alert()
        await r.deliver(first)
        await r.settle()
        await resolve(r)
        await r.hasten()
        r.rolled_out(readyReplicas=2, availableReplicas=2)
        await r.deliver(again(first))
        await r.settle()
        assert await r.states() == ["verifying"]


async def test_an_alert_that_fires_again_while_its_recovery_is_judged_is_still_driven(database: str) -> None:
    """It joined the incident as "being worked on", and then the work ended as recovered: somebody must go on."""
    async with rig(database) as r:
        r.put(deployment())
        first = alert()
        await r.deliver(first)
        await r.settle()
        r.rolled_out()
        await resolve(r)
        await r.sql.execute("UPDATE remediator.actions SET check_at = now() WHERE state = 'verifying'")
        gate = Gate()
        r.sandbox.middlewares.append(gate)
        lane = next(one for one in r.line.lanes if one.stage == "verify")
        async with asyncio.TaskGroup() as group:
            group.create_task(once(lane))
            await gate.reached.wait()
            await r.deliver(again(first))
            await step(r, "match", "assess", "admit")
            gate.open.set()
        assert await r.states() == ["recovered"]
        await r.settle()
        await r.hasten()
        (incident,) = await r.rows("SELECT id, state FROM remediator.incidents")
        waiting = await r.rows("SELECT id FROM remediator.candidates WHERE state <> 'decided'")
        acting = [state for state in await r.states() if state == "verifying"]
        assert incident["state"] == "open"
        assert waiting or acting, "the alert fires, the incident is open, and nobody drives it"


async def test_the_next_rung_is_not_lost_to_facts_that_were_read_for_the_first(database: str) -> None:
    """The alert flaps, its candidate's facts are being read, and meanwhile the ladder gives the candidate a rung."""
    ladder = (Rung(action="restart", parameters={}), Rung(action="scale", parameters={"to": 5}))
    rule = a_rule(ladder=ladder, recover=structs.replace(a_rule().recover, within_s=0, for_s=600))
    async with rig(database, rule) as r:
        r.put(deployment())
        first = alert()
        await r.deliver(first)
        await r.settle()
        r.rolled_out()
        await resolve(r)
        await r.deliver(again(first))
        await step(r, "match", "assess")
        await r.sql.execute("UPDATE remediator.actions SET check_at = now()")
        await step(r, "verify")
        assert await r.states() == ["unchanged"]
        await r.settle()
        r.rolled_out()
        await r.settle()
        assert r.live()["spec"]["replicas"] == 5, "the second rung was never tried"


async def test_fifty_alerts_of_a_second_rule_climb_one_ladder(database: str) -> None:
    """The incident belongs to another rule; that does not give each alert of the second rule an action of its own."""
    both = (Matcher(label="alertname", op=MatchOp.EQUAL, value="BackstageDown"),)
    other = (Matcher(label="alertname", op=MatchOp.EQUAL, value="Slow"),)
    first = a_rule(match=both, ladder=(Rung(action="investigate", parameters={}), Rung(action="notify", parameters={})))
    second = a_rule(name="second", match=other, ladder=(Rung(action="scale", parameters={"step": 1, "max": 20}),))
    async with rig(database, first, second) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        labels = {**alert().labels, "alertname": "Slow"}
        await r.deliver(*[alert(f"{n:03d}", labels={**labels, "pod": f"p{n}"}) for n in range(20)])
        await r.settle()
        for _ in range(4):
            r.rolled_out()
            await r.hasten()
        assert len(r.writes()) == 1
        waiting = await r.rows("SELECT id FROM remediator.candidates WHERE state <> 'decided' AND rule = 'second'")
        assert len(waiting) <= 1


async def test_a_reload_between_counting_and_deciding_is_no_bug(database: str) -> None:
    """The windows are counted for the rules of one set, and the decision is made by the same set."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess")
        tight = structs.replace(a_rule().limits, per_rule=RateLimit(count=1, window_s=77))
        lane = next(one for one in r.line.lanes if one.stage == "admit")
        # While the stage waits for a lock it has begun to read, and the operator saves a file.
        await r.sql.execute("BEGIN")
        await r.sql.execute("LOCK TABLE remediator.actions IN ACCESS EXCLUSIVE MODE")
        async with asyncio.TaskGroup() as group:
            admitting = group.create_task(once(lane))
            await waits_for(r, "actions")
            r.rules.rules = (a_rule(limits=tight),)
            await r.sql.execute("COMMIT")
        assert admitting.result() == 1
        assert await r.states() == ["admitted"]


async def waits_for(r: Rig, table: str) -> None:
    """Wait until somebody waits for a table."""
    async with asyncio.timeout(5):
        while not await r.rows(
            "SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass", f"remediator.{table}"
        ):
            await asyncio.sleep(0.01)


async def test_a_question_and_a_refusal_about_one_target_are_both_told(database: str) -> None:
    """Two rules, one target, one batch: the question must reach the person, whatever else is to be said."""
    both = (Matcher(label="alertname", op=MatchOp.EQUAL, value="BackstageDown"),)
    asks = a_rule(mode=Mode.ASK, priority=1)
    cannot = a_rule(name="second", match=both, ladder=(Rung(action="scale", parameters={"to": 3}),))
    async with rig(database, asks, cannot) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        told = [message["message"] for message in r.people.heard]
        assert any("approval" in message for message in told), told
        assert any("already wants 3 pods" in message for message in told), told


async def test_a_target_that_waits_for_an_answer_is_not_asked_about_twice(database: str) -> None:
    """A second rule that wants the target while a person thinks about the first one's question is held."""
    other = (Matcher(label="alertname", op=MatchOp.EQUAL, value="Slow"),)
    second = a_rule(name="second", match=other, mode=Mode.ASK)
    async with rig(database, a_rule(mode=Mode.ASK), second) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        await r.deliver(alert("slow", labels={**alert().labels, "alertname": "Slow"}))
        await r.settle()
        assert await r.states() == ["awaiting_approval"]


async def test_a_yes_is_for_what_was_asked(database: str) -> None:
    """The rule's ladder changes while a person thinks: the yes to a restart is no yes to a scale-up."""
    async with rig(database, a_rule(mode=Mode.ASK)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        r.rules.rules = (a_rule(mode=Mode.ASK, ladder=(Rung(action="scale", parameters={"to": 6}),)),)
        assert await r.ledger.answer(1, approved=True, actor="ada", reason="a restart is fine")
        await r.settle()
        assert r.writes() == []


async def test_a_yes_is_not_handed_on_to_the_next_rung(database: str) -> None:
    """The approved candidate waits when a ladder gives it another rung: that rung was not approved."""
    async with rig(database, a_rule(mode=Mode.ASK)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.ledger.answer(1, approved=True, actor="ada", reason="")
        (asked,) = await r.rows("SELECT candidate, incident FROM remediator.actions")
        await r.sql.execute(QUERIES["put_next_rung"], asked["candidate"], 1, asked["incident"])
        (row,) = await r.rows("SELECT rung, approved_by FROM remediator.candidates WHERE state <> 'decided'")
        assert (row["rung"], row["approved_by"]) == (1, "")


async def test_a_quiet_that_was_broken_between_two_looks_begins_anew(database: str) -> None:
    """The alert fired and ended between two looks: the incident has not been quiet all that time."""
    async with rig(database, a_rule(recover=SLOW)) as r:
        r.put(deployment())
        first = alert()
        await r.deliver(first)
        await r.settle()
        r.rolled_out()
        await resolve(r)
        await r.hasten()
        quiet = (
            "UPDATE remediator.actions SET quiet_since = now() - interval '2 h', applied_at = now() - interval '3 h'"
        )
        await r.sql.execute(quiet)
        late = again(first)
        await r.deliver(late)
        await step(r, "match")
        await r.deliver(structs.replace(late, status=Status.RESOLVED, ends_at=late.starts_at + timedelta(seconds=1)))
        await step(r, "match")
        await r.sql.execute("UPDATE remediator.actions SET check_at = now()")
        await step(r, "verify")
        assert await r.states() == ["verifying"]
