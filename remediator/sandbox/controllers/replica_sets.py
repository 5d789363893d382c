"""The ReplicaSet controller: as many pods as are wanted, and a status that counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.objects import (
    available_in,
    condition_of,
    is_active,
    is_going,
    is_ready,
    labels_of,
    ready_since,
    with_condition,
)
from remediator.sandbox.controllers.pod_making import CreateRefused, create_pod, delete_pod, failure, new_pod
from remediator.sandbox.controllers.recorder import Source
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import PODS, REPLICA_SETS, Json

_SOURCE = Source(component="replicaset-controller")
_FAILURE = "ReplicaFailure"


class ReplicaSetController:
    """Brings ReplicaSets to the number of pods they ask for."""

    watches = (REPLICA_SETS, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a ReplicaSet that changed, or the one whose pod did."""
        if change.resource == REPLICA_SETS:
            yield change.namespace, change.name
        else:
            yield from self._world.owner_key(change.object, "ReplicaSet")

    def reconcile(self, key: Key) -> None:
        """Make or end pods of one ReplicaSet, and count them."""
        replica_set = self._world.store.find(REPLICA_SETS, *key)
        if replica_set is None:
            return
        refusal: str | None = None
        if not is_going(replica_set):
            pods = [pod for pod in self._world.owned(replica_set, PODS) if is_active(pod)]
            missing = replica_set["spec"]["replicas"] - len(pods)
            if missing > 0:
                refusal = self._make(replica_set, missing)
            elif missing < 0:
                for pod in _first_to_go(pods)[:-missing]:
                    delete_pod(self._world, _SOURCE, replica_set, pod)
        self._count(replica_set, refusal)

    def _make(self, replica_set: Json, missing: int) -> str | None:
        prefix = {"generateName": f"{replica_set['metadata']['name']}-"}
        for _ in range(missing):
            pod = new_pod(replica_set, replica_set["spec"]["template"], prefix)
            try:
                create_pod(self._world, _SOURCE, replica_set, pod)
            except CreateRefused as error:
                metadata = replica_set["metadata"]
                pace = self._world.pace
                self._world.agenda.after(pace.retry_after, self, (metadata["namespace"], metadata["name"]))
                return str(error)
        return None

    def _count(self, replica_set: Json, refusal: str | None) -> None:
        metadata, spec = replica_set["metadata"], replica_set["spec"]
        key = (metadata["namespace"], metadata["name"])
        owned = self._world.owned(replica_set, PODS)
        active = [pod for pod in owned if is_active(pod)]
        now, seconds = self._world.now(), self._world.quick(spec.get("minReadySeconds", 0))
        waits = [wait for wait in (available_in(pod, now, seconds) for pod in active) if wait is not None]
        labels = labels_of(spec["template"]).items()
        numbers = {
            "fullyLabeledReplicas": sum(1 for pod in active if labels <= labels_of(pod).items()),
            "readyReplicas": len(waits),
            "availableReplicas": sum(1 for wait in waits if wait <= 0),
        }
        status: Json = {"replicas": len(active)} | {name: number for name, number in numbers.items() if number}
        status["terminatingReplicas"] = sum(1 for pod in owned if is_going(pod))
        status["observedGeneration"] = metadata["generation"]
        conditions = _conditions(self._world, replica_set, refusal)
        if conditions:
            status["conditions"] = conditions
        self._world.store.update_status(REPLICA_SETS, *key, status)
        later = [wait for wait in waits if wait > 0]
        if later:
            self._world.agenda.after(min(later) * self._world.pace.speed, self, key)


def _conditions(world: World, replica_set: Json, refusal: str | None) -> Sequence[Json]:
    if refusal is None:
        return ()
    old = (replica_set.get("status") or {}).get("conditions") or ()
    if condition_of(replica_set.get("status"), _FAILURE) is not None:
        return list(old)
    return with_condition(old, failure(world, refusal))


def _first_to_go(pods: Sequence[Json]) -> list[Json]:
    """Order pods as the controller ends them: without a node, not running, not ready, and then the youngest first."""

    def rank(pod: Json) -> tuple[bool, bool, bool, float]:
        since = ready_since(pod)
        return (
            bool(pod["spec"].get("nodeName")),
            pod.get("status", {}).get("phase") == "Running",
            is_ready(pod),
            -since.timestamp() if since is not None else 0.0,
        )

    youngest_first = pods[::-1]
    return sorted(youngest_first, key=rank)
