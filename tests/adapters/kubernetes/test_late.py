"""The cluster, connected beside the start: who asks early waits for the first attempt, and is told why it failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.late import LateCluster
from remediator.model.errors import ClusterError
from remediator.model.target import Kind, Target
from remediator.ports.cluster import WriteRefused
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from tests.adapters.kubernetes.given import MARK, PATCH
from tests.fakes.clock import StillClock

BACKSTAGE = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="backstage")
SEED = [scenario.namespace("backstage"), scenario.deployment("backstage", "backstage")]


@asynccontextmanager
async def late(
    access: ClusterAccess | None, tell: Callable[[str, str], None], clock: StillClock | None = None
) -> AsyncIterator[LateCluster]:
    """A late cluster whose task has been begun, and has had no turn yet."""
    cluster = LateCluster(access=access, limits=None, clock=clock or SystemClock(), tell=tell)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cluster.run())
        try:
            yield cluster
        finally:
            running.cancel()


async def test_who_asks_before_the_connection_stands_waits_for_it() -> None:
    """The first question is asked before the task has had its first turn, and is answered all the same."""
    told: list[str] = []
    async with SandboxCluster.running(seed=SEED) as sandbox:
        access = ClusterAccess(kubeconfig=str(sandbox.kubeconfig_path))
        async with late(access, lambda outcome, _: told.append(outcome)) as cluster:
            before = list(told)
            facts = await cluster.facts(BACKSTAGE)
        assert facts.workload is not None
    assert (before, told) == ([], ["connected"])


async def test_without_a_cluster_everything_is_refused_with_what_to_do() -> None:
    """No cluster is configured: reads fail as retryable, writes are refused as not sent, proof is unknown."""
    async with late(None, lambda *_: None) as cluster:
        with pytest.raises(ClusterError, match="set KUBECONFIG or --kubeconfig") as caught:
            await cluster.facts(BACKSTAGE)
        assert caught.value.retryable
        refused = await cluster.patch(PATCH, MARK)
        assert isinstance(refused, WriteRefused)
        assert refused.reason == "unreachable"
        assert await cluster.proof(BACKSTAGE, "a" * 40) is None


async def test_a_kubeconfig_that_comes_later_is_used(tmp_path: Path) -> None:
    """The first attempt fails and says why; a later one succeeds."""
    told: list[tuple[str, str]] = []
    path = tmp_path / "kubeconfig"
    async with SandboxCluster.running(seed=SEED) as sandbox:
        access = ClusterAccess(kubeconfig=str(path))
        async with late(access, lambda *words: told.append(words), StillClock()) as cluster:
            with pytest.raises(ClusterError, match="the cluster cannot be used"):
                await cluster.live(BACKSTAGE)
            sandbox.server.write_kubeconfig(path)
            async with asyncio.timeout(30):
                while not cluster.ready:
                    await asyncio.sleep(0.01)
            assert (await cluster.live(BACKSTAGE)).image.generation == 1
    assert told[0][0] == "failed"
    assert str(path) in told[0][1]
    assert told[-1][0] == "connected"
