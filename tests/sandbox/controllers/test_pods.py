"""Pods under virtual time: scheduling, readiness, crash loops, and what cures them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from remediator.sandbox.controllers.objects import condition_of, is_ready
from remediator.sandbox.resources import DEPLOYMENTS, EVENTS, NODES, PODS
from tests.sandbox.controllers.stage import SPACE, Stage

Json = dict[str, Any]


def staged(behaviour: str, *, replicas: int = 1, timing: dict[str, str] | None = None, image: str = "") -> Stage:
    """Return a stage with a Deployment `backstage` whose template asks for a behaviour."""
    pods = scenario.template("backstage", behaviour=behaviour, timing=timing, image=image)
    return Stage(scenario.deployment(SPACE, "backstage", replicas=replicas, pods=pods))


def container(stage: Stage) -> Json:
    """Return the container status of the first pod."""
    return dict(stage.pods()[0]["status"]["containerStatuses"][0])


def events(stage: Stage, reason: str) -> list[Json]:
    """Return the events of one reason."""
    return [event for event in stage.store.list(EVENTS, SPACE) if event["reason"] == reason]


def test_a_healthy_pod_goes_from_pending_to_ready() -> None:
    """No node, then creating, then running, then ready, each at its time."""
    stage = staged("healthy", timing={"run-after": "1s", "ready-after": "2s"})
    stage.advance(0)
    assert (stage.pods()[0]["status"]["phase"], stage.pods()[0]["spec"].get("nodeName")) == ("Pending", None)
    stage.advance(0.5)
    assert container(stage)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    stage.advance(1)
    assert ("running" in container(stage)["state"], is_ready(stage.pods()[0])) == (True, False)
    stage.advance(2)
    assert is_ready(stage.pods()[0])
    assert stage.reasons("Pod") == ["Scheduled", "Pulled", "Created", "Started"]


def test_a_crash_loop_grows_slower_and_is_counted() -> None:
    """Exit, back-off, start again: restarts are counted, waits double up to the limit, events have a count."""
    stage = staged("crash", timing={"back-off": "1s", "back-off-limit": "4s", "exit-code": "3"})
    starts: list[float] = []

    def note(change: Any) -> None:
        if change.resource == PODS and change.previous is not None:
            old = [item["restartCount"] for item in change.previous["status"].get("containerStatuses") or ()]
            new = [item["restartCount"] for item in change.object["status"].get("containerStatuses") or ()]
            if old and old != new:
                starts.append(stage.store.clock.monotonic())

    stage.store.listen(note)
    stage.advance(30)
    gaps = [round(later - sooner, 1) for sooner, later in itertools.pairwise(starts)]
    assert gaps[:4] == [2.3, 4.3, 4.3, 4.3]
    stage.until(lambda: "waiting" in container(stage)["state"])
    status = container(stage)
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == len(starts)
    assert stage.pods()[0]["status"]["phase"] == "Running"
    assert [event["count"] for event in events(stage, "BackOff")] == [len(starts) + 1]


def test_a_container_shows_its_end_before_it_waits() -> None:
    """Between the crash and the back-off stands `terminated`, as a real kubelet shows it."""
    stage = staged("crash")
    stage.until(lambda: bool(stage.pods()) and "terminated" in (container_state(stage)))
    assert container_state(stage)["terminated"]["reason"] == "Error"


def container_state(stage: Stage) -> Json:
    """Return the state of the first container, empty before there is one."""
    statuses = stage.pods()[0]["status"].get("containerStatuses") or [{"state": {}}]
    return dict(statuses[0]["state"])


def test_out_of_memory_is_told_apart() -> None:
    """OOMKilled, with exit code 137."""
    stage = staged("oom")
    stage.advance(10)
    ended = container(stage)["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


@pytest.mark.parametrize(
    ("behaviour", "image"),
    [("image-pull", ""), ("healthy", "registry.invalid/no/such:image"), ("crash-loop", "r.invalid:5000/x")],
)
def test_an_image_that_cannot_be_pulled_leaves_the_pod_pending(behaviour: str, image: str) -> None:
    """ErrImagePull, then ImagePullBackOff; the pod stays Pending and has no run to speak of."""
    stage = staged(behaviour, image=image)
    stage.advance(10)
    assert stage.pods()[0]["status"]["phase"] == "Pending"
    assert container(stage)["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert container(stage)["restartCount"] == 0
    assert events(stage, "BackOff")[0]["type"] == "Warning"


def test_an_unready_pod_runs_and_never_serves() -> None:
    """Running, not ready, with the words of a failing probe."""
    stage = staged("unready")
    stage.advance(30)
    assert ("running" in container(stage)["state"], is_ready(stage.pods()[0])) == (True, False)
    assert events(stage, "Unhealthy")


def test_an_unschedulable_pod_says_why_and_is_bound_once_it_may() -> None:
    """PodScheduled is False with the scheduler's reason; without the annotation it finds a node."""
    manifest = scenario.deployment(SPACE, "backstage")
    stage = Stage({**manifest, "metadata": {**manifest["metadata"], "annotations": {BEHAVIOUR: "unschedulable"}}})
    stage.advance(5)
    condition = condition_of(stage.pods()[0]["status"], "PodScheduled")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
    assert "containerStatuses" not in stage.pods()[0]["status"]
    stage.annotate(DEPLOYMENTS, "backstage", {BEHAVIOUR: "healthy"})
    stage.until(lambda: is_rolled_out(stage.deployment()))


def test_room_on_a_node_is_counted() -> None:
    """Pods beyond the room of all nodes wait, and are bound as soon as a pod goes."""
    stage = Stage(scenario.deployment(SPACE, "backstage", replicas=2), scenario.node("small", pods=1), nodes=0)
    stage.advance(5)
    assert len([pod for pod in stage.pods() if pod["spec"].get("nodeName")]) == 1
    stage.put(scenario.node("other", pods=1))
    stage.until(lambda: is_rolled_out(stage.deployment()))


def test_room_is_given_back() -> None:
    """A pod that waits is bound once another one has left its node."""
    stage = Stage(scenario.deployment(SPACE, "backstage"), scenario.node("small", pods=1), nodes=0)
    stage.advance(5)
    stage.put(scenario.deployment(SPACE, "other"))
    stage.advance(5)
    assert not is_rolled_out(stage.deployment("other"))
    stage.store.delete(DEPLOYMENTS, SPACE, "backstage")
    stage.until(lambda: is_rolled_out(stage.deployment("other")))


def test_a_pod_that_goes_before_it_is_ready_still_gets_its_time() -> None:
    """The moment at which it would have been ready neither ends it nor makes it forget its end."""
    stage = staged("healthy", timing={"ready-after": "1s", "terminate-after": "5s"})
    stage.advance(0.5)
    name = stage.pods()[0]["metadata"]["name"]
    stage.store.delete(PODS, SPACE, name)
    stage.advance(4)
    assert stage.store.find(PODS, SPACE, name) is not None
    stage.advance(2)
    assert stage.store.find(PODS, SPACE, name) is None


@pytest.mark.parametrize(
    ("behaviour", "cured_by_restart"),
    [
        ("crash-until-restarted", True),
        ("unready-until-restarted", True),
        ("oom-until-restarted", True),
        ("crash", False),
    ],
)
def test_a_restart_cures_what_it_should(behaviour: str, cured_by_restart: bool) -> None:
    """A rollout restart helps where the behaviour says so, and only there."""
    stage = staged(behaviour, replicas=3)
    stage.advance(20)
    assert not any(is_ready(pod) for pod in stage.pods())
    stage.restart(DEPLOYMENTS, "backstage")
    stage.advance(40)
    assert is_rolled_out(stage.deployment()) == cured_by_restart


def test_a_running_workload_falls_ill_and_a_restart_cures_it() -> None:
    """An annotation on the Deployment itself makes ready pods crash, without a rollout; pods of a restart are well."""
    stage = staged("healthy", replicas=3)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    before = {pod["metadata"]["uid"] for pod in stage.pods()}
    stage.annotate(DEPLOYMENTS, "backstage", {BEHAVIOUR: "crash-until-restarted"})
    stage.advance(5)
    assert {pod["metadata"]["uid"] for pod in stage.pods()} == before
    assert not any(is_ready(pod) for pod in stage.pods())
    stage.restart(DEPLOYMENTS, "backstage")
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.advance(60)
    assert is_rolled_out(stage.deployment())
    assert not before & {pod["metadata"]["uid"] for pod in stage.pods()}


def test_a_change_of_the_sandbox_annotations_alone_cures_nothing() -> None:
    """A rollout that changes only how fast pods get ready is no restart."""
    stage = staged("crash-until-restarted")
    stage.advance(5)
    stage.template(DEPLOYMENTS, "backstage", {"sandbox.remediator.io/ready-after": "1s"})
    stage.advance(30)
    assert not is_rolled_out(stage.deployment())


def test_enough_replicas_cure_an_overloaded_workload() -> None:
    """Fewer than N replicas crash, a restart does not help, N do: those that waited get well at their next start."""
    stage = staged("crash-until-scaled:3")
    stage.advance(10)
    stage.restart(DEPLOYMENTS, "backstage")
    stage.advance(20)
    assert not any(is_ready(pod) for pod in stage.pods())
    stage.spec(DEPLOYMENTS, "backstage", replicas=3)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.spec(DEPLOYMENTS, "backstage", replicas=1)
    stage.advance(10)
    assert not any(is_ready(pod) for pod in stage.pods())


def test_a_value_that_cannot_be_read_is_told() -> None:
    """The pod runs, and a Warning event names the annotation and what it takes."""
    stage = staged("crush", timing={"ready-after": "soon"})
    stage.until(lambda: is_rolled_out(stage.deployment()))
    messages = " ".join(event["message"] for event in events(stage, "BadAnnotation"))
    assert "behaviour: 'crush' is not known" in messages
    assert "ready-after: 'soon' is no duration" in messages


def test_a_pod_that_goes_keeps_running_for_a_while() -> None:
    """A deletion gives the pod its time, its replacement comes at once, and its log goes with it."""
    stage = staged("healthy", timing={"terminate-after": "3s"})
    stage.until(lambda: is_rolled_out(stage.deployment()))
    pod = stage.pods()[0]
    stage.store.delete(PODS, SPACE, pod["metadata"]["name"])
    stage.advance(2)
    going = stage.get(PODS, pod["metadata"]["name"])
    assert (going["status"]["phase"], "deletionTimestamp" in going["metadata"]) == ("Running", True)
    assert len(stage.pods()) == 1
    assert stage.status(DEPLOYMENTS, "backstage")["terminatingReplicas"] == 1
    stage.advance(2)
    assert stage.store.find(PODS, SPACE, pod["metadata"]["name"]) is None
    assert stage.simulation.logs.read(pod["metadata"]["uid"], "backstage") is None


def test_the_log_of_the_run_before_is_kept() -> None:
    """After a crash the present run has begun anew and the one before can still be read."""
    stage = staged("crash", timing={"log": "ERROR [{}] out of connections"})
    stage.advance(3)
    pod = stage.pods()[0]
    uid = pod["metadata"]["uid"]
    before = [line.text for line in stage.simulation.logs.lines(pod, "backstage", previous=True)]
    assert before[1:] == ["ERROR [backstage] out of connections", "FATAL [backstage] exiting: error code 1"]
    now = stage.simulation.logs.read(uid, "backstage")
    assert now is not None
    assert now[0].text.endswith("restart 1")


def test_pods_of_a_node_that_is_down_are_not_ready() -> None:
    """A node made not ready gets its taints and condition; its pods serve again once it is back."""
    stage = Stage(scenario.deployment(SPACE, "backstage", replicas=2), nodes=1)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    name = "node-0"
    stage.store.mutate(
        NODES,
        "",
        name,
        lambda obj: {
            **obj,
            "metadata": {**obj["metadata"], "annotations": {"sandbox.remediator.io/node": "not-ready, disk-pressure"}},
        },
    )
    stage.advance(5)
    node = stage.store.get(NODES, "", name)
    conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
    assert conditions == {"Ready": "False", "MemoryPressure": "False", "DiskPressure": "True", "PIDPressure": "False"}
    assert len(node["spec"]["taints"]) == 3
    assert not any(is_ready(pod) for pod in stage.pods())
    stage.store.mutate(NODES, "", name, lambda obj: {**obj, "metadata": {**obj["metadata"], "annotations": {}}})
    stage.until(lambda: is_rolled_out(stage.deployment()))
    assert "taints" not in stage.store.get(NODES, "", name)["spec"]
