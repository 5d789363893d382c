"""Many actions at once: those that wait get their turn, and looks neither delay writes nor starve."""

from __future__ import annotations

import asyncio

from remediator.flow.bells import Bells
from remediator.flow.parts import Bounds, Parts
from remediator.flow.verify import STAND_BACK_S, Verify
from tests.fakes.clock import StillClock
from tests.flow.rig import QUICK, Rig, alert, deployment, rig
from tests.flow.test_flow import step
from tests.flow.test_hostile_news import fields

NARROW = Bounds(poll_s=60.0, execute_concurrency=4, facts_deadline_s=5.0, doubt_s=2.0)


async def admit(r: Rig, count: int) -> None:
    """Let so many workloads need a restart, and decide about all of them."""
    names = [f"app-{number}" for number in range(count)]
    for name in names:
        r.put(deployment(name))
    await r.deliver(*(alert(name) for name in names))
    await step(r, "match", "assess", "admit")


async def test_actions_that_wait_are_carried_out_as_places_get_free(database: str) -> None:
    """More than may be under way at once, and no poll to help: each is written, once."""
    async with rig(database, bounds=NARROW) as r:
        await admit(r, 9)
        lane = next(one for one in r.line.lanes if one.stage == "execute")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(lane.run())
            while set(await r.states()) != {"verifying"}:
                await asyncio.sleep(0.01)
            lane.stop()
        assert len(r.writes()) == 9
        assert {r.live(f"app-{number}")["metadata"]["generation"] for number in range(9)} == {2}


async def test_it_is_known_when_more_wait_than_may_be_under_way(database: str) -> None:
    """As many as there are places: perhaps there are more; fewer: these were all."""
    async with rig(database, bounds=NARROW) as r:
        await admit(r, 5)
        execute = next(one for one in r.line.lanes if one.stage == "execute")
        verify = next(one for one in r.line.lanes if one.stage == "verify")
        crowded = verify.step.__self__.crowded  # type: ignore[attr-defined]  # the bound method's stage
        assert (await execute.step(), crowded()) == (4, True)
        await r.settle()
        assert (await r.states(), crowded()) == (["verifying"] * 5, False)


async def test_looks_stand_back_for_writes_and_do_not_starve(database: str) -> None:
    """While actions wait, a batch of looks a second; when none wait, whenever one is due."""
    async with rig(database, bounds=QUICK) as r:
        await admit(r, 1)
        await step(r, "execute")
        clock, crowd = StillClock(), [True]
        verify = Verify(Parts(**{**fields(r.parts), "clock": clock}), Bells(), lambda: crowd[0])

        async def look() -> int:
            await r.sql.execute("UPDATE remediator.actions SET check_at = now()")
            return await verify.step()

        assert [await look(), await look()] == [1, 0]
        clock.ahead += STAND_BACK_S - 0.01
        assert await look() == 0
        clock.ahead += 0.02
        assert [await look(), await look()] == [1, 0]
        crowd[0] = False
        assert [await look(), await look()] == [1, 1]
