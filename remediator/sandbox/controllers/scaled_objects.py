"""KEDA's operator, as far as owners matter: a ScaledObject makes an autoscaler, and keeps it as it says."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.objects import annotations_of, controller_of, is_going, owner_reference
from remediator.sandbox.controllers.world import World
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.history import Change
from remediator.sandbox.resources import AUTOSCALERS, SCALED_OBJECTS, Json

PAUSED = "autoscaling.keda.sh/paused"
_MAXIMUM = 100


class ScaledObjectController:
    """Makes `keda-hpa-<name>` for each ScaledObject, and takes back what others write into it."""

    watches = (SCALED_OBJECTS, AUTOSCALERS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a ScaledObject that changed, or the one whose autoscaler did."""
        if change.resource == SCALED_OBJECTS:
            yield change.namespace, change.name
            return
        yield from self._world.owner_key(change.object, "ScaledObject")

    def reconcile(self, key: Key) -> None:
        """Bring the autoscaler of one ScaledObject to what it says; a paused one has none."""
        store, scaled = self._world.store, self._world.store.find(SCALED_OBJECTS, *key)
        if scaled is None or is_going(scaled):
            return
        name = f"keda-hpa-{key[1]}"
        present = store.find(AUTOSCALERS, key[0], name)
        if PAUSED in annotations_of(scaled):
            if present is not None:
                store.delete(AUTOSCALERS, key[0], name)
            return
        wanted = _spec(scaled)
        if present is None:
            metadata = {"name": name, "namespace": key[0], "ownerReferences": [owner_reference(scaled)]}
            made = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata}
            fresh = {**made, "spec": wanted}
            fill_in(AUTOSCALERS, fresh)
            store.create(AUTOSCALERS, fresh)
        elif controller_of(present) is not None and {**present["spec"], **wanted} != present["spec"]:
            store.mutate(AUTOSCALERS, key[0], name, lambda obj: {**obj, "spec": {**obj["spec"], **wanted}})


def _spec(scaled: Json) -> Json:
    """Return what the autoscaler of a ScaledObject says: never fewer than one pod, to none KEDA scales by itself."""
    spec = scaled["spec"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]}
    kept = {key: reference[key] for key in ("apiVersion", "kind", "name")}
    least = max(1, int(spec.get("minReplicaCount", 0)))
    return {"scaleTargetRef": kept, "minReplicas": least, "maxReplicas": int(spec.get("maxReplicaCount", _MAXIMUM))}
