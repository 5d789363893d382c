"""Looks at the sandbox cluster: lists of any length, one object, a log; and what is not to be looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.looking import KubernetesLooker
from remediator.model.look import Objects, PodLog, Seen, Unseen
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster


@pytest.fixture
async def looker() -> AsyncIterator[KubernetesLooker]:
    """Look at the runbook's portal."""
    async with SandboxCluster.running(seed=scenario.portal()) as cluster:
        await cluster.settle()
        client = await KubeClient.connect(ClusterAccess(kubeconfig=str(cluster.kubeconfig_path)))
        yield KubernetesLooker(client)
        await client.close()


async def test_what_is_there_is_seen(looker: KubernetesLooker) -> None:
    """A list of a namespace, page by page; of the cluster; one object; those with a label; a log."""
    whole = await looker.look(Objects(resource="pods", namespace="backstage"))
    assert isinstance(whole, Seen)
    names = {item["metadata"]["name"] for item in whole.items}
    assert names
    paged = await replace(looker, page=1).look(Objects(resource="pods", namespace="backstage"))
    assert isinstance(paged, Seen)
    assert ({item["metadata"]["name"] for item in paged.items}, paged.cut) == (names, False)
    cut = await replace(looker, page=1, most=1).look(Objects(resource="pods", namespace="backstage"))
    assert isinstance(cut, Seen)
    assert (len(cut.items), cut.cut) == (1, True)
    nodes = await looker.look(Objects(resource="nodes"))
    assert isinstance(nodes, Seen)
    assert nodes.items
    one = await looker.look(
        Objects(resource="deployments", group="apps", version="v1", namespace="backstage", name="backstage")
    )
    assert isinstance(one, Seen)
    assert one.items[0]["metadata"]["name"] == "backstage"
    none = await looker.look(Objects(resource="pods", namespace="backstage", labels="app=nobody"))
    assert none == Seen()
    pod = whole.items[0]
    log = await looker.look(
        PodLog(namespace="backstage", pod=pod["metadata"]["name"], container=pod["spec"]["containers"][0]["name"])
    )
    assert isinstance(log, Seen)
    assert log.text


async def test_what_is_not_seen_says_why(looker: KubernetesLooker) -> None:
    """Not there; of no kind that there is; not ours to look at; no name at all."""
    cases: dict[Objects | PodLog, str] = {
        Objects(resource="pods", namespace="backstage", name="nobody"): "not_found",
        Objects(resource="gadgets", group="example.com", version="v1", namespace="backstage"): "not_found",
        Objects(resource="secrets", namespace="backstage"): "refused",
        Objects(resource="pods", namespace="../kube-system"): "refused",
        Objects(resource="pods/../secrets", namespace="backstage"): "refused",
        Objects(resource="pods", namespace="backstage", name="a/../../x"): "refused",
        Objects(resource="nodes", group="a/b"): "refused",
        PodLog(namespace="backstage", pod="x/../y", container="app"): "refused",
        PodLog(namespace="backstage", pod="nobody", container="app"): "not_found",
    }
    for look, reason in cases.items():
        found = await looker.look(look)
        assert isinstance(found, Unseen), look
        assert found.reason == reason, look
