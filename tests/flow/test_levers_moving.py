"""The whole way through an autoscaler that lives: told by its bound it obeys; told by the Deployment it does not."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.pool import open_pools
from remediator.core.returning import next_move
from remediator.model.rule import Rung
from remediator.model.signal import Status
from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.simulation import Simulation
from remediator.sandbox.resources import AUTOSCALERS, DEPLOYMENTS
from tests.flow.rig import Rig, a_rule, alert, rig
from tests.flow.test_doubt import QUICK

SCALE = a_rule(ladder=(Rung(action="scale", parameters={"step": 3, "max": 20}),))
HPA = scenario.autoscaler("backstage", "backstage", least=2, most=8)
SPEED = 50
PERIODS_S = 3 * 5 / SPEED


@asynccontextmanager
async def living(database: str, *manifests: dict[str, Any]) -> AsyncIterator[tuple[Rig, LedgerLoanStore]]:
    """A cluster whose controllers run, with a Deployment of 2 pods and what is around it."""
    async with open_pools(database) as pools:
        loans = LedgerLoanStore(pools.stages, quiet_s=0)
        async with rig(database, SCALE, bounds=QUICK, dress=lambda parts: dataclasses.replace(parts, loans=loans)) as r:
            moving = Simulation(r.sandbox.store, pace=Pace(speed=SPEED))
            r.sandbox.add_namespace("argocd")
            seed = [*scenario.nodes(), scenario.deployment("backstage", "backstage", replicas=2), *manifests]
            scenario.put(r.sandbox.store, seed)
            async with asyncio.TaskGroup() as tasks:
                mover = tasks.create_task(moving.run())
                await until(lambda: is_rolled_out(r.live()))
                yield r, loans
                mover.cancel()
            moving.close()


async def until(wanted: Callable[[], bool]) -> None:
    """Wait for something; TimeoutError after 20 seconds."""
    async with asyncio.timeout(20):
        while not wanted():
            await asyncio.sleep(0.02)


def replicas(r: Rig) -> int:
    """Return how many pods the Deployment asks for."""
    return int(r.live()["spec"]["replicas"])


def scaled_to(r: Rig, count: int) -> bool:
    """Tell whether the Deployment has so many pods, all of them up."""
    return replicas(r) == count and is_rolled_out(r.live())


async def test_an_autoscaler_does_what_its_bound_says(database: str) -> None:
    """5 pods, and they stay; the return is followed as well, and at the end all is as it was."""
    async with living(database, HPA) as (r, loans):
        await r.deliver(alert())
        await r.settle()
        await until(partial(scaled_to, r, 5))
        await asyncio.sleep(PERIODS_S)
        assert replicas(r) == 5
        await r.deliver(alert(status=Status.RESOLVED))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["recovered"]
        for wanted in (3, 2):
            for _ in range(2):
                await r.sql.execute("UPDATE remediator.loans SET check_at = now()")
                await loans.step(8, next_move)
                await r.settle()
            await until(partial(scaled_to, r, wanted))
            await r.hasten()
        await r.sql.execute("UPDATE remediator.loans SET check_at = now()")
        await loans.step(8, next_move)
        assert await loans.lent(8) == ()
        assert r.sandbox.store.get(AUTOSCALERS, "backstage", "backstage")["spec"]["minReplicas"] == 2
        ours = [write for write in r.writes() if "action/" in write.user_agent]
        assert {write.path.rsplit("/", 2)[1] for write in ours} == {"horizontalpodautoscalers"}


async def test_what_is_written_beside_it_does_not_last(database: str) -> None:
    """The same number of pods, written to the Deployment as a person might: gone within a period."""
    async with living(database, HPA) as (r, _):
        r.sandbox.store.mutate(
            DEPLOYMENTS, "backstage", "backstage", lambda one: {**one, "spec": {**one["spec"], "replicas": 5}}
        )
        await until(lambda: replicas(r) == 2)
        assert replicas(r) == 2
