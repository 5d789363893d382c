"""The StatefulSet controller: pods with ordinals, one after the other, and revisions rolled from the last to the first.

As on a real cluster an OrderedReady set waits for a pod that is not ready before it touches another, so a restart does
not reach a set whose pod crashes; `podManagementPolicy: Parallel` does not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.history import forget_old, revision_name, template_of, update_revision
from remediator.sandbox.controllers.objects import REVISION_HASH, available_in, is_active, is_going, key_of
from remediator.sandbox.controllers.pod_making import CreateRefused, create_pod, delete_pod, new_pod
from remediator.sandbox.controllers.recorder import Source
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import CONTROLLER_REVISIONS, PODS, STATEFUL_SETS, Json

_SOURCE = Source(component="statefulset-controller")


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One StatefulSet at one moment: its pods by ordinal, and which revision is current and which is coming."""

    owner: Json
    pods: dict[int, Json]
    update: Json
    current_name: str
    current: Json

    @property
    def wanted(self) -> int:
        return int(self.owner["spec"]["replicas"])

    @property
    def update_name(self) -> str:
        return str(self.update["metadata"]["name"])

    @property
    def in_order(self) -> bool:
        return bool(self.owner["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")

    @property
    def partition(self) -> int | None:
        """Return the first ordinal that is updated; None with OnDelete, which updates none."""
        strategy = self.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return None
        return int((strategy.get("rollingUpdate") or {}).get("partition", 0))


class StatefulSetController:
    """Brings StatefulSets to what they ask for, one pod at a time."""

    watches = (STATEFUL_SETS, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a StatefulSet that changed, or the one whose pod did."""
        if change.resource == STATEFUL_SETS:
            yield change.namespace, change.name
        else:
            yield from self._world.owner_key(change.object, "StatefulSet")

    def reconcile(self, key: Key) -> None:
        """Take the next step of one StatefulSet."""
        owner = self._world.store.find(STATEFUL_SETS, *key)
        if owner is None or is_going(owner):
            return
        view = self._view(owner)
        if self._fill(view) and self._shrink(view):
            self._roll(view)
        self._tell(self._view(owner))

    def _view(self, owner: Json) -> _View:
        update = update_revision(self._world, owner)
        name = (owner.get("status") or {}).get("currentRevision") or update["metadata"]["name"]
        current = self._world.store.find(CONTROLLER_REVISIONS, key_of(owner)[0], name)
        pods = {_ordinal(pod): pod for pod in self._world.owned(owner, PODS)}
        if current is None:
            name, current = update["metadata"]["name"], update
        return _View(owner=owner, pods=pods, update=update, current_name=name, current=current)

    def _fill(self, view: _View) -> bool:
        """Make missing pods, first ordinals first; tells whether the update may go on."""
        for ordinal in range(view.wanted):
            pod = view.pods.get(ordinal)
            if pod is None and not self._make(view, ordinal):
                return False
            if view.in_order and (pod is None or not self._is_healthy(view, pod)):
                return False
        return True

    def _make(self, view: _View, ordinal: int) -> bool:
        old = view.partition is None or ordinal < view.partition or ordinal < self._never_updated(view)
        revision = view.current if old else view.update
        name = f"{view.owner['metadata']['name']}-{ordinal}"
        labels = {
            REVISION_HASH: revision["metadata"]["name"],
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
        pod = new_pod(view.owner, template_of(revision), {"name": name, "labels": labels})
        pod["spec"] |= {"hostname": name, "subdomain": view.owner["spec"].get("serviceName", "")}
        try:
            create_pod(self._world, _SOURCE, view.owner, pod)
        except CreateRefused:
            self._world.agenda.after(self._world.pace.retry_after, self, key_of(view.owner))
            return False
        return True

    def _never_updated(self, view: _View) -> int:
        """Return how many first ordinals still run the current revision in an unfinished update."""
        if view.current_name == view.update_name:
            return 0
        return int((view.owner.get("status") or {}).get("currentReplicas", 0))

    def _shrink(self, view: _View) -> bool:
        """End pods beyond the wanted number, last ordinals first; tells whether the update may go on."""
        for ordinal in sorted((item for item in view.pods if item >= view.wanted), reverse=True):
            pod = view.pods[ordinal]
            if not is_going(pod):
                delete_pod(self._world, _SOURCE, view.owner, pod)
            if view.in_order:
                return False
        return True

    def _roll(self, view: _View) -> None:
        """End the last pod that is not of the update revision, once those after it are healthy."""
        if view.partition is None:
            return
        for ordinal in range(view.wanted - 1, view.partition - 1, -1):
            pod = view.pods.get(ordinal)
            if pod is None:
                return
            if revision_name(pod) != view.update_name and not is_going(pod):
                delete_pod(self._world, _SOURCE, view.owner, pod)
                return
            if not self._is_healthy(view, pod):
                return

    def _is_healthy(self, view: _View, pod: Json) -> bool:
        wait = self._wait(view, pod)
        return is_active(pod) and wait is not None and wait <= 0

    def _wait(self, view: _View, pod: Json) -> float | None:
        seconds = self._world.quick(view.owner["spec"].get("minReadySeconds", 0))
        return available_in(pod, self._world.now(), seconds)

    def _tell(self, view: _View) -> None:
        waits = [wait for wait in (self._wait(view, pod) for pod in view.pods.values()) if wait is not None]
        live = [pod for pod in view.pods.values() if not is_going(pod)]
        numbers = {
            "readyReplicas": len(waits),
            "currentReplicas": sum(1 for pod in live if revision_name(pod) == view.current_name),
            "updatedReplicas": sum(1 for pod in live if revision_name(pod) == view.update_name),
        }
        available = sum(1 for wait in waits if wait <= 0)
        status: Json = {"observedGeneration": view.owner["metadata"]["generation"], "replicas": len(view.pods)}
        current = view.current_name
        rolled = numbers["updatedReplicas"] == numbers["readyReplicas"] == len(view.pods) == view.wanted
        if current != view.update_name and view.partition == 0 and rolled:
            current, numbers["currentReplicas"] = view.update_name, numbers["updatedReplicas"]
        status |= {key: number for key, number in numbers.items() if number}
        status |= {"currentRevision": current, "updateRevision": view.update_name, "collisionCount": 0}
        status["availableReplicas"] = available
        self._world.store.update_status(STATEFUL_SETS, *key_of(view.owner), status)
        forget_old(self._world, view.owner, {current, view.update_name, *map(revision_name, view.pods.values())})
        later = [wait for wait in waits if wait > 0]
        if later:
            self._world.agenda.after(min(later) * self._world.pace.speed, self, key_of(view.owner))


def _ordinal(pod: Json) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])
