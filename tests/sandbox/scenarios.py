"""What each transcript needs beyond its entries, and which entries are left out, each with its reason."""

from __future__ import annotations

from collections.abc import Callable

from remediator.sandbox import pod_limits, scenario
from remediator.sandbox.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
)
from remediator.sandbox.store import changed
from tests.sandbox.replay import NAMESPACE, Json, Replay, Scenario, load, pod

PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
WRONG_UID = "00000000-0000-0000-0000-000000000000"


def deployment(replay: Replay, name: str = NAMESPACE) -> Json:
    """A Deployment as the store has it now."""
    return replay.server.store.get(DEPLOYMENTS, NAMESPACE, name)


def labelled(replay: Replay, **labels: str | None) -> None:
    """Set labels of the Deployment `backstage`, and take off those that are None."""
    current = deployment(replay)
    wanted = {**current["metadata"].get("labels", {}), **labels}
    kept = {key: value for key, value in wanted.items() if value is not None}
    replay.server.store.update(DEPLOYMENTS, changed(current, ("metadata", "labels"), kept))


def churned(replay: Replay, prefix: str, count: int) -> None:
    """Change one annotation of the Deployment `backstage` again and again."""
    for number in range(count):
        current = deployment(replay)
        annotations = {**current["metadata"].get("annotations", {}), "churn": f"{prefix}{number}"}
        replay.server.store.update(DEPLOYMENTS, changed(current, ("metadata", "annotations"), annotations))


def put_body(**metadata: str) -> Callable[[Replay], Json]:
    """The body of a PUT: the Deployment of now with some metadata of another kind."""

    def body(replay: Replay) -> Json:
        current = deployment(replay)
        spec = {**current["spec"], "revisionHistoryLimit": 9}
        return {**current, "metadata": {**current["metadata"], **metadata}, "spec": spec}

    return body


def replaced(replay: Replay) -> Json:
    """The body of the PUT that succeeds: the Deployment of now with another annotation in its template."""
    return changed(deployment(replay), ("spec", "template", "metadata", "annotations"), {"put": "yes"})


def big_map(size: int) -> Callable[[Replay], Json]:
    """A ConfigMap of that many bytes."""
    return lambda _: {"metadata": {"name": "big"}, "data": {"x": "x" * size}}


def long_note(_: Replay) -> Json:
    """An event whose note is too long."""
    event = dict(load("14-events.json")[5]["request"]["body"])
    return {**event, "metadata": {"name": "bad.3", "namespace": NAMESPACE}, "note": "x" * 1025}


def seeded_log_pods(replay: Replay) -> None:
    """The pods whose logs are read."""
    store = replay.server.store
    store.seed(PODS, [pod("backstage-5ffff656f7-spkfs", "backstage"), pod("pair-7748f4bd66-94mjb", "pair", "proxy")])


def seeded_by_watch(replay: Replay) -> None:
    """The two Deployments before the first page of 11-watch-expired: made, then marked by their controller."""
    entries = load("11-watch-expired.json")
    store = replay.server.store
    spec = load("11-watch-initial-events.json")[0]["response"]["body"]["items"][0]["spec"]
    pages = [entries[index]["response"]["body"]["items"][0]["metadata"] for index in (0, 6)]
    for metadata in pages:
        bare = {key: value for key, value in metadata.items() if key != "annotations"}
        store.seed(DEPLOYMENTS, [{"metadata": {**bare, "generation": 1}, "spec": spec}])
    for metadata in reversed(pages):
        marked = changed(deployment(replay, metadata["name"]), ("metadata", "annotations"), metadata["annotations"])
        store.seed(DEPLOYMENTS, [marked])
        replay.known[metadata["resourceVersion"]] = str(store.version)


def seeded_node(replay: Replay) -> None:
    """The node before it is cordoned."""
    node = load("14-endpoints-ingress-nodes.json")[10]["response"]["body"]
    replay.server.store.seed(NODES, [{**node, "spec": {**node["spec"], "unschedulable": False}}])


def tainted(replay: Replay) -> None:
    """The node controller has put its taint on the cordoned node."""
    store = replay.server.store
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-11-23T09:57:55Z"}
    store.mutate(NODES, "", "hollow-1", lambda node: changed(node, ("spec", "taints"), [taint]))


def kubelet_resized(replay: Replay) -> None:
    """The kubelet has taken the new resources."""
    replay.server.store.touch(PODS, NAMESPACE, "backstage-78875655b4-sjz6b")


def compacted_to_start(replay: Replay) -> None:
    """The cache goes back to the first page, no further."""
    replay.server.store.history.compact(3)


def churned_and_dropped(replay: Replay) -> None:
    """80 seconds and 400 changes later the cache has dropped the old version."""
    churned(replay, "b", 400)
    replay.server.store.history.compact(int(replay.known["325"]))
    replay.server.store.history.compact(int(replay.known["325"]) + 130)


def restarted(replay: Replay) -> None:
    """A restarted server knows no past."""
    replay.server.store.history.compact(replay.server.store.version)


def watched_changes(replay: Replay) -> None:
    """What 11-watch did to the Deployment between its first and second watch."""
    labelled(replay, tier="web")
    current = deployment(replay)
    replay.server.store.update(DEPLOYMENTS, changed(current, ("spec", "replicas"), 3))


def selected_and_not(replay: Replay) -> None:
    """A label put on, changed to another value and put back."""
    for value in ("web", "no", "web"):
        labelled(replay, selected=value)


def second_budget(replay: Replay) -> None:
    """A second budget over the same pods."""
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "backstage"}}}
    metadata = {"name": "second", "namespace": NAMESPACE, "generation": 1}
    replay.server.store.seed(DISRUPTION_BUDGETS, [{"metadata": metadata, "spec": budget, "status": {}}])


def unready_postgres(replay: Replay) -> None:
    """The pod of postgres is not ready any more."""
    store = replay.server.store
    item = next(item for item in store.list(PODS, NAMESPACE) if item["metadata"]["name"].startswith("postgres"))
    status = {**item["status"], "conditions": [{"type": "Ready", "status": "False"}]}
    store.update_status(PODS, NAMESPACE, item["metadata"]["name"], status)


def held_namespace(replay: Replay) -> None:
    """A finalizer on the namespace `warned`."""
    store = replay.server.store
    current = store.get(NAMESPACES, "", "warned")
    store.update(NAMESPACES, changed(current, ("metadata", "finalizers"), ["lab.example/hold"]))


def ended_pod(replay: Replay) -> None:
    """The kubelet has ended the pod."""
    replay.server.store.remove(PODS, NAMESPACE, "backstage-579bcf859d-xzsmt")


def made_again(replay: Replay) -> None:
    """The Deployment was made again before it is orphaned."""
    body = load("18-delete.json")[15]["response"]["body"]
    keep = {"uid", "name", "namespace", "labels", "annotations", "creationTimestamp"}
    metadata = {key: value for key, value in body["metadata"].items() if key in keep} | {"generation": 1}
    spec = load("18-delete.json")[0]["response"]["body"]["items"][0]["spec"]
    replay.server.store.seed(DEPLOYMENTS, [{"metadata": metadata, "spec": spec, "status": body["status"]}])


def collected(replay: Replay) -> None:
    """The garbage collector has taken the ReplicaSet of the first Deployment."""
    replay.server.store.remove(REPLICA_SETS, NAMESPACE, "backstage-579bcf859d")


def restarted_under_warning(replay: Replay) -> None:
    """The restart that a webhook only warned of took place."""
    recorded = load("22-admission.json")[5]["request"]["body"]["spec"]["template"]["metadata"]["annotations"]
    current = deployment(replay)
    template = ("spec", "template", "metadata", "annotations")
    replay.server.store.update(DEPLOYMENTS, changed(current, template, recorded))


def used_up(replay: Replay) -> None:
    """The ReplicaSet has made the third pod, and the quota's controller has counted it."""
    store = replay.server.store
    store.seed(PODS, [pod(f"backstage-{number}", NAMESPACE) for number in range(3)])
    quota = store.get(RESOURCE_QUOTAS, NAMESPACE, "pods")
    store.update_status(RESOURCE_QUOTAS, NAMESPACE, "pods", pod_limits.status_of(store, NAMESPACE, quota))


def limited(replay: Replay) -> None:
    """A LimitRange of 2Gi that was made without being recorded."""
    scenario.put(replay.server.store, [scenario.limit_range(NAMESPACE, "limits", max={"memory": "2Gi"})])


SCENARIOS: dict[str, Scenario] = {
    "01-discovery.json": Scenario(without_groups=("argoproj.io",)),
    "04-patch-preconditions.json": Scenario(
        bodies={33: put_body(resourceVersion="2"), 34: put_body(uid=WRONG_UID, resourceVersion=""), 36: replaced}
    ),
    "05-scale-quota.json": Scenario(before={11: used_up}),
    "09-pods.json": Scenario(also=(1,)),
    "09-pod-logs.json": Scenario(before={0: seeded_log_pods}),
    "10-eviction.json": Scenario(before={15: second_budget, 18: unready_postgres}),
    "11-watch-expired.json": Scenario(
        first=seeded_by_watch,
        before={
            4: lambda replay: churned(replay, "", 130),
            8: compacted_to_start,
            9: churned_and_dropped,
            11: restarted,
        },
    ),
    "11-watch-initial-events.json": Scenario(
        during={1: lambda replay: labelled(replay, tier="web")}, patience={1: "3"}
    ),
    "11-watch.json": Scenario(before={2: watched_changes}, during={2: selected_and_not}, accepts={7: PARTIAL}),
    "14-endpoints-ingress-nodes.json": Scenario(first=seeded_node, before={12: tainted}),
    "14-events.json": Scenario(bodies={10: long_note}),
    "15-podsecurity-namespaces.json": Scenario(before={15: held_namespace}),
    "17-malformed.json": Scenario(bodies={39: big_map(1_100_000), 40: big_map(3_200_000)}),
    "18-delete.json": Scenario(before={7: ended_pod, 15: made_again, 17: collected}),
    "19-statefulset-daemonset.json": Scenario(also=(13,)),
    "21-pod-resize.json": Scenario(also=(5,), before={4: kubelet_resized}),
    "22-admission.json": Scenario(before={7: restarted_under_warning, 13: limited}),
}


def _left_out(name: str, reason: str, *indexes: int) -> dict[tuple[str, int], str]:
    return {(name, index): reason for index in indexes}


LEFT_OUT: dict[tuple[str, int], str] = {
    **_left_out("14-metrics.json", "metrics.k8s.io is not served, so its server cannot be away", 8),
    **_left_out("15-podsecurity-namespaces.json", "PodSecurity is not enforced", 3, 5, 8, 9, 10, 11, 13),
    **_left_out("16-argocd-application.json", "applications are served from the start, not by a CRD", 1, 2, 3),
    **_left_out("17-too-many-requests.json", "priority and fairness: a fault for a middleware", 2, 3, 4, 5, 6, 7),
    **_left_out("20-configmap-secret-pvc.json", "storage classes are not served", 11, 12),
    **_left_out("22-admission.json", "admission webhooks: a fault for a middleware", 1, 2, 3, 4, 5, 6),
    **_left_out("23-timeouts.json", "a store that hangs: a fault for a middleware", 1, 2, 3, 5, 6, 8, 9, 11),
}
