"""What surrounds workloads under virtual time: Services, budgets, quotas, owners, namespaces, nodes."""

from __future__ import annotations

from typing import Any

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from remediator.sandbox.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from remediator.sandbox.store import Deletion
from tests.sandbox.controllers.stage import SPACE, Stage

Json = dict[str, Any]


def settled(*more: Json, replicas: int = 3) -> Stage:
    """Return a stage with a settled Deployment `backstage`, and what else is given."""
    stage = Stage(scenario.deployment(SPACE, "backstage", replicas=replicas), *more)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.advance(1)
    return stage


def addresses(stage: Stage, kind: str = "addresses") -> list[str]:
    """Return the pods behind the Service `backstage`, ready or (notReadyAddresses) not."""
    subsets = stage.get(ENDPOINTS, "backstage").get("subsets") or [{}]
    return sorted(item["targetRef"]["name"] for item in subsets[0].get(kind, ()))


def test_endpoints_follow_ready_pods() -> None:
    """Ready pods are addresses, others are not; a pod that leaves by its labels is neither."""
    stage = settled(scenario.service(SPACE, "backstage"))
    names = sorted(pod["metadata"]["name"] for pod in stage.pods())
    assert addresses(stage) == names
    assert stage.get(ENDPOINTS, "backstage")["subsets"][0]["ports"] == [
        {"name": "main", "port": 7007, "protocol": "TCP"}
    ]
    stage.annotate(DEPLOYMENTS, "backstage", {BEHAVIOUR: "unready"})
    stage.advance(5)
    assert (addresses(stage), addresses(stage, "notReadyAddresses")) == ([], names)
    slices = stage.store.list(ENDPOINT_SLICES, SPACE)
    assert [item["conditions"]["ready"] for item in slices[0]["endpoints"]] == [False] * 3
    stage.store.mutate(
        PODS, SPACE, names[0], lambda obj: {**obj, "metadata": {**obj["metadata"], "labels": {"app": "away"}}}
    )
    stage.advance(0)
    assert names[0] not in addresses(stage, "notReadyAddresses")


def test_a_service_without_pods_has_empty_endpoints() -> None:
    """No subsets, and null in the slice, as the server writes it; both go with the Service."""
    stage = settled(scenario.service(SPACE, "nothing"))
    assert "subsets" not in stage.get(ENDPOINTS, "nothing")
    found = stage.store.list(ENDPOINT_SLICES, SPACE)[0]
    assert (found["endpoints"], found["ports"]) == (None, None)
    stage.store.delete(SERVICES, SPACE, "nothing")
    stage.advance(1)
    assert stage.store.list(ENDPOINT_SLICES, SPACE) == []
    assert stage.store.find(ENDPOINTS, SPACE, "nothing") is None


def test_a_budget_counts_what_may_go() -> None:
    """Healthy pods beyond the wanted ones may be disrupted; one that is going counts no more."""
    stage = settled(scenario.budget(SPACE, "backstage", min_available=2))
    status = stage.status(DISRUPTION_BUDGETS, "backstage")
    assert (status["disruptionsAllowed"], status["currentHealthy"], status["expectedPods"]) == (1, 3, 3)
    stage.store.delete(PODS, SPACE, stage.pods()[0]["metadata"]["name"])
    stage.advance(0.1)
    assert stage.status(DISRUPTION_BUDGETS, "backstage")["disruptionsAllowed"] == 0
    stage.advance(5)
    assert stage.status(DISRUPTION_BUDGETS, "backstage")["disruptionsAllowed"] == 1


def test_a_granted_eviction_that_never_came_is_given_back() -> None:
    """What stands in disruptedPods holds a disruption for two minutes, then it may be given again."""
    stage = settled(scenario.budget(SPACE, "backstage", min_available="50%"))
    status = stage.status(DISRUPTION_BUDGETS, "backstage")
    assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (2, 1)
    granted = {stage.pods()[0]["metadata"]["name"]: "2026-01-01T00:00:02Z"}
    spent = {**status, "disruptionsAllowed": 0, "disruptedPods": granted}
    stage.store.update_status(DISRUPTION_BUDGETS, SPACE, "backstage", spent)
    stage.advance(60)
    assert stage.status(DISRUPTION_BUDGETS, "backstage")["disruptionsAllowed"] == 0
    stage.advance(65)
    status = stage.status(DISRUPTION_BUDGETS, "backstage")
    assert (status["disruptionsAllowed"], "disruptedPods" in status) == (1, False)


def test_a_quota_is_counted() -> None:
    """Its status has what is used, and the limit holds the next pods back until it is raised."""
    stage = settled(scenario.pod_quota(SPACE, "pods", 3))
    assert stage.status(RESOURCE_QUOTAS, "pods") == {"hard": {"pods": "3"}, "used": {"pods": "3"}}
    stage.spec(DEPLOYMENTS, "backstage", replicas=5)
    stage.advance(10)
    assert len(stage.pods()) == 3
    stage.spec(RESOURCE_QUOTAS, "pods", hard={"pods": "9"})
    stage.until(lambda: is_rolled_out(stage.deployment()))


def test_background_deletion_takes_everything_below() -> None:
    """Deployment, ReplicaSet and pods go, the owner first."""
    stage = settled()
    assert stage.store.delete(DEPLOYMENTS, SPACE, "backstage").gone
    stage.advance(5)
    assert (stage.sets(), stage.pods(going=True)) == ([], [])


def test_foreground_deletion_keeps_the_owner_until_the_last() -> None:
    """The Deployment stays, going, until its pods are gone."""
    stage = settled()
    stage.store.delete(DEPLOYMENTS, SPACE, "backstage", Deletion(propagation="Foreground"))
    stage.advance(0.1)
    assert stage.pods(going=True)
    assert stage.deployment()["metadata"]["finalizers"] == ["foregroundDeletion"]
    stage.advance(5)
    assert stage.store.find(DEPLOYMENTS, SPACE, "backstage") is None
    assert (stage.sets(), stage.pods(going=True)) == ([], [])


def test_orphaning_leaves_the_dependents_without_owner() -> None:
    """The ReplicaSet lives on, and keeps its pods up."""
    stage = settled()
    stage.store.delete(DEPLOYMENTS, SPACE, "backstage", Deletion(propagation="Orphan"))
    stage.advance(1)
    assert stage.store.find(DEPLOYMENTS, SPACE, "backstage") is None
    name = stage.sets()[0]["metadata"]["name"]
    assert "ownerReferences" not in stage.get(REPLICA_SETS, name)["metadata"]
    stage.store.delete(PODS, SPACE, stage.pods()[0]["metadata"]["name"])
    stage.advance(5)
    assert len(stage.pods()) == 3


def test_a_namespace_empties_before_it_goes() -> None:
    """Terminating until the last pod has ended; controllers make nothing new in it."""
    stage = settled(scenario.service(SPACE, "backstage"))
    stage.store.delete(NAMESPACES, "", SPACE)
    stage.advance(0.1)
    assert stage.store.get(NAMESPACES, "", SPACE)["status"]["phase"] == "Terminating"
    stage.advance(5)
    assert stage.store.find(NAMESPACES, "", SPACE) is None
    assert stage.store.list(PODS, SPACE) == []


def test_nothing_new_comes_into_a_namespace_that_goes() -> None:
    """A pod lost at the same moment is not replaced, and an event says why."""
    stage = settled()
    made: list[str] = []
    stage.store.listen(
        lambda change: made.append(change.name) if change.kind == "ADDED" and change.resource == PODS else None
    )
    lost = stage.pods()[0]["metadata"]["name"]
    stage.store.remove(PODS, SPACE, lost)
    stage.store.delete(NAMESPACES, "", SPACE)
    stage.advance(5)
    assert made == []
    assert stage.store.find(NAMESPACES, "", SPACE) is None


def test_a_cordon_leaves_a_taint_and_keeps_pods_away() -> None:
    """A cordoned node gets no new pod; without the cordon the taint goes."""
    stage = settled(replicas=1)
    for name in ("node-0", "node-1"):
        stage.store.mutate(NODES, "", name, lambda obj: {**obj, "spec": {**obj["spec"], "unschedulable": True}})
    stage.spec(DEPLOYMENTS, "backstage", replicas=6)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    fresh = [pod["spec"]["nodeName"] for pod in stage.pods()]
    assert fresh.count("node-2") >= 5
    assert [item["key"] for item in stage.store.get(NODES, "", "node-0")["spec"]["taints"]] == [
        "node.kubernetes.io/unschedulable"
    ]
    stage.store.mutate(NODES, "", "node-0", lambda obj: {**obj, "spec": {"taints": obj["spec"]["taints"]}})
    stage.advance(1)
    assert "taints" not in stage.store.get(NODES, "", "node-0")["spec"]
