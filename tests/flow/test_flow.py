"""The stages together, over the real database and the sandbox's API server."""

from __future__ import annotations

from msgspec import structs

from remediator.model.errors import NotifyError
from remediator.model.rule import Matcher, MatchOp, Mode, Rung
from remediator.model.signal import Status
from tests.flow.rig import Rig, a_rule, alert, deployment, rig

LADDER = (
    Rung(action="investigate", parameters={}),
    Rung(action="restart", parameters={}),
    Rung(action="scale", parameters={"to": 5}),
)


async def test_a_firing_alert_ends_as_a_verified_restart(database: str) -> None:
    """The main job: recorded, decided, one write with our marks, verified, resolved."""
    async with rig(database) as r:
        r.put(deployment())
        receipt = await r.deliver(alert())
        assert (receipt.new, receipt.known) == (1, 0)
        await r.settle()
        (write,) = r.writes()
        assert write.method == "PATCH"
        live = r.live()
        (row,) = await r.rows("SELECT id, number, fence, state FROM remediator.actions")
        assert live["metadata"]["annotations"]["remediator.io/action"] == row["id"]
        assert live["metadata"]["annotations"]["remediator.io/fence"] == str(row["fence"])
        assert live["spec"]["template"]["metadata"]["annotations"]["remediator.io/action"] == row["id"]
        assert row["state"] == "verifying"
        r.rolled_out()
        await r.hasten()
        assert await r.states() == ["verifying"], "the alert still fires: rolled out alone is no recovery"
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        assert await r.states() == ["recovered"]
        assert await r.kinds() == [
            "alert.firing",
            "incident.opened",
            "decision.act",
            "action.dispatched",
            "action.applied",
            "alert.resolved",
            "action.verified",
            "incident.resolved",
        ]


async def test_a_repeated_notification_changes_nothing(database: str) -> None:
    """The same alert again, and again after its incident was resolved."""
    async with rig(database) as r:
        r.put(deployment())
        firing, resolved = alert(), alert(status=Status.RESOLVED)
        resolved = structs.replace(resolved, starts_at=firing.starts_at)
        await r.deliver(firing)
        await r.settle()
        assert (await r.deliver(firing)).known == 1
        await r.settle()
        r.rolled_out()
        await r.deliver(resolved)
        await r.settle()
        await r.hasten()
        await r.deliver(firing, resolved)
        await r.settle()
        assert len(r.writes()) == 1
        assert len(await r.rows("SELECT FROM remediator.incidents")) == 1


async def test_an_alert_without_a_rule_is_recorded_as_such(database: str) -> None:
    """Nothing is done, and the ledger says why."""
    async with rig(database) as r:
        await r.deliver(alert(labels={"alertname": "SomethingElse"}))
        await r.settle()
        (entry,) = await r.entries()
        assert (entry.kind.value, entry.reasons) == ("signal.unmatched", ("no_rule",))
        assert "SomethingElse" in entry.summary


async def test_a_ladder_is_climbed_to_people(database: str) -> None:
    """Investigate, restart that does not help, scale that does not help, people."""
    async with rig(database, a_rule(ladder=LADDER, recover=structs.replace(a_rule().recover, within_s=0))) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        for _ in range(6):
            r.rolled_out()
            await r.hasten()
        assert await r.states() == ["done", "unchanged", "unchanged"]
        assert r.live()["spec"]["replicas"] == 5
        assert len(await r.rows("SELECT FROM remediator.evidence")) == 1
        (message,) = r.people.heard
        assert message["incident"] == 1
        assert message["severity"] == "P1"
        kinds = await r.kinds()
        assert kinds.count("incident.escalated") == 1
        assert kinds[-1] == "notified"
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        assert (await r.kinds())[-1] == "incident.resolved"


async def test_observe_sends_a_dry_run_and_changes_nothing(database: str) -> None:
    """The server is asked, with dryRun=All; the object stays as it was."""
    async with rig(database, a_rule(mode=Mode.OBSERVE)) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.states() == ["observed"]
        assert r.writes() == []
        assert [one.query.get("dryRun") for one in r.sandbox.requests if one.method == "PATCH"] == ["All"]
        assert r.live()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert (await r.kinds())[-2:] == ["decision.observe", "action.observed"]
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        assert (await r.kinds())[-1] == "incident.resolved"


async def test_ask_waits_for_a_person(database: str) -> None:
    """Nothing is written until somebody says yes; then it is decided anew and done."""
    async with rig(database, a_rule(mode=Mode.ASK)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert (await r.states(), r.writes()) == (["awaiting_approval"], [])
        assert "approval" in r.people.heard[0]["message"]
        assert await r.ledger.answer(1, approved=True, actor="ada", reason="it is fine")
        assert not await r.ledger.answer(1, approved=True, actor="ada", reason="again")
        await r.settle()
        assert await r.states() == ["done", "verifying"]
        assert len(r.writes()) == 1
        assert "approval" in await r.kinds()


async def test_a_rejected_action_is_not_done(database: str) -> None:
    """A person's no is final for this decision."""
    async with rig(database, a_rule(mode=Mode.ASK)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.ledger.answer(1, approved=False, actor="ada", reason="not now")
        await r.settle()
        assert (await r.states(), r.writes()) == (["rejected"], [])


async def test_a_refusal_that_passes_is_asked_again(database: str) -> None:
    """The cooldown after a first action holds the second; when it is over, the alert still firing, it acts."""
    rule = a_rule(limits=structs.replace(a_rule().limits, cooldown_s=3600))
    async with rig(database, rule) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        later = alert(starts_at=alert().starts_at.replace(year=2099))
        await r.deliver(later)
        await r.settle()
        (held,) = [entry for entry in await r.entries() if entry.kind == "decision.hold"]
        assert held.reasons == ("cooldown",)
        assert held.data["refusals"][0]["numbers"]
        await r.hasten()
        await r.hasten()
        holds = [entry for entry in await r.entries() if entry.kind == "decision.hold"]
        assert len(holds) == 1, "the same refusal again is counted on the candidate, not written again"
        await r.sql.execute(
            "UPDATE remediator.actions SET admitted_at = now() - interval '1 day', ended_at = now() - interval '1 day'"
        )
        await r.hasten()
        assert len(r.writes()) == 2


async def test_a_target_that_is_not_there_goes_to_people(database: str) -> None:
    """Time alone does not bring it back; the incident is the alert's own."""
    async with rig(database) as r:
        await r.deliver(alert("ghost"))
        await r.settle()
        (entry,) = [entry for entry in await r.entries() if entry.kind == "decision.hold"]
        assert entry.reasons == ("target_not_found",)
        assert r.writes() == []
        assert len(r.people.heard) == 1
        await r.deliver(alert("ghost", status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        await r.hasten()
        assert (await r.kinds())[-1] == "incident.resolved"


async def test_a_forged_namespace_reaches_nothing(database: str) -> None:
    """A label can only choose inside what the rule allows."""
    async with rig(database) as r:
        labels = {"alertname": "BackstageDown", "namespace": "kube-system", "deployment": "coredns"}
        await r.deliver(alert("coredns", labels=labels))
        await r.settle()
        (entry,) = [entry for entry in await r.entries() if entry.kind == "decision.hold"]
        assert entry.reasons == ("target_not_allowed",)
        assert not [one for one in r.sandbox.requests if "kube-system" in one.path]


async def test_the_newest_word_decides_about_an_admitted_action(database: str) -> None:
    """The alert ends between decision and write: nothing is written."""
    async with rig(database) as r:
        r.put(deployment())
        lanes = {lane.stage.value: lane for lane in r.line.lanes}
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        assert await r.states() == ["admitted"]
        await r.deliver(alert(status=Status.RESOLVED))
        await lanes["match"].step()
        await r.settle()
        assert (await r.states(), r.writes()) == (["expired"], [])


async def test_a_decision_past_its_shelf_life_is_made_anew(database: str) -> None:
    """Old news is not acted on: the rung is decided again on fresh facts."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await r.sql.execute(
            "UPDATE remediator.actions SET good_until = now() - interval '1 s', admitted_at = now() - interval '1 h'"
        )
        await r.settle()
        await r.hasten()
        assert await r.states() == ["expired", "verifying"]
        assert len(r.writes()) == 1


async def test_people_are_told_again_until_it_works(database: str) -> None:
    """A sink that is away for a while loses nothing; one that refuses is recorded once, and tried on."""
    async with rig(database) as r:
        r.people.failing = NotifyError("unreachable", "nobody there", retryable=True)
        await r.deliver(alert("ghost"))
        await r.settle()
        await r.hasten()
        assert r.people.heard == []
        r.people.failing = None
        await r.hasten()
        assert len(r.people.heard) == 1
        r.people.failing = NotifyError("refused", "go away")
        await r.deliver(alert("ghost2"))
        await r.settle()
        for _ in range(r.parts.bounds.notify_told + 2):
            await r.hasten()
        assert (await r.kinds()).count("notify.failed") == 1
        r.people.failing = None
        await r.hasten()
        assert len(r.people.heard) == 2


async def test_a_group_of_fifty_with_one_target_is_one_incident(database: str) -> None:
    """Fifty pods of one Deployment: one incident with fifty alerts, one action."""
    async with rig(database) as r:
        r.put(deployment())
        pods = [alert(f"{number:03d}", labels={**alert().labels, "pod": f"p{number}"}) for number in range(50)]
        await r.deliver(*pods)
        await r.settle()
        assert len(r.writes()) == 1
        assert len(await r.rows("SELECT FROM remediator.incidents")) == 1
        assert len(await r.rows("SELECT FROM remediator.incident_alerts")) == 50


async def test_a_truncated_notification_is_said_in_the_ledger(database: str) -> None:
    """Alerts that Alertmanager left out are a gap that somebody must know of."""
    async with rig(database) as r:
        await r.deliver(truncated=7)
        assert await r.kinds() == ["signals.truncated"]


async def test_two_rules_want_one_target(database: str) -> None:
    """The second waits until the first is through, and then finds nothing left to do."""
    both = (Matcher(label="alertname", op=MatchOp.EQUAL, value="BackstageDown"),)
    first = a_rule(priority=1)
    second = a_rule(name="second", match=both, ladder=(Rung(action="scale", parameters={"to": 4}),))
    async with rig(database, first, second) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert await r.states() == ["verifying"]
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        await r.hasten()
        assert await r.states() == ["recovered"]
        assert r.live()["spec"]["replicas"] == 3


async def step(r: Rig, *stages: str) -> None:
    """Step some lanes once each, waiting for reads under way."""
    lanes = {lane.stage.value: lane for lane in r.line.lanes}
    for stage in stages:
        await lanes[stage].step()
        while r.under_way():
            await r.parts.clock.sleep(0.005)
