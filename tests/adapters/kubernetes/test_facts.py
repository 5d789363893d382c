"""Facts: three kinds of workload, recorded on a real cluster, counted alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from remediator.adapters.kubernetes.facts import Found, newest_replica_set, newest_revision, pod_facts, workload_facts
from remediator.adapters.kubernetes.image import before_image
from remediator.adapters.kubernetes.marks import fence_of
from remediator.adapters.kubernetes.shapes import Meta, Pod, Revision, Workload
from remediator.model.errors import ClusterError
from remediator.model.facts import WorkloadFacts
from remediator.model.target import Kind
from tests.adapters.kubernetes.given import UID, deployment, owner, pod, replica_set

RECORDED = Path("tests/data/kubernetes-transcripts")


def recorded(name: str, kind: str) -> list[dict[str, Any]]:
    """Return every object of a kind that a recorded scenario answered with, in order."""
    entries = json.loads((RECORDED / f"{name}.json").read_text())
    bodies = [entry["response"]["body"] for entry in entries if entry["response"]["status"] == 200]
    return [body for body in bodies if isinstance(body, dict) and body.get("kind") == kind and body.get("status")]


def facts_of(document: dict[str, Any], kind: Kind = Kind.DEPLOYMENT) -> WorkloadFacts:
    """Return the facts of a document."""
    return workload_facts(Found(kind=kind, workload=msgspec.convert(document, Workload)))


def test_a_recorded_restart_is_rolling_and_then_rolled_out() -> None:
    """The status sequence of a real restart: complete, rolling for a while, complete again."""
    states = [(facts.rolled_out, facts.rolling) for facts in map(facts_of, recorded("03-restart", "Deployment"))]
    assert states[0] == (True, False)
    assert (False, True) in states
    assert states[-1] == (True, False)


def test_a_recorded_stuck_rollout_is_stuck() -> None:
    """ProgressDeadlineExceeded shows, and passes once the rollout is mended."""
    stuck = [facts.stuck for facts in map(facts_of, recorded("03-restart-stuck", "Deployment"))]
    assert True in stuck
    assert stuck[-1] is False


@pytest.mark.parametrize(("kind", "name"), [(Kind.STATEFULSET, "StatefulSet"), (Kind.DAEMONSET, "DaemonSet")])
def test_the_other_kinds_roll_out_too(kind: Kind, name: str) -> None:
    """A StatefulSet and a DaemonSet go through the same states under other field names."""
    every = [facts_of(document, kind) for document in recorded("19-statefulset-daemonset", name)]
    assert any(facts.rolled_out for facts in every)
    assert any(facts.rolling for facts in every)
    assert all(facts.replicas > 0 for facts in every)


def test_absent_counts_are_zero_and_absent_replicas_are_one() -> None:
    """Kubernetes leaves out zeros; spec.replicas it would default to one."""
    facts = facts_of({"metadata": {"name": "x", "uid": UID}, "spec": {}})
    assert (facts.replicas, facts.ready, facts.available, facts.updated, facts.current) == (1, 0, 0, 0, 0)
    zero = facts_of({"metadata": {"name": "x", "uid": UID}, "spec": {"replicas": 0}})
    assert (zero.replicas, zero.rolled_out) == (0, True)


def test_only_our_annotations_are_facts() -> None:
    """Other people's annotations may hold anything."""
    ours = {"remediator.io/opt-out": "true", "kubectl.kubernetes.io/restartedAt": "x", "secret": "s"}
    facts = facts_of(deployment(annotations=ours))
    assert set(facts.annotations) == {"remediator.io/opt-out", "kubectl.kubernetes.io/restartedAt"}


def test_a_partitioned_stateful_set_is_rolled_out_where_it_shall_be() -> None:
    """Pods below the partition are meant to stay old."""
    document = deployment()
    document["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    document["status"]["updatedReplicas"] = 1
    assert facts_of(document, Kind.STATEFULSET).rolled_out


def test_a_deleted_workload_says_so() -> None:
    """A deletionTimestamp means that there is nothing left to act on."""
    assert facts_of(deployment(deletionTimestamp="2026-11-23T10:00:00Z")).deleting


@pytest.mark.parametrize(
    ("app", "waiting", "last_exit"),
    [("pull", "ErrImagePull", ""), ("crash", "CrashLoopBackOff", "Error"), ("oom", "CrashLoopBackOff", "OOMKilled")],
)
def test_recorded_failing_pods_tell_why(app: str, waiting: str, last_exit: str) -> None:
    """The states that a real cluster showed for a pull error, a crash loop and an out-of-memory kill."""
    every = [pod_facts(msgspec.convert(body, Pod)) for body in recorded("09-pods-failing", "Pod")]
    mine = [facts for facts in every if facts.name.startswith(f"{app}-")]
    assert waiting in {facts.waiting for facts in mine}
    assert last_exit in {facts.last_exit for facts in mine}
    assert not any(facts.ready for facts in mine)


def test_a_pod_on_its_way_out_is_not_ready() -> None:
    """It keeps phase Running and its Ready condition: deletionTimestamp decides."""
    document = pod("backstage-1")
    document["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    facts = pod_facts(msgspec.convert(document, Pod))
    assert (facts.phase, facts.ready) == ("Terminating", False)


def test_an_init_container_that_succeeded_explains_nothing() -> None:
    """Exit 0 is no last exit, and ContainerCreating is shown only where nothing better is known."""
    done = {"name": "init", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    creating = {"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}}
    status = {"phase": "Pending", "initContainerStatuses": [done], "containerStatuses": [creating]}
    facts = pod_facts(msgspec.convert(pod("p", status=status), Pod))
    assert (facts.waiting, facts.last_exit) == ("ContainerCreating", "")


def test_the_newest_replica_set_is_ours_and_has_the_highest_revision() -> None:
    """Ten comes after nine, and another Deployment's ReplicaSets do not count."""
    sets = [
        replica_set("nine", uid="9", revision=9),
        replica_set("two", uid="2", revision=2),
        replica_set("alien", uid="a", revision=8, owner_uid="other"),
    ]
    rollout = newest_replica_set(UID, [msgspec.convert(item, Workload) for item in sets])
    assert rollout.revision == "9"
    assert rollout.started_at is not None
    assert newest_replica_set("nobody", []).started_at is None


def test_the_newest_controller_revision_counts_by_its_number() -> None:
    """A StatefulSet's revisions carry a number of their own."""
    items = [{"metadata": {"name": f"db-{n}", **owner("StatefulSet", "db", UID)}, "revision": n} for n in (1, 3, 2)]
    assert newest_revision(UID, [msgspec.convert(item, Revision) for item in items]).revision == "db-3"
    assert newest_revision("nobody", []).revision == ""


def test_the_before_image_can_undo_and_gives_nothing_away() -> None:
    """Replicas and template annotations are as they were; values of variables are digests; the rest is scrubbed."""
    document = deployment()
    document["spec"]["template"]["metadata"]["annotations"] = {
        "remediator.io/action": "f" * 64,
        "note": "password=hunter2x",
    }
    image = before_image(document, msgspec.convert(document["metadata"], Meta))
    assert (image.uid, image.resource_version, image.generation) == (UID, "100", 3)
    assert image.object["spec"]["replicas"] == 3
    assert image.object["spec"]["template"]["metadata"]["annotations"]["remediator.io/action"] == "f" * 64
    container = image.object["spec"]["template"]["spec"]["containers"][0]
    assert container["env"][0]["value"].startswith("sha256:")
    assert container["env"][1] == {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    assert container["image"] == "ghcr.io/backstage/backstage:1.30"
    assert "hunter2" not in str(image.object)
    assert "managedFields" not in str(image.object)
    assert image.object["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "4"}


def test_the_digest_of_a_variable_changes_with_its_value() -> None:
    """An image tells that a value changed, though not what it was."""
    first, second = deployment(), deployment()
    second["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "other"
    meta = msgspec.convert(first["metadata"], Meta)
    assert before_image(first, meta).object == before_image(deployment(), meta).object
    assert before_image(first, meta).object != before_image(second, meta).object


def test_an_object_without_a_template_has_an_image_too() -> None:
    """The image of a bare object is no error."""
    image = before_image({"metadata": {"name": "x"}}, Meta(name="x", uid="u"))
    assert image.object["spec"] == {}


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "", "9" * 20, "\u0661"])
def test_a_fence_that_is_no_number_stops_us(value: str) -> None:
    """Somebody wrote there: better no write than one that overtakes nothing."""
    with pytest.raises(ClusterError, match=r"remediator\.io/fence") as caught:
        fence_of({"remediator.io/fence": value})
    assert (caught.value.reason, caught.value.retryable) == ("bad_mark", False)


def test_a_fence_is_read() -> None:
    """None is zero."""
    assert (fence_of(None), fence_of({"remediator.io/fence": "12"})) == (0, 12)
