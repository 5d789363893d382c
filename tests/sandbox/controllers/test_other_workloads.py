"""StatefulSets and DaemonSets under virtual time: order, partitions, revisions, nodes."""

from __future__ import annotations

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.behaviour import BEHAVIOUR
from remediator.sandbox.controllers.history import revision_name
from remediator.sandbox.controllers.objects import is_ready
from remediator.sandbox.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, STATEFUL_SETS
from tests.sandbox.controllers.stage import SPACE, Stage


def database(replicas: int = 3, **spec: object) -> Stage:
    """Return a stage with a StatefulSet `db` that has come to rest."""
    stage = Stage(scenario.stateful_set(SPACE, "db", replicas=replicas, spec=dict(spec)))
    stage.until(lambda: is_rolled_out(stage.get(STATEFUL_SETS, "db")))
    return stage


def names(stage: Stage, app: str) -> list[str]:
    """Return the names of the pods that are not going."""
    return [pod["metadata"]["name"] for pod in stage.pods(app)]


def test_ordinals_come_one_after_the_other() -> None:
    """A pod is made when the one before it is ready; down again from the last."""
    stage = Stage(scenario.stateful_set(SPACE, "db", replicas=3))
    counts: list[tuple[int, int]] = []

    def note(_: object) -> None:
        pods = stage.pods("db")
        counts.append((len(pods), sum(1 for pod in pods if is_ready(pod))))

    stage.store.listen(note)
    stage.until(lambda: is_rolled_out(stage.get(STATEFUL_SETS, "db")))
    assert all(ready >= made - 1 for made, ready in counts)
    assert names(stage, "db") == ["db-0", "db-1", "db-2"]
    stage.spec(STATEFUL_SETS, "db", replicas=1)
    stage.until(lambda: is_rolled_out(stage.get(STATEFUL_SETS, "db")))
    assert names(stage, "db") == ["db-0"]


def test_a_partition_keeps_the_first_ordinals_as_they_are() -> None:
    """Only ordinals from the partition on get the new revision, also when a lower one is made anew."""
    stage = database(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    old = stage.status(STATEFUL_SETS, "db")["currentRevision"]
    stage.restart(STATEFUL_SETS, "db")
    stage.advance(20)
    assert [revision_name(pod) == old for pod in stage.pods("db")] == [True, True, False]
    for name in ("db-0", "db-1"):
        stage.store.delete(PODS, SPACE, name)
        stage.advance(20)
        assert [revision_name(pod) == old for pod in stage.pods("db")] == [True, True, False]
    assert stage.status(STATEFUL_SETS, "db")["currentRevision"] == old


def test_a_lost_pod_comes_back_as_it_was_while_an_update_is_under_way() -> None:
    """The update has reached the last ordinal and hangs there: a first one that is lost is made of the old revision."""
    stage = database()
    old = stage.status(STATEFUL_SETS, "db")["currentRevision"]
    stage.template(STATEFUL_SETS, "db", {BEHAVIOUR: "unready"})
    stage.advance(10)
    stage.store.delete(PODS, SPACE, "db-0")
    stage.advance(10)
    assert [(revision_name(pod) == old, is_ready(pod)) for pod in stage.pods("db")] == [
        (True, True),
        (True, True),
        (False, False),
    ]


def test_on_delete_updates_only_what_is_deleted() -> None:
    """With OnDelete a restart touches nothing."""
    stage = database(updateStrategy={"type": "OnDelete"})
    before = {pod["metadata"]["uid"] for pod in stage.pods("db")}
    stage.restart(STATEFUL_SETS, "db")
    stage.advance(20)
    assert {pod["metadata"]["uid"] for pod in stage.pods("db")} == before


def test_an_undo_numbers_the_old_revision_anew() -> None:
    """The template of before is the same ControllerRevision with a higher number."""
    stage = database(1)
    first = stage.status(STATEFUL_SETS, "db")["updateRevision"]
    stage.restart(STATEFUL_SETS, "db")
    stage.advance(20)
    stage.template(STATEFUL_SETS, "db", {"kubectl.kubernetes.io/restartedAt": None})
    stage.advance(20)
    assert stage.status(STATEFUL_SETS, "db")["currentRevision"] == first
    numbers = {item["metadata"]["name"]: item["revision"] for item in stage.store.list(CONTROLLER_REVISIONS, SPACE)}
    assert numbers[first] == 3
    assert len(numbers) == 2


def test_a_restart_does_not_reach_an_ordered_set_whose_pod_crashes() -> None:
    """As on a real cluster: OrderedReady waits for the broken pod, Parallel replaces it."""
    for policy, cured in (("OrderedReady", False), ("Parallel", True)):
        stage = database(2, podManagementPolicy=policy)
        stage.annotate(STATEFUL_SETS, "db", {BEHAVIOUR: "crash-until-restarted"})
        stage.advance(5)
        stage.restart(STATEFUL_SETS, "db")
        stage.advance(60)
        assert is_rolled_out(stage.get(STATEFUL_SETS, "db")) == cured, policy


def test_revisions_beyond_the_limit_are_forgotten() -> None:
    """As many old ControllerRevisions stay as revisionHistoryLimit says."""
    stage = database(1, revisionHistoryLimit=1)
    for number in range(4):
        stage.restart(STATEFUL_SETS, "db", f"2026-01-01T00:00:0{number}Z")
        stage.advance(20)
    assert sorted(item["revision"] for item in stage.store.list(CONTROLLER_REVISIONS, SPACE)) == [4, 5]


def agent(**spec: object) -> Stage:
    """Return a stage with a DaemonSet `agent` that has come to rest."""
    stage = Stage(scenario.daemon_set(SPACE, "agent", spec=dict(spec)))
    stage.until(lambda: stage.status(DAEMON_SETS, "agent").get("numberAvailable") == 3)
    return stage


def test_every_node_gets_one_pod() -> None:
    """Three nodes, three pods; a node that comes gets one, a node that is cordoned keeps its own."""
    stage = agent()
    assert sorted(pod["spec"]["nodeName"] for pod in stage.pods("agent")) == ["node-0", "node-1", "node-2"]
    stage.put(scenario.node("late"))
    stage.store.mutate(NODES, "", "node-0", lambda obj: {**obj, "spec": {"unschedulable": True}})
    stage.advance(10)
    assert sorted(pod["spec"]["nodeName"] for pod in stage.pods("agent")) == ["late", "node-0", "node-1", "node-2"]


def test_a_daemon_set_follows_its_node_selector() -> None:
    """Pods on nodes that no longer match are ended."""
    stage = agent()
    template = stage.get(DAEMON_SETS, "agent")["spec"]["template"]
    chosen = {**template["spec"], "nodeSelector": {"kubernetes.io/hostname": "node-1"}}
    stage.spec(DAEMON_SETS, "agent", template={**template, "spec": chosen})
    stage.advance(20)
    assert [pod["spec"]["nodeName"] for pod in stage.pods("agent")] == ["node-1"]
    assert stage.status(DAEMON_SETS, "agent")["desiredNumberScheduled"] == 1


def test_a_daemon_set_rolls_as_many_as_may_be_missing() -> None:
    """Never more than maxUnavailable pods are missing during a healthy rollout."""
    stage = agent(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}})
    lowest: list[int] = []
    stage.store.listen(lambda _: lowest.append(sum(1 for pod in stage.pods("agent") if is_ready(pod))))
    stage.restart(DAEMON_SETS, "agent")
    stage.until(lambda: is_rolled_out(stage.get(DAEMON_SETS, "agent")))
    assert min(lowest) == 1


def test_a_broken_daemon_is_replaced_first() -> None:
    """Old pods that are down cost nothing: a restart that cures them reaches all of them."""
    stage = agent()
    stage.annotate(DAEMON_SETS, "agent", {BEHAVIOUR: "crash-until-restarted"})
    stage.advance(5)
    assert stage.status(DAEMON_SETS, "agent").get("numberAvailable") is None
    stage.restart(DAEMON_SETS, "agent")
    stage.until(lambda: is_rolled_out(stage.get(DAEMON_SETS, "agent")))
