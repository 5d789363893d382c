"""Deployments under virtual time: revisions, strategies, scaling amid a rollout, deadlines, and what is left behind."""

from __future__ import annotations

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.objects import annotations_of, condition_of
from remediator.sandbox.resources import DEPLOYMENTS, REPLICA_SETS
from remediator.sandbox.store import Deletion
from tests.sandbox.controllers.stage import SPACE, Stage, Trace


def settled(**fields: object) -> Stage:
    """Return a stage with a Deployment `backstage` of 4 replicas that has come to rest."""
    spec = dict(fields)
    stage = Stage(scenario.deployment(SPACE, "backstage", replicas=4, spec=spec))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    return stage


def test_a_new_deployment_becomes_available() -> None:
    """Its pods are made, and the events tell how it was scaled."""
    stage = settled()
    assert len(stage.pods()) == 4
    assert stage.reasons("Deployment") == ["ScalingReplicaSet"]
    assert annotations_of(stage.deployment())["deployment.kubernetes.io/revision"] == "1"
    assert stage.deployment()["metadata"]["generation"] == 1


def test_recreate_ends_all_old_pods_before_a_new_one_begins() -> None:
    """With Recreate, old and new pods are never there together."""
    stage = settled(strategy={"type": "Recreate"})
    old = {pod["metadata"]["uid"] for pod in stage.pods()}
    together: list[set[str]] = []

    def note(_: object) -> None:
        uids = {pod["metadata"]["uid"] for pod in stage.pods(going=True)}
        if uids & old and uids - old:
            together.append(uids)

    stage.store.listen(note)
    stage.restart(DEPLOYMENTS, "backstage")
    stage.until(lambda: is_rolled_out(stage.deployment()))
    assert together == []
    assert not old & {pod["metadata"]["uid"] for pod in stage.pods()}


def test_a_scale_amid_a_rollout_is_shared_among_the_replica_sets() -> None:
    """Scaled while two ReplicaSets are up: both grow, and the sum is what is wanted plus the surge."""
    stage = settled(strategy={"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 2}})
    stage.template(DEPLOYMENTS, "backstage", {"sandbox.remediator.io/behaviour": "unready"})
    stage.advance(5)
    assert [item["spec"]["replicas"] for item in stage.sets()] == [2, 4]
    stage.spec(DEPLOYMENTS, "backstage", replicas=10)
    stage.advance(5)
    assert [item["spec"]["replicas"] for item in stage.sets()] == [4, 8]


def test_a_progress_deadline_passes_ten_times_as_fast_at_speed_ten() -> None:
    """Stuck for progressDeadlineSeconds / speed: ProgressDeadlineExceeded, the old pods still serve."""
    manifest = scenario.deployment(SPACE, "backstage", replicas=2, spec={"progressDeadlineSeconds": 60})
    stage = Stage(manifest, pace=Pace(speed=10))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.template(DEPLOYMENTS, "backstage", {"sandbox.remediator.io/behaviour": "image-pull"})

    def reason() -> str:
        condition = condition_of(stage.deployment()["status"], "Progressing")
        return str(condition and condition["reason"])

    stage.advance(5)
    assert reason() == "ReplicaSetUpdated"
    stage.advance(2)
    assert reason() == "ProgressDeadlineExceeded"
    assert stage.status(DEPLOYMENTS, "backstage")["availableReplicas"] == 2


def test_pods_are_available_only_after_min_ready_seconds() -> None:
    """Ready at once, available later."""
    stage = Stage(scenario.deployment(SPACE, "backstage", spec={"minReadySeconds": 10}))
    stage.advance(5)
    status = stage.status(DEPLOYMENTS, "backstage")
    assert (status["readyReplicas"], status.get("availableReplicas")) == (1, None)
    stage.advance(6)
    assert stage.status(DEPLOYMENTS, "backstage")["availableReplicas"] == 1


def test_old_revisions_beyond_the_limit_are_deleted() -> None:
    """As many ReplicaSets of the past are kept as revisionHistoryLimit says, the newest of them."""
    stage = settled(revisionHistoryLimit=2)
    for number in range(4):
        stage.restart(DEPLOYMENTS, "backstage", f"2026-01-01T00:00:0{number}Z")
        stage.until(lambda: is_rolled_out(stage.deployment()))
    revisions = [annotations_of(item)["deployment.kubernetes.io/revision"] for item in stage.sets()]
    assert revisions == ["3", "4", "5"]


def test_without_a_deadline_there_is_no_progressing_condition() -> None:
    """The largest number stands for none, as on a real cluster."""
    stage = settled(progressDeadlineSeconds=2**31 - 1)
    assert [item["type"] for item in stage.status(DEPLOYMENTS, "backstage")["conditions"]] == ["Available"]


def test_an_orphaned_replica_set_is_adopted_again() -> None:
    """A Deployment made anew takes over the ReplicaSet of its template that an orphaning left, and its pods."""
    stage = settled()
    only, pods = stage.sets()[0], {pod["metadata"]["uid"] for pod in stage.pods()}
    stage.store.delete(DEPLOYMENTS, SPACE, "backstage", Deletion(propagation="Orphan"))
    stage.advance(5)
    assert "ownerReferences" not in stage.sets()[0]["metadata"]
    stage.put(scenario.deployment(SPACE, "backstage", replicas=4))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    assert stage.sets()[0]["metadata"]["uid"] == only["metadata"]["uid"]
    assert stage.sets()[0]["metadata"]["ownerReferences"][0]["uid"] == stage.deployment()["metadata"]["uid"]
    assert {pod["metadata"]["uid"] for pod in stage.pods()} == pods


def test_a_name_that_is_taken_by_another_is_avoided() -> None:
    """A ReplicaSet of another owner under the same name: the collision count salts the hash."""
    stage = settled()
    name = stage.sets()[0]["metadata"]["name"]
    stage.store.mutate(
        REPLICA_SETS,
        SPACE,
        name,
        lambda obj: {
            **obj,
            "metadata": {
                **obj["metadata"],
                "ownerReferences": [{**obj["metadata"]["ownerReferences"][0], "uid": "another"}],
            },
        },
    )
    stage.advance(30)
    assert stage.status(DEPLOYMENTS, "backstage")["collisionCount"] == 1
    assert is_rolled_out(stage.deployment())


def test_a_restart_that_changes_nothing_rolls_nothing() -> None:
    """The same template again is no rollout: not one status is written."""
    stage = settled()
    stage.restart(DEPLOYMENTS, "backstage")
    stage.advance(30)
    trace = Trace(stage.store, DEPLOYMENTS, "backstage", lambda obj: dict(obj["status"]))
    stage.restart(DEPLOYMENTS, "backstage")
    stage.advance(30)
    assert len(trace.phases) == 1


def test_a_settled_cluster_stands_still() -> None:
    """Once all is well nothing is written any more, however long one waits."""
    stage = settled()
    before = stage.store.version
    stage.advance(3600)
    assert stage.store.version == before
