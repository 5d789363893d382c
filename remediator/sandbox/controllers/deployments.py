"""The Deployment controller: rolls ReplicaSets over, keeps revisions, scales, pauses, and tells how it goes."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers import deployment_status as told
from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.deployment_status import PROGRESSING, Sets
from remediator.sandbox.controllers.objects import (
    annotations_of,
    condition_of,
    is_active,
    is_going,
    key_of,
    sum_of,
    with_condition,
)
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.revision_sets import (
    DESIRED,
    MAXIMUM,
    REVISION,
    RevisionSets,
    revision_of,
)
from remediator.sandbox.controllers.rolling import Size, new_size, old_sizes, proportional
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Json
from remediator.sandbox.store import Deletion

_SOURCE = Source(component="deployment-controller")
_JUST_AFTER = 0.01


class DeploymentController:
    """Brings Deployments to what they ask for."""

    watches = (DEPLOYMENTS, REPLICA_SETS, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._revisions = RevisionSets(world)

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a Deployment that changed, or the one whose ReplicaSet did; a pod's end matters to Recreate only."""
        if change.resource == DEPLOYMENTS:
            yield change.namespace, change.name
        elif change.resource == REPLICA_SETS:
            yield from self._world.owner_key(change.object, "Deployment")
        elif change.kind == "DELETED":
            workload = self._world.workload_of(change.object)
            if workload is not None and workload["kind"] == "Deployment" and _recreates(workload):
                yield key_of(workload)

    def reconcile(self, key: Key) -> None:
        """Take the next step of one Deployment."""
        deployment = self._world.store.find(DEPLOYMENTS, *key)
        if deployment is None:
            return
        if is_going(deployment):
            self._tell(deployment, self._revisions.of(deployment), rollout=False)
            return
        deployment = self._note_pause(deployment)
        sets = self._revisions.of(deployment)
        if deployment["spec"].get("paused") or self._is_scaling(deployment, sets):
            sets = self._scale_all(deployment, self._revisions.synced(deployment, sets))
            self._tell(deployment, sets, rollout=False)
            return
        if _recreates(deployment):
            self._recreate(deployment, sets)
        else:
            self._roll(deployment, sets)

    def _roll(self, deployment: Json, sets: Sets) -> None:
        sets = self._revisions.synced(deployment, sets, create=True)
        new = sets.new
        if new is None:
            return
        deployment = self._world.store.get(DEPLOYMENTS, *key_of(deployment))
        wanted, limits = deployment["spec"]["replicas"], told.limits_of(deployment)
        size = new_size(wanted, limits, new["spec"]["replicas"], sum_of(sets.every, "spec", "replicas"))
        if self._resize(deployment, new, size):
            self._tell(deployment, self._revisions.of(deployment), rollout=True)
            return
        old = sorted(sets.old, key=revision_of)
        sizes = old_sizes(wanted, limits, _size(new), [_size(item) for item in old])
        for item, smaller in zip(old, sizes, strict=True):
            self._resize(deployment, item, smaller)
        self._finish(deployment)

    def _recreate(self, deployment: Json, sets: Sets) -> None:
        sets = self._revisions.synced(deployment, sets)
        resized = [self._resize(deployment, item, 0) for item in sets.old]
        if any(resized):
            self._tell(deployment, self._revisions.of(deployment), rollout=True)
            return
        if any(is_active(pod) or is_going(pod) for item in sets.old for pod in self._world.owned(item, PODS)):
            self._tell(deployment, sets, rollout=True)
            return
        sets = self._revisions.synced(deployment, sets, create=True)
        deployment = self._world.store.get(DEPLOYMENTS, *key_of(deployment))
        if sets.new is not None:
            self._resize(deployment, sets.new, deployment["spec"]["replicas"])
        self._finish(deployment)

    def _finish(self, deployment: Json) -> None:
        deployment = self._tell(deployment, self._revisions.of(deployment), rollout=True)
        if told.is_complete(deployment, deployment["status"]):
            self._clean_up(deployment)

    def _tell(self, deployment: Json, sets: Sets, *, rollout: bool) -> Json:
        now, speed = self._world.now(), self._world.pace.speed
        status = told.counts(deployment, sets, now)
        if rollout:
            status = told.with_progress(deployment, status, sets, now, speed)
        stored = self._world.store.update_status(DEPLOYMENTS, *key_of(deployment), status)
        left = None if deployment["spec"].get("paused") else told.seconds_to_deadline(stored, now, speed)
        if left is not None:
            self._world.agenda.after((left + _JUST_AFTER) * speed, self, key_of(stored))
        return stored

    def _note_pause(self, deployment: Json) -> Json:
        condition = condition_of(deployment.get("status"), PROGRESSING)
        reason = condition.get("reason") if condition else None
        paused = bool(deployment["spec"].get("paused"))
        if told.deadline_of(deployment) is None or reason == told.TIMED_OUT:
            return deployment
        if paused == (reason == "DeploymentPaused"):
            return deployment
        word = "paused" if paused else "resumed"
        new = told.progressing("Unknown", f"Deployment{word.title()}", f"Deployment is {word}", self._world.now())
        status = deployment.get("status") or {}
        status = {**status, "conditions": with_condition(status.get("conditions") or (), new)}
        return self._world.store.update_status(DEPLOYMENTS, *key_of(deployment), status)

    def _is_scaling(self, deployment: Json, sets: Sets) -> bool:
        wanted = str(deployment["spec"]["replicas"])
        active = [item for item in sets.every if item["spec"]["replicas"] > 0]
        return any(annotations_of(item).get(DESIRED, wanted) != wanted for item in active)

    def _scale_all(self, deployment: Json, sets: Sets) -> Sets:
        wanted = deployment["spec"]["replicas"]
        active = [item for item in sets.every if item["spec"]["replicas"] > 0]
        if len(active) <= 1:
            only = active[0] if active else sets.new or max(sets.old, key=revision_of, default=None)
            if only is not None:
                self._resize(deployment, only, wanted)
        elif sets.new is not None and _is_saturated(wanted, sets.new):
            for item in sets.old:
                self._resize(deployment, item, 0)
        elif not _recreates(deployment):
            largest_first = sorted(active, key=lambda item: (-item["spec"]["replicas"], -revision_of(item)))
            sizes = proportional(wanted, told.limits_of(deployment), [_size(item) for item in largest_first])
            for item, size in zip(largest_first, sizes, strict=True):
                self._resize(deployment, item, size)
        return self._revisions.of(deployment)

    def _resize(self, deployment: Json, replica_set: Json, size: int) -> bool:
        """Scale a ReplicaSet and note for what; tells whether its size changed."""
        old, wanted = replica_set["spec"]["replicas"], deployment["spec"]["replicas"]
        notes = {DESIRED: str(wanted), MAXIMUM: str(wanted + told.limits_of(deployment).surge)}
        annotations = annotations_of(replica_set)
        if size == old and all(annotations.get(key) == value for key, value in notes.items()):
            return False
        metadata = {**replica_set["metadata"], "annotations": {**annotations, **notes}}
        spec = {**replica_set["spec"], "replicas": size}
        self._world.store.mutate(
            REPLICA_SETS, *key_of(replica_set), lambda obj: {**obj, "metadata": metadata, "spec": spec}
        )
        if size == old:
            return False
        way = "up" if size > old else "down"
        message = f"Scaled {way} replica set {replica_set['metadata']['name']} from {old} to {size}"
        self._world.events.record(_SOURCE, deployment, Happening(reason="ScalingReplicaSet", message=message))
        return True

    def _clean_up(self, deployment: Json) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        old = sorted(self._revisions.of(deployment).old, key=revision_of)
        for item in old[: max(0, len(old) - limit)]:
            if item["spec"]["replicas"] == 0 and not item["status"].get("replicas") and not is_going(item):
                self._world.store.delete(REPLICA_SETS, *key_of(item), Deletion(propagation="Background"))


def _recreates(deployment: Json) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "Recreate")


def _size(replica_set: Json) -> Size:
    noted = annotations_of(replica_set).get(MAXIMUM, "")
    available = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return Size(replica_set["spec"]["replicas"], available, int(noted) if noted.isdecimal() else 0)


def _is_saturated(wanted: int, replica_set: Json) -> bool:
    available = (replica_set.get("status") or {}).get("availableReplicas", 0)
    noted = annotations_of(replica_set).get(DESIRED)
    return bool(replica_set["spec"]["replicas"] == wanted == available and noted == str(wanted))


__all__ = ["REVISION", "DeploymentController"]
