"""Our own database fails in the middle of a stage: the lanes wait and go on, and nothing ends the process."""

from __future__ import annotations

import asyncio

import pytest

from remediator.flow.bells import Bells, Stage
from remediator.flow.lane import Lane
from remediator.model.errors import InvariantBroken, LedgerError
from remediator.model.signal import Status
from remediator.sandbox.clock import VirtualClock
from tests.flow.rig import Ear, alert, deployment, rig


async def until(ear: Ear, stage: str, outcome: str) -> None:
    """Wait until a stage has told of an outcome."""
    async with asyncio.timeout(10):
        while outcome not in ear.outcomes(stage):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stage", ["verify", "close", "notify"])
async def test_a_stage_that_looks_at_many_survives_a_database_that_fails_meanwhile(database: str, stage: str) -> None:
    """The looks of one step run beside each other; that one of them meets a dead database is trouble, not a bug."""
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
        await r.sql.execute("ALTER TABLE remediator.ledger RENAME TO elsewhere")
        lane = next(one for one in r.line.lanes if one.stage == stage)
        async with asyncio.TaskGroup() as group:
            group.create_task(lane.run())
            await until(r.ear, stage, "trouble")
            await r.sql.execute("ALTER TABLE remediator.elsewhere RENAME TO ledger")
            lane.stop()


async def test_a_bug_beside_trouble_is_still_a_bug() -> None:
    """A lane forgives what a port says, and nothing else, however the two come together."""
    ear = Ear()

    async def step() -> int:
        raise ExceptionGroup("both", [LedgerError("timeout", "slow", retryable=True), InvariantBroken("a bug")])

    lane = Lane(stage=Stage.VERIFY, step=step, next=(), bells=Bells(), clock=VirtualClock(), observer=ear, poll_s=0.01)
    with pytest.raises(ExceptionGroup) as caught:
        await lane.run()
    assert caught.group_contains(InvariantBroken)
