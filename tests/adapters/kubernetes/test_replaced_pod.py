"""An alert about a pod that was replaced meanwhile still leads to its Deployment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import PODS

SPEC = TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,))


@pytest.fixture
async def cluster() -> AsyncIterator[SandboxCluster]:
    """A Deployment at rest."""
    seed = [*scenario.nodes(1), scenario.namespace("backstage"), scenario.deployment("backstage", "my-portal")]
    async with SandboxCluster.running(seed=seed) as running:
        await running.settle()
        yield running


@pytest.fixture
async def reader(cluster: SandboxCluster) -> AsyncIterator[KubernetesReader]:
    """What reads from it."""
    client = await KubeClient.connect(ClusterAccess(kubeconfig=str(cluster.kubeconfig_path)))
    yield KubernetesReader(client, SystemClock())
    await client.close()


async def test_a_replaced_pod_leads_to_its_deployment(cluster: SandboxCluster, reader: KubernetesReader) -> None:
    """By the ReplicaSet in its name, which outlives it."""
    (pod,) = cluster.store.list(PODS, "backstage")
    cluster.store.delete(PODS, "backstage", pod["metadata"]["name"])
    labels = {"namespace": "backstage", "pod": pod["metadata"]["name"]}
    found, facts = await reader.resolve_and_read(labels, SPEC)
    assert found.problem == ""
    assert facts.workload is not None
    assert facts.workload.target.key == "deployment/backstage/my-portal"


@pytest.mark.parametrize("name", ["my-portal-0000-abcde", "nobody", "my-portal-abcde"])
async def test_a_pod_that_never_was_leads_nowhere(reader: KubernetesReader, name: str) -> None:
    """No ReplicaSet of such a name, no target: the pod is named, and nothing is guessed from its name."""
    found, _ = await reader.resolve_and_read({"namespace": "backstage", "pod": name}, SPEC)
    assert found.problem == "target_not_found"
    assert name in found.detail
