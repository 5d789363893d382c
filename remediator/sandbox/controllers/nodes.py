"""The node controller: conditions by annotation, and the taints that follow from them and from a cordon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.behaviour import PREFIX
from remediator.sandbox.controllers.objects import annotations_of
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import NODES, Json

NODE_STATE = PREFIX + "node"
_TAINT = "node.kubernetes.io/"
_PRESSURES = ("Memory", "Disk", "PID")


class NodeController:
    """Keeps conditions and taints of nodes."""

    watches = (NODES,)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a node that changed."""
        yield change.namespace, change.name

    def reconcile(self, key: Key) -> None:
        """Bring conditions and taints of one node up to date."""
        node = self._world.store.find(NODES, *key)
        if node is None:
            return
        states = {word.strip() for word in annotations_of(node).get(NODE_STATE, "").split(",")}
        spec = {**(node.get("spec") or {}), "taints": self._taints(node, states)}
        if not spec["taints"]:
            del spec["taints"]
        status = {**(node.get("status") or {}), "conditions": self._conditions(node, states)}
        self._world.store.mutate(NODES, *key, lambda obj: {**obj, "spec": spec, "status": status})

    def _taints(self, node: Json, states: set[str]) -> list[Json]:
        wanted = [(_TAINT + "unschedulable", "NoSchedule")] if (node.get("spec") or {}).get("unschedulable") else []
        if "not-ready" in states:
            wanted += [(_TAINT + "not-ready", "NoSchedule"), (_TAINT + "not-ready", "NoExecute")]
        for name in _PRESSURES:
            if f"{name.lower()}-pressure" in states:
                wanted.append((f"{_TAINT}{name.lower()}-pressure", "NoSchedule"))
        there: Sequence[Json] = (node.get("spec") or {}).get("taints") or ()
        managed = ("unschedulable", "not-ready", *(f"{name.lower()}-pressure" for name in _PRESSURES))
        kept = [item for item in there if item["key"].removeprefix(_TAINT) not in managed]
        known = {(item["key"], item["effect"]): item for item in there}
        stamp = self._world.stamp()
        for key, effect in wanted:
            kept.append(known.get((key, effect)) or {"key": key, "effect": effect, "timeAdded": stamp})
        return kept

    def _conditions(self, node: Json, states: set[str]) -> list[Json]:
        up = "not-ready" not in states
        wanted = [
            (
                "Ready",
                up,
                "KubeletReady" if up else "KubeletNotReady",
                "kubelet is posting ready status" if up else "container runtime is down",
            )
        ]
        for name in _PRESSURES:
            pressed = f"{name.lower()}-pressure" in states
            word = "Has" if pressed else ("HasSufficient" if name != "Disk" else "HasNo")
            reason = f"Kubelet{word}{name}{'Pressure' if pressed or name == 'Disk' else ''}"
            wanted.append((f"{name}Pressure", pressed, reason, reason))
        stamp = self._world.stamp()
        before = {item["type"]: item for item in (node.get("status") or {}).get("conditions") or ()}
        conditions = []
        for kind, holds, reason, message in wanted:
            old = before.get(kind)
            if old is not None and old["status"] == str(holds) and old["reason"] == reason:
                conditions.append(old)
                continue
            conditions.append(
                {
                    "type": kind,
                    "status": str(holds),
                    "lastHeartbeatTime": stamp,
                    "lastTransitionTime": stamp,
                    "reason": reason,
                    "message": message,
                }
            )
        return conditions
