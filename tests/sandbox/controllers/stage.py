"""A moving cluster on virtual time, without HTTP and without tasks, and what was seen of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from remediator.sandbox import scenario
from remediator.sandbox.clock import RandomIds, VirtualClock
from remediator.sandbox.controllers.behaviour import Pace
from remediator.sandbox.controllers.objects import annotations_of, is_going
from remediator.sandbox.controllers.simulation import Simulation
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.history import Change
from remediator.sandbox.resources import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS, GroupResource
from remediator.sandbox.store import Store

Json = dict[str, Any]
SPACE = "backstage"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


class Stage:
    """A store whose controllers run when time is made to pass."""

    def __init__(self, *manifests: Json, nodes: int = 3, pace: Pace | None = None, seed: int = 1) -> None:
        """Begin with nodes, the namespace and `manifests`; nothing has moved yet."""
        self.store = Store(clock=VirtualClock(), ids=RandomIds(seed))
        self.simulation = Simulation(self.store, pace=pace)
        self.put(*scenario.nodes(nodes), scenario.namespace(SPACE), *manifests)

    def put(self, *manifests: Json) -> list[Json]:
        """Add objects as the API server does."""
        return scenario.put(self.store, manifests)

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self.simulation.advance(seconds)

    def until(self, wanted: Callable[[], bool], within: float = 60.0) -> None:
        """Let time pass until something holds; fails after that many seconds."""
        assert self.simulation.advance(within, until=wanted), f"not so within {within} s"

    def get(self, resource: GroupResource, name: str) -> Json:
        """Return an object of the namespace."""
        return self.store.get(resource, SPACE, name)

    def status(self, resource: GroupResource, name: str) -> Json:
        """Return the status of an object."""
        return dict(self.get(resource, name)["status"])

    def deployment(self, name: str = "backstage") -> Json:
        """Return a Deployment."""
        return self.get(DEPLOYMENTS, name)

    def pods(self, app: str = "backstage", *, going: bool = False) -> list[Json]:
        """Return the pods labelled `app`, those that are going only when asked for."""
        found = [pod for pod in self.store.list(PODS, SPACE) if pod["metadata"]["labels"].get("app") == app]
        return [pod for pod in found if going or not is_going(pod)]

    def sets(self, owner: str = "backstage") -> list[Json]:
        """Return the ReplicaSets of a Deployment, by revision."""
        found = [item for item in self.store.list(REPLICA_SETS, SPACE) if item["metadata"]["labels"]["app"] == owner]
        return sorted(found, key=lambda item: int(annotations_of(item)["deployment.kubernetes.io/revision"]))

    def spec(self, resource: GroupResource, name: str, **fields: Any) -> Json:
        """Change fields of a spec."""
        return self.change(resource, name, lambda obj: {**obj, "spec": {**obj["spec"], **fields}})

    def change(self, resource: GroupResource, name: str, make: Callable[[Json], Json]) -> Json:
        """Replace an object as a client would, defaults included."""

        def defaulted(obj: Json) -> Json:
            fresh = copy.deepcopy(make(obj))
            fill_in(resource, fresh)
            return fresh

        return self.store.mutate(resource, SPACE, name, defaulted)

    def template(self, resource: GroupResource, name: str, annotations: Mapping[str, str | None]) -> Json:
        """Change annotations of a pod template, which begins a rollout; None takes one away."""
        template = self.get(resource, name)["spec"]["template"]
        merged = {**annotations_of(template), **annotations}
        kept = {key: value for key, value in merged.items() if value is not None}
        return self.spec(
            resource, name, template={**template, "metadata": {**template["metadata"], "annotations": kept}}
        )

    def restart(self, resource: GroupResource, name: str, at: str = "2026-01-01T00:00:01Z") -> Json:
        """Do what `kubectl rollout restart` does."""
        return self.template(resource, name, {RESTARTED_AT: at})

    def annotate(self, resource: GroupResource, name: str, annotations: Mapping[str, str]) -> Json:
        """Set annotations of the object itself."""

        def change(obj: Json) -> Json:
            merged = {**annotations_of(obj), **annotations}
            return {**obj, "metadata": {**obj["metadata"], "annotations": merged}}

        return self.store.mutate(resource, SPACE, name, change)

    def reasons(self, kind: str) -> list[str]:
        """Return the reasons of the events about objects of a kind, in the order they came."""
        events = sorted(self.store.list(EVENTS, SPACE), key=lambda item: int(item["metadata"]["resourceVersion"]))
        return [event["reason"] for event in events if event["involvedObject"]["kind"] == kind]


class Trace:
    """Every status that one object went through, without repetition."""

    def __init__(self, store: Store, resource: GroupResource, name: str, face: Callable[[Json], Json]) -> None:
        """Look at each version of an object through `face`."""
        self.phases: list[Json] = [face(store.get(resource, SPACE, name))]
        self._wanted = (resource, name)
        self._face = face
        store.listen(self._note)

    def _note(self, change: Change) -> None:
        if (change.resource, change.name) == self._wanted:
            phase = self._face(change.object)
            if phase != self.phases[-1]:
                self.phases.append(phase)

    def take(self) -> list[Json]:
        """Return the phases so far, and begin anew from the last."""
        phases, self.phases = self.phases, self.phases[-1:]
        return phases


def missing_in_order(wanted: Iterable[Json], seen: list[Json]) -> Json | None:
    """Return the first wanted phase that does not follow in `seen`; None when all are there in that order."""
    position = 0
    for phase in wanted:
        try:
            position = seen.index(phase, position)
        except ValueError:
            return phase
    return None
