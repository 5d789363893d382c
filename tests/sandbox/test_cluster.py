"""The whole sandbox cluster over HTTP: it serves, moves, waits and cleans up."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from remediator.sandbox import scenario
from remediator.sandbox.clock import RandomIds, VirtualClock
from remediator.sandbox.cluster import SandboxCluster, UnsettledError
from remediator.sandbox.controllers.behaviour import BEHAVIOUR, Pace
from remediator.sandbox.history import Change
from remediator.sandbox.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Json
from remediator.sandbox.store import changed

SPACE = "backstage"
QUICK = Pace(speed=10)


async def test_the_portal_comes_up_and_goes_without_a_trace() -> None:
    """The seed of the demo settles in real time; afterwards nothing listens and no file is left."""
    async with SandboxCluster.running(seed=scenario.portal(), pace=QUICK) as cluster:
        await cluster.settle()
        assert cluster.is_rolled_out("Deployment", SPACE, "backstage")
        path, url = cluster.kubeconfig_path, cluster.url
        assert path.stat().st_mode & 0o077 == 0
        headers = {"Authorization": f"Bearer {cluster.token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/api/v1/namespaces/{SPACE}/pods", headers=headers) as answer,
        ):
            assert len((await answer.json())["items"]) == 6
        assert len(cluster.requests) == 1
    assert not path.exists()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)


async def test_a_restart_over_http_cures_a_workload() -> None:
    """The patch is answered with the status of before; then the cluster moves until the new pods are well."""
    async with SandboxCluster.running(seed=scenario.portal(), pace=QUICK) as cluster:
        await cluster.settle()
        cluster.annotate("Deployment", SPACE, "backstage", {BEHAVIOUR: "crash-until-restarted"})
        await cluster.settle(lambda: not cluster.is_rolled_out("Deployment", SPACE, "backstage"))
        patch = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
        headers = {
            "Authorization": f"Bearer {cluster.token}",
            "Content-Type": "application/strategic-merge-patch+json",
        }
        path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/backstage"
        async with (
            aiohttp.ClientSession() as session,
            session.patch(cluster.url + path, json=patch, headers=headers) as answer,
        ):
            body = await answer.json()
        assert body["status"]["observedGeneration"] < body["metadata"]["generation"]
        await cluster.settle(lambda: cluster.is_rolled_out("Deployment", SPACE, "backstage"))


async def test_the_same_seed_gives_the_same_cluster() -> None:
    """On a virtual clock with seeded ids two clusters do the same, down to names and versions."""
    runs = []
    for _ in range(2):
        ids, clock = RandomIds(3), VirtualClock()
        async with SandboxCluster.running(seed=scenario.portal(), clock=clock, ids=ids) as cluster:
            await cluster.settle()
            runs.append(
                [(pod["metadata"]["name"], pod["metadata"]["resourceVersion"]) for pod in cluster.store.list(PODS)]
            )
    assert runs[0] == runs[1]


async def test_what_does_not_settle_is_told() -> None:
    """A wait fails after its deadline, on either clock."""
    async with SandboxCluster.running(clock=VirtualClock()) as cluster:
        with pytest.raises(UnsettledError, match="not so after 5 s"):
            await cluster.settle(lambda: False, deadline=5)
    async with SandboxCluster.running() as cluster:
        with pytest.raises(UnsettledError):
            await cluster.settle(lambda: False, deadline=0.05)


async def test_a_failure_of_the_body_comes_out_as_it_is() -> None:
    """No ExceptionGroup hides what a test found."""
    with pytest.raises(KeyError, match="mine"):
        async with SandboxCluster.running():
            raise KeyError("mine")


async def test_a_fault_of_the_simulation_ends_the_cluster() -> None:
    """A controller that fails is not swallowed: the context ends with it."""
    with pytest.raises(ExceptionGroup) as caught:
        await _run_with_a_broken_object()
    assert caught.value.subgroup(TypeError) is not None


async def _run_with_a_broken_object() -> None:
    async with SandboxCluster.running() as cluster:
        broken = scenario.deployment("default", "broken")
        cluster.put([{**broken, "spec": {**broken["spec"], "replicas": "many"}}])
        await asyncio.Event().wait()


async def test_a_large_cluster_stays_cheap() -> None:
    """With 1000 Deployments around, a restart of one writes no more than with none around."""
    written = []
    for count in (1, 1000):
        cluster = SandboxCluster(seed=scenario.fleet(count), clock=VirtualClock(), ids=RandomIds(1))
        cluster.simulation.advance(5)
        changes: list[Change] = []
        cluster.store.listen(changes.append)
        cluster.store.mutate(DEPLOYMENTS, "team-0", "app-0", _restarted)
        started = cluster.simulation.agenda.drain()
        cluster.simulation.advance(5)
        written.append((len(changes), started))
    assert written[0] == written[1]


def _restarted(deployment: Json) -> Json:
    return changed(deployment, ("spec", "template", "metadata", "annotations"), {"restarted": "now"})


async def test_a_replica_set_alone_is_a_workload_too() -> None:
    """A bare ReplicaSet keeps its pods up."""
    cluster = SandboxCluster(seed=scenario.nodes(), clock=VirtualClock(), ids=RandomIds(1))
    manifest = scenario.deployment("default", "bare", replicas=2)
    cluster.put([{**manifest, "kind": "ReplicaSet"}])
    cluster.simulation.advance(5)
    assert cluster.store.get(REPLICA_SETS, "default", "bare")["status"]["availableReplicas"] == 2
