"""The DaemonSet controller: one pod on every node that takes it, rolled over by maxUnavailable (maxSurge is not)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.history import forget_old, revision_name, update_revision
from remediator.sandbox.controllers.node_fitness import admits_daemon
from remediator.sandbox.controllers.objects import (
    REVISION_HASH,
    annotations_of,
    available_in,
    is_active,
    is_going,
    key_of,
)
from remediator.sandbox.controllers.pod_making import CreateRefused, create_pod, delete_pod, new_pod
from remediator.sandbox.controllers.recorder import Source
from remediator.sandbox.controllers.rolling import share
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import DAEMON_SETS, NODES, PODS, Json

_SOURCE = Source(component="daemonset-controller")
_GENERATION = "deprecated.daemonset.template.generation"
_TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")


class DaemonSetController:
    """Brings DaemonSets to one pod a node."""

    watches = (DAEMON_SETS, PODS, NODES)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a DaemonSet that changed, the one whose pod did, or all of them when a node came, went or changed."""
        if change.resource == DAEMON_SETS:
            yield change.namespace, change.name
        elif change.resource == PODS:
            yield from self._world.owner_key(change.object, "DaemonSet")
        elif change.previous is None or change.previous.get("spec") != change.object.get("spec"):
            yield from (key_of(item) for item in self._world.store.list(DAEMON_SETS))

    def reconcile(self, key: Key) -> None:
        """Take the next step of one DaemonSet."""
        owner = self._world.store.find(DAEMON_SETS, *key)
        if owner is None or is_going(owner):
            return
        update = update_revision(self._world, owner)["metadata"]["name"]
        nodes = [node["metadata"]["name"] for node in self._nodes(owner)]
        by_node = self._by_node(owner)
        for name, pods in by_node.items():
            for extra in [pod for pod in pods if is_active(pod)][int(name in nodes) :]:
                delete_pod(self._world, _SOURCE, owner, extra)
        for name in nodes:
            if not by_node.get(name) and not self._make(owner, name, update):
                break
        self._roll(owner, nodes, update)
        self._tell(owner, nodes, update)

    def _nodes(self, owner: Json) -> list[Json]:
        template = owner["spec"]["template"]
        spec = {**template["spec"], "tolerations": _tolerations(template["spec"])}
        return [node for node in self._world.store.list(NODES) if admits_daemon(node, spec)]

    def _by_node(self, owner: Json) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for pod in self._world.owned(owner, PODS):
            found.setdefault(_node_of(pod), []).append(pod)
        return found

    def _make(self, owner: Json, node: str, revision: str) -> bool:
        name = owner["metadata"]["name"]
        generation = annotations_of(owner).get(_GENERATION, "1")
        labels = {REVISION_HASH: revision.removeprefix(f"{name}-"), "pod-template-generation": generation}
        metadata = {"generateName": f"{name}-", "labels": labels}
        pod = new_pod(owner, owner["spec"]["template"], metadata)
        pod["spec"]["affinity"] = {**pod["spec"].get("affinity", {}), "nodeAffinity": _only(node)}
        pod["spec"]["tolerations"] = _tolerations(pod["spec"])
        try:
            create_pod(self._world, _SOURCE, owner, pod)
        except CreateRefused:
            self._world.agenda.after(self._world.pace.retry_after, self, key_of(owner))
            return False
        return True

    def _roll(self, owner: Json, nodes: Sequence[str], update: str) -> None:
        strategy = owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        by_node = self._by_node(owner)
        label = update.removeprefix(f"{owner['metadata']['name']}-")
        allowed = max(1, share((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(nodes), up=True))
        down, old_up = 0, []
        for name in nodes:
            pods = by_node.get(name, [])
            up = [pod for pod in pods if self._is_available(owner, pod)]
            stale = [pod for pod in pods if is_active(pod) and revision_name(pod) != label]
            down += not up
            if not up:
                # An old pod that is down costs nothing to replace.
                for pod in stale:
                    delete_pod(self._world, _SOURCE, owner, pod)
            elif stale:
                old_up.append(stale[0])
        for pod in old_up[: max(0, allowed - down)]:
            delete_pod(self._world, _SOURCE, owner, pod)

    def _is_available(self, owner: Json, pod: Json) -> bool:
        wait = self._wait(owner, pod)
        return is_active(pod) and wait is not None and wait <= 0

    def _wait(self, owner: Json, pod: Json) -> float | None:
        seconds = self._world.quick(owner["spec"].get("minReadySeconds", 0))
        return available_in(pod, self._world.now(), seconds)

    def _tell(self, owner: Json, nodes: Sequence[str], update: str) -> None:
        label = update.removeprefix(f"{owner['metadata']['name']}-")
        by_node = self._by_node(owner)
        firsts = [pods[0] for name, pods in by_node.items() if name in nodes]
        live = [pod for pod in firsts if is_active(pod)]
        waits = [wait for wait in (self._wait(owner, pod) for pod in firsts) if wait is not None]
        available = sum(1 for wait in waits if wait <= 0)
        status: Json = {
            "currentNumberScheduled": len(firsts),
            "numberMisscheduled": sum(1 for name in by_node if name not in nodes),
            "desiredNumberScheduled": len(nodes),
            "numberReady": len(waits),
            "observedGeneration": owner["metadata"]["generation"],
        }
        numbers = {
            "updatedNumberScheduled": sum(1 for pod in live if revision_name(pod) == label),
            "numberAvailable": available,
            "numberUnavailable": len(nodes) - available,
        }
        status |= {key: number for key, number in numbers.items() if number}
        self._world.store.update_status(DAEMON_SETS, *key_of(owner), status)
        names = {f"{owner['metadata']['name']}-{revision_name(pod)}" for pods in by_node.values() for pod in pods}
        forget_old(self._world, owner, {update, *names})
        later = [wait for wait in waits if wait > 0]
        if later:
            self._world.agenda.after(min(later) * self._world.pace.speed, self, key_of(owner))


def _only(node: str) -> Json:
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = [{"matchFields": [field]}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def _node_of(pod: Json) -> str:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or [{}]
    fields = terms[0].get("matchFields") or [{"values": [""]}]
    return str(pod["spec"].get("nodeName") or fields[0]["values"][0])


def _tolerations(spec: Json) -> list[Json]:
    own = [
        {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect}
        for name in _TOLERATED
        for effect in ("NoSchedule", "NoExecute")
    ]
    return [*(spec.get("tolerations") or ()), *own]
