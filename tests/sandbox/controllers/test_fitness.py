"""Which node takes which pod, what is remembered of events, and what a full quota does to every kind of workload."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.sandbox import scenario
from remediator.sandbox.clock import RandomIds, VirtualClock
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.node_fitness import Load, is_up, refusal
from remediator.sandbox.controllers.recorder import Happening, Recorder, Source
from remediator.sandbox.resources import DAEMON_SETS, DEPLOYMENTS, EVENTS, PODS, RESOURCE_QUOTAS, STATEFUL_SETS
from remediator.sandbox.store import Store
from tests.sandbox.controllers.stage import SPACE, Stage

Json = dict[str, Any]


def pod(**spec: Any) -> Json:
    """Return a pod that asks for 100m CPU and 256Mi of memory, with more in its spec."""
    template = scenario.template("web")
    return {"metadata": {"name": "web", "namespace": SPACE}, "spec": {**template["spec"], **spec}}


def affinity(operator: str, values: list[str], key: str = "kubernetes.io/hostname") -> Json:
    """Return a required node affinity of one expression."""
    expression = {"key": key, "operator": operator, "values": values}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def tainted(**taint: str) -> Json:
    """Return a node with one taint."""
    return {**scenario.node("one"), "spec": {"taints": [taint]}}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, True),
        ({"nodeSelector": {"kubernetes.io/os": "plan9"}}, False),
        ({"affinity": affinity("In", ["one", "two"])}, True),
        ({"affinity": affinity("NotIn", ["one"])}, False),
        ({"affinity": affinity("Exists", [])}, True),
        ({"affinity": affinity("DoesNotExist", [])}, False),
        ({"affinity": affinity("DoesNotExist", [], "gpu")}, True),
        ({"affinity": affinity("Gt", ["1"])}, False),
    ],
)
def test_selectors_choose_nodes(spec: Json, fits: bool) -> None:
    """A nodeSelector and every operator of a required affinity; what is not known matches nothing."""
    why = refusal(scenario.node("one"), Load(), pod(**spec))
    assert (why is None) == fits, why


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "dedicated", "value": "db"}, True),
        ({"key": "dedicated", "value": "web"}, False),
    ],
)
def test_taints_keep_pods_away(toleration: Json, fits: bool) -> None:
    """A taint is borne by a toleration of its key, value and effect; PreferNoSchedule keeps nobody away."""
    spec = {"tolerations": [toleration]} if toleration else {}
    assert (refusal(tainted(key="dedicated", value="db", effect="NoSchedule"), Load(), pod(**spec)) is None) == fits
    assert refusal(tainted(key="dedicated", value="db", effect="PreferNoSchedule"), Load(), pod()) is None


def test_room_runs_out() -> None:
    """Pods, CPU and memory are limits, each with its word; a cordoned node takes nobody."""
    load = Load()
    for _ in range(10):
        load.add(pod())
    assert refusal(scenario.node("one", pods=10), load, pod()) == "Too many pods"
    assert refusal(scenario.node("one", cpu=1), load, pod()) == "Insufficient cpu"
    assert refusal(scenario.node("one", memory="2816Mi"), load, pod()) is None
    assert refusal(scenario.node("one", memory="2815Mi"), load, pod()) == "Insufficient memory"
    load.add(pod(), -1)
    assert refusal(scenario.node("one", pods=10), load, pod()) is None
    cordoned = {**scenario.node("one"), "spec": {"unschedulable": True}}
    assert refusal(cordoned, Load(), pod()) == "node(s) were unschedulable"
    assert not is_up(None)


def test_events_are_bounded() -> None:
    """The same message is counted on one object; beyond the limit the oldest events are deleted."""
    store = Store(clock=VirtualClock(), ids=RandomIds(1))
    recorder = Recorder(store, kept=2)
    about = store.create(PODS, {"apiVersion": "v1", "kind": "Pod", **pod()})
    for message in ("one", "two", "two", "three"):
        recorder.record(Source(component="test"), about, Happening(reason="Tried", message=message))
    assert sorted((event["message"], event["count"]) for event in store.list(EVENTS)) == [("three", 1), ("two", 2)]


@pytest.mark.parametrize(
    ("resource", "manifest"),
    [
        (DEPLOYMENTS, scenario.deployment(SPACE, "web", replicas=3)),
        (STATEFUL_SETS, scenario.stateful_set(SPACE, "web", replicas=3)),
        (DAEMON_SETS, scenario.daemon_set(SPACE, "web")),
    ],
)
def test_every_workload_tries_again_under_a_full_quota(resource: Any, manifest: Json) -> None:
    """Held at two pods with an event that says why, and whole once there is room."""
    stage = Stage(scenario.pod_quota(SPACE, "pods", 2), manifest)
    stage.advance(10)
    assert len(stage.pods("web")) == 2
    assert any("exceeded quota: pods" in event["message"] for event in stage.store.list(EVENTS, SPACE))
    stage.spec(RESOURCE_QUOTAS, "pods", hard={"pods": "9"})
    stage.until(lambda: is_rolled_out(stage.get(resource, "web")))


def test_a_bare_pod_runs_and_is_not_replaced() -> None:
    """Without an owner a pod lives once, and its own annotations count."""
    stage = Stage()
    bare = {"apiVersion": "v1", "kind": "Pod", **pod()}
    bare["metadata"] = {**bare["metadata"], "labels": {"app": "web"}}
    stage.put(bare, scenario.budget(SPACE, "web"))
    stage.advance(5)
    assert stage.get(PODS, "web")["status"]["phase"] == "Running"
    stage.store.delete(PODS, SPACE, "web")
    stage.advance(5)
    assert stage.pods("web", going=True) == []


def test_pods_of_a_daemon_set_with_on_delete_stay() -> None:
    """With OnDelete a restart of a DaemonSet touches nothing; a second pod on a node is ended."""
    stage = Stage(scenario.daemon_set(SPACE, "web", spec={"updateStrategy": {"type": "OnDelete"}}))
    stage.until(lambda: is_rolled_out(stage.get(DAEMON_SETS, "web")))
    before = {item["metadata"]["uid"] for item in stage.pods("web")}
    stage.restart(DAEMON_SETS, "web")
    stage.advance(10)
    assert {item["metadata"]["uid"] for item in stage.pods("web")} == before
    first = stage.pods("web")[0]
    twin = {**first, "metadata": {**first["metadata"], "name": "web-twin"}}
    stage.store.create(PODS, twin)
    stage.advance(10)
    assert len(stage.pods("web")) == 3
