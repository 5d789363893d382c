"""Our own database fails in the middle of a stage: the lanes wait and go on, and nothing ends the process."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from msgspec import structs

from remediator.flow.bells import Bells, Stage
from remediator.flow.lane import Lane
from remediator.model.errors import InvariantBroken, LedgerError
from remediator.model.rule import Rung
from remediator.model.signal import Status
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.clock import VirtualClock
from tests.flow.rig import Ear, a_rule, alert, deployment, rig
from tests.flow.test_flow import step


async def until(ear: Ear, stage: str, outcome: str) -> None:
    """Wait until a stage has told of an outcome."""
    async with asyncio.timeout(10):
        while outcome not in ear.outcomes(stage):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stage", ["verify", "close", "notify"])
async def test_a_stage_that_looks_at_many_survives_a_database_that_fails_meanwhile(database: str, stage: str) -> None:
    """The looks of one step run beside each other; that the database refuses one of them is trouble, not a bug."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert(), alert("ghost"))
        await r.settle()
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        await r.line.lanes[0].step()
        await r.sql.execute("UPDATE remediator.actions SET check_at = now() WHERE state = 'verifying'")
        await r.sql.execute(
            "UPDATE remediator.incidents SET check_at = now(), severity = 'P1', opened_at = '2020-01-01'"
        )
        await r.sql.execute("UPDATE remediator.outbox SET state = 'waiting', not_before = now()")
        await r.sql.execute("REVOKE INSERT ON remediator.ledger FROM remediator_app")
        lane = next(one for one in r.line.lanes if one.stage == stage)
        async with asyncio.TaskGroup() as group:
            group.create_task(lane.run())
            await until(r.ear, stage, "trouble")
            await r.sql.execute("GRANT INSERT ON remediator.ledger TO remediator_app")
            lane.stop()
        assert "trouble" in r.ear.outcomes(stage)


async def test_a_bug_beside_trouble_is_still_a_bug() -> None:
    """A lane forgives what a port says, and nothing else, however the two come together."""
    ear = Ear()

    async def step() -> int:
        raise ExceptionGroup("both", [LedgerError("timeout", "slow", retryable=True), InvariantBroken("a bug")])

    lane = Lane(stage=Stage.VERIFY, step=step, full=16, bells=Bells(), clock=VirtualClock(), observer=ear, poll_s=0.01)
    with pytest.raises(ExceptionGroup) as caught:
        await lane.run()
    assert caught.group_contains(InvariantBroken)


POISON = """
CREATE FUNCTION remediator.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END $$
"""


async def test_one_candidate_that_the_database_refuses_does_not_stop_the_others(database: str) -> None:
    """Decisions share a transaction; what cannot be written about one target must not hold up the rest."""
    async with rig(database) as r:
        names = [f"app-{number}" for number in range(8)]
        for name in names:
            r.put(deployment(name))
        await r.sql.execute(POISON)
        await r.sql.execute(
            """CREATE TRIGGER refuse BEFORE INSERT ON remediator.actions FOR EACH ROW
               WHEN (NEW.target_key = 'deployment/backstage/app-3') EXECUTE FUNCTION remediator.refuse()"""
        )
        await r.deliver(*[alert(name, fingerprint=f"{number:016x}") for number, name in enumerate(names)])
        await step(r, "match", "assess")
        with pytest.raises(LedgerError):
            await step(r, "admit")
        await r.settle()
        assert sorted(write.path.rpartition("/")[2] for write in r.writes()) == sorted({*names} - {"app-3"})
        (waiting,) = await r.rows(
            "SELECT labels ->> 'deployment' AS name FROM remediator.candidates WHERE state = 'new'"
        )
        assert waiting["name"] == "app-3"
        (entry,) = [one for one in await r.entries() if one.kind == "decision.failed"]
        assert entry.summary.startswith("BackstageDown under rule service-unavailable cannot be decided about")
        (told,) = [said for said in r.people.heard if "cannot be decided about" in said["message"]]
        assert (told["title"], told["urgent"]) == ("an alert cannot be decided about", True)


async def test_what_was_assessed_is_decided_about_as_soon_as_the_database_is_back(database: str) -> None:
    """Facts that were read do not wait for the candidate's lease to end."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess")
        await r.sql.execute(POISON.replace("22000", "25006"))
        await r.sql.execute(
            """CREATE TRIGGER refuse BEFORE INSERT ON remediator.actions FOR EACH ROW
               EXECUTE FUNCTION remediator.refuse()"""
        )
        with pytest.raises(LedgerError):
            await step(r, "admit")
        await r.sql.execute("DROP TRIGGER refuse ON remediator.actions")
        await step(r, "admit")
        assert await r.states() == ["admitted"]


async def test_evidence_that_cannot_be_stored_does_not_stop_the_remedy(database: str) -> None:
    """What was seen is lost and the log says so; the workload is still down."""
    async with rig(database, a_rule(evidence=True)) as r:
        r.put(deployment())
        await r.sql.execute(POISON)
        await r.sql.execute(
            """CREATE TRIGGER refuse BEFORE INSERT ON remediator.evidence FOR EACH ROW
               EXECUTE FUNCTION remediator.refuse()"""
        )
        await r.deliver(alert())
        await r.settle()
        assert len(r.writes()) == 1
        assert "missing" in r.ear.outcomes("evidence")


async def test_an_action_that_nobody_could_look_at_ends_with_people(database: str) -> None:
    """The API server is away until the deadline: unknown never acts, so the next rung is not begun when it is back."""
    ladder = (Rung(action="restart", parameters={}), Rung(action="scale", parameters={"to": 5}))
    recover = structs.replace(a_rule().recover, within_s=0)

    async def away(call: Call, proceed: Proceed) -> web.StreamResponse:
        return web.Response(status=503)

    async with rig(database, a_rule(ladder=ladder, recover=recover)) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit", "execute")
        assert await r.states() == ["verifying"]
        r.sandbox.middlewares.append(away)
        await r.sql.execute("UPDATE remediator.actions SET check_at = now()")
        await step(r, "verify", "notify")
        r.sandbox.middlewares.remove(away)
        await r.settle()
        await r.hasten()
        assert (await r.states(), len(r.writes())) == (["unknown"], 1)
        (message,) = r.people.heard
        assert "nobody knows whether it helped" in message["message"]


async def test_a_bug_that_an_action_meets_ends_the_process(database: str) -> None:
    """The schema is not ours any more: an action that is interrupted for ever would look like an outage."""

    async def act() -> None:
        async with rig(database) as r:
            r.put(deployment())
            await r.deliver(alert())
            await step(r, "match", "assess", "admit")
            await r.sql.execute(POISON.replace("22000", "42703"))
            await r.sql.execute(
                """CREATE TRIGGER refuse BEFORE UPDATE ON remediator.actions FOR EACH ROW
                   WHEN (NEW.state = 'dispatched') EXECUTE FUNCTION remediator.refuse()"""
            )
            await step(r, "execute")

    with pytest.raises(ExceptionGroup) as caught:
        await act()
    assert caught.group_contains(InvariantBroken)
