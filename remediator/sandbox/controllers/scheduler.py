"""The scheduler: binds pods to the emptiest node that takes them, and says why when none does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.ailments import Ailments
from remediator.sandbox.controllers.behaviour import Ailment
from remediator.sandbox.controllers.node_fitness import Load, refusal
from remediator.sandbox.controllers.objects import is_going, key_of
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import WORKLOADS, World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import NODES, PODS, Json

_SOURCE = Source(component="default-scheduler")
_RESOURCES = frozenset(WORKLOADS.values())


class Scheduler:
    """Gives pods their node."""

    watches = (PODS, NODES, *WORKLOADS.values())

    def __init__(self, world: World, ailments: Ailments) -> None:
        """Work in `world`; `ailments` tells who is to be unschedulable."""
        self._world = world
        self._ailments = ailments
        self._loads: dict[str, Load] = {}
        self._waiting: dict[Key, None] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Keep the books of the nodes; yield new pods, and all that wait once there may be room."""
        key = (change.namespace, change.name)
        if change.resource == PODS:
            yield from self._pod(change, key)
        elif change.resource == NODES:
            if change.previous is None or _shape(change.previous) != _shape(change.object):
                yield from tuple(self._waiting)
        elif change.resource in _RESOURCES and self._waiting and change.kind == "MODIFIED":
            yield from (key_of(pod) for pod in self._world.pods_of(change.object) if key_of(pod) in self._waiting)

    def reconcile(self, key: Key) -> None:
        """Bind one pod, once its time has come."""
        pod = self._world.store.find(PODS, *key)
        if pod is None or is_going(pod) or pod["spec"].get("nodeName"):
            self._waiting.pop(key, None)
            return
        if key not in self._waiting:
            self._waiting[key] = None
            self._world.agenda.after(self._world.pace.schedule_after, self, key)
            return
        nodes = self._world.store.list(NODES)
        refusals: Counter[str] = Counter()
        fitting: list[tuple[int, str]] = []
        if self._ailments.of(pod) is Ailment.UNSCHEDULABLE:
            refusals["Insufficient cpu"] = len(nodes)
        else:
            for node in nodes:
                load = self._loads.setdefault(node["metadata"]["name"], Load())
                why = refusal(node, load, pod)
                if why is None:
                    fitting.append((load.pods, node["metadata"]["name"]))
                else:
                    refusals[why] += 1
        if fitting:
            self._bind(pod, min(fitting)[1])
        else:
            self._refuse(pod, len(nodes), refusals)

    def _pod(self, change: Change, key: Key) -> Iterable[Key]:
        before = _node_of(change.previous) if change.previous is not None and change.kind != "ADDED" else ""
        after = _node_of(change.object) if change.kind != "DELETED" else ""
        if before != after:
            if before and change.previous is not None:
                self._loads.setdefault(before, Load()).add(change.previous, -1)
                yield from tuple(self._waiting)
            if after:
                self._loads.setdefault(after, Load()).add(change.object)
        if change.kind == "ADDED" and not after:
            yield key
        elif change.kind == "DELETED":
            self._waiting.pop(key, None)

    def _bind(self, pod: Json, node: str) -> None:
        self._waiting.pop(key_of(pod), None)
        scheduled = {**_condition(pod, self._world.stamp()), "status": "True"}
        status = {**pod["status"], "conditions": [scheduled]}
        spec = {**pod["spec"], "nodeName": node}
        bound = self._world.store.mutate(
            PODS, *key_of(pod), lambda obj: {**obj, "spec": spec, "status": status}, counted=False
        )
        namespace, name = key_of(pod)
        message = f"Successfully assigned {namespace}/{name} to {node}"
        self._world.events.record(_SOURCE, bound, Happening(reason="Scheduled", message=message))

    def _refuse(self, pod: Json, nodes: int, refusals: Counter[str]) -> None:
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(refusals.items())) or "no nodes"
        message = f"0/{nodes} nodes are available: {reasons}."
        condition = {
            **_condition(pod, self._world.stamp()),
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
        self._world.store.update_status(PODS, *key_of(pod), {**pod["status"], "conditions": [condition]})
        what = Happening(reason="FailedScheduling", message=message, kind="Warning")
        self._world.events.record(_SOURCE, pod, what)


def _condition(pod: Json, stamp: str) -> Json:
    generation = pod["metadata"].get("generation", 1)
    return {
        "type": "PodScheduled",
        "observedGeneration": generation,
        "lastProbeTime": None,
        "lastTransitionTime": stamp,
    }


def _node_of(pod: Json) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _shape(node: Json) -> tuple[object, ...]:
    return node.get("spec"), node["metadata"].get("labels"), (node.get("status") or {}).get("allocatable")
