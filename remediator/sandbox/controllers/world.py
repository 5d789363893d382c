"""What every controller works with, and how a change in the store reaches those that care for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remediator.sandbox.clock import timestamp
from remediator.sandbox.controllers.agenda import Agenda, Key
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.indexes import PodIndex
from remediator.sandbox.controllers.objects import controller_of, key_of
from remediator.sandbox.controllers.recorder import Recorder
from remediator.sandbox.history import Change
from remediator.sandbox.logbook import LogBook
from remediator.sandbox.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    GroupResource,
    Json,
)
from remediator.sandbox.store import Store

WORKLOADS: dict[str, GroupResource] = {
    "Deployment": DEPLOYMENTS,
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "DaemonSet": DAEMON_SETS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The store and what stands around it."""

    store: Store
    agenda: Agenda
    pods: PodIndex
    events: Recorder
    logs: LogBook
    pace: Pace

    def now(self) -> datetime:
        """Return the cluster's time (UTC)."""
        return self.store.clock.now()

    def stamp(self) -> str:
        """Return the cluster's time as a metav1.Time."""
        return timestamp(self.now())

    def quick(self, seconds: float) -> float:
        """Return the seconds on the clock that a stretch of cluster time takes at this speed."""
        return seconds / self.pace.speed

    def owned(self, owner: Json, resource: GroupResource) -> list[Json]:
        """Return the objects of a kind whose controller is `owner`, in the order they came."""
        uid = owner["metadata"]["uid"]
        return [item for kind, item in self.store.dependents(uid) if kind == resource and _controlled(item, uid)]

    def owner_key(self, obj: Json, kind: str) -> Iterable[Key]:
        """Yield the key of the controller of `obj` when it is of that kind."""
        reference = controller_of(obj)
        if reference is not None and reference["kind"] == kind:
            yield key_of(obj)[0], reference["name"]

    def workload_of(self, pod: Json) -> Json | None:
        """Return what a pod belongs to in the end: the Deployment rather than its ReplicaSet; None for a bare pod."""
        owner = self._controller(pod)
        above = self._controller(owner) if owner is not None else None
        return above or owner

    def pods_of(self, workload: Json) -> list[Json]:
        """Return the pods of a workload, those of a Deployment's ReplicaSets included."""
        sets = self.owned(workload, REPLICA_SETS) if workload["kind"] == "Deployment" else [workload]
        return [pod for item in sets for pod in self.owned(item, PODS)]

    def _controller(self, obj: Json) -> Json | None:
        reference = controller_of(obj)
        resource = WORKLOADS.get(reference["kind"]) if reference else None
        if reference is None or resource is None:
            return None
        found = self.store.find(resource, key_of(obj)[0], reference["name"])
        return found if found is not None and found["metadata"]["uid"] == reference["uid"] else None


class Controller(Protocol):
    """One loop of the cluster: what it watches, whom a change concerns, and what it does about one object."""

    @property
    def watches(self) -> tuple[GroupResource, ...]:
        """Return the collections whose changes it wants to see."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield the keys to look at again after a change; may keep notes about it."""

    def reconcile(self, key: Key) -> None:
        """Look at the object anew and do what is due."""


class Dispatcher:
    """Hands each change to the controllers that watch its collection."""

    def __init__(self, world: World, controllers: Iterable[Controller]) -> None:
        """Begin to listen; what is in the store already is handed on as if it had just come."""
        self._world = world
        self._by_resource: dict[GroupResource, list[Controller]] = {}
        for controller in controllers:
            for resource in controller.watches:
                self._by_resource.setdefault(resource, []).append(controller)
        for resource in self._by_resource:
            for item in world.store.list(resource):
                namespace, name = key_of(item)
                self._tell(Change("ADDED", resource, namespace, name, world.store.version, item, None))
        self.close: Callable[[], None] = world.store.listen(self._note)

    def _note(self, change: Change) -> None:
        if change.resource == PODS:
            self._world.pods.note(change)
        self._tell(change)

    def _tell(self, change: Change) -> None:
        for controller in self._by_resource.get(change.resource, ()):
            for key in controller.concerns(change):
                self._world.agenda.add(controller, key)


def _controlled(item: Json, uid: str) -> bool:
    reference = controller_of(item)
    return reference is not None and reference["uid"] == uid
