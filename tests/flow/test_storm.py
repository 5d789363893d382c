"""A storm: nothing is changed, every incident is recorded, people are called once, and afterwards work goes on."""

from __future__ import annotations

from msgspec import structs

from remediator.model.rule import RateLimit, Rung
from tests.flow.rig import ROOMY, a_rule, alert, deployment, rig
from tests.flow.test_flow import step

BREAKER = structs.replace(ROOMY, storm=RateLimit(count=6, window_s=120), storm_quiet_s=300)
COUNT = 9


async def test_a_storm_changes_nothing_and_calls_once(database: str) -> None:
    """Nine workloads at once: nine incidents, nine holds, one message; a tenth joins without another call."""
    async with rig(database, policy=BREAKER) as r:
        for number in range(COUNT + 1):
            r.put(deployment(f"app-{number}"))
        await r.deliver(*(alert(f"app-{number}", fingerprint=f"{number:016x}") for number in range(COUNT)))
        await r.settle()
        await r.deliver(alert(f"app-{COUNT}", fingerprint=f"{COUNT:016x}"))
        await r.settle()
        entries = await r.entries()
        assert r.writes() == []
        assert len([entry for entry in entries if entry.kind == "incident.opened"]) == COUNT + 1
        held = [entry for entry in entries if "storm" in entry.reasons]
        assert len(held) == COUNT + 1
        (called,) = [entry for entry in entries if entry.kind == "storm"]
        assert "look for one cause" in called.summary
        messages = await r.rows("SELECT payload ->> 'message' AS message FROM remediator.outbox")
        assert [row["message"] for row in messages] == [called.summary]


async def test_after_a_storm_work_goes_on(database: str) -> None:
    """When it has been calm for long enough, what was held is decided anew."""
    async with rig(database, policy=BREAKER) as r:
        for number in range(COUNT):
            r.put(deployment(f"app-{number}"))
        await r.deliver(*(alert(f"app-{number}", fingerprint=f"{number:016x}") for number in range(COUNT)))
        await step(r, "match", "assess", "admit")
        assert await r.states() == []
        await r.rows("UPDATE remediator.incidents SET opened_at = opened_at - interval '10 minutes'")
        await r.hasten()
        assert len(r.writes()) == COUNT


async def test_in_a_storm_a_few_are_looked_at(database: str) -> None:
    """Of nine that are only looked at four are; the others wait, people are called once, and calm lets them go on."""
    looks = a_rule(ladder=(Rung(action="investigate", parameters={}),))
    policy = structs.replace(BREAKER, storm_evidence=RateLimit(count=4, window_s=120))
    async with rig(database, looks, policy=policy) as r:
        for number in range(COUNT):
            r.put(deployment(f"app-{number}"))
        await r.deliver(*(alert(f"app-{number}", fingerprint=f"{number:016x}") for number in range(COUNT)))
        await r.settle()
        evidence = "SELECT DISTINCT target_key FROM remediator.evidence"
        assert len(await r.rows(evidence)) == 4
        held = [entry for entry in await r.entries() if entry.reasons == ("storm_evidence",)]
        assert len(held) == COUNT - 4
        assert (await r.kinds()).count("storm") == 1
        await r.rows("UPDATE remediator.incidents SET opened_at = opened_at - interval '10 minutes'")
        await r.hasten()
        assert len(await r.rows(evidence)) == COUNT
