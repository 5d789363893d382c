"""The ReplicaSets behind the revisions of a Deployment: found, made, numbered, and taken again on an undo."""

from __future__ import annotations

from remediator.sandbox.controllers.deployment_status import PROGRESSING, Sets, deadline_of, limits_of, progressing
from remediator.sandbox.controllers.objects import (
    TEMPLATE_HASH,
    annotations_of,
    condition_of,
    controller_of,
    key_of,
    labels_of,
    owner_reference,
    same_template,
    sum_of,
    template_hash,
    with_condition,
)
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.rolling import new_size
from remediator.sandbox.controllers.world import World
from remediator.sandbox.resources import DEPLOYMENTS, REPLICA_SETS, Json

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_OWN = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAXIMUM,
}
_SOURCE = Source(component="deployment-controller")
_MAX_HISTORY = 2000


def revision_of(obj: Json) -> int:
    """Return the revision number an object carries; 0 for none."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


class RevisionSets:
    """Finds and makes the ReplicaSets of Deployments."""

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world

    def of(self, deployment: Json) -> Sets:
        """Return the ReplicaSets of a Deployment, sorted into the one of its template and the others."""
        owned = self._world.owned(deployment, REPLICA_SETS)
        template = deployment["spec"]["template"]
        new = next((item for item in owned if same_template(item["spec"]["template"], template)), None)
        return Sets(new=new, old=tuple(item for item in owned if item is not new))

    def synced(self, deployment: Json, sets: Sets, *, create: bool = False) -> Sets:
        """Number the new ReplicaSet after all others (and make it, if asked), and the Deployment with it."""
        revision = max((revision_of(item) for item in sets.old), default=0) + 1
        if sets.new is None:
            if not create:
                return sets
            new = self._make(deployment, sets, revision)
            if new is None:
                return sets
            reason, message = "NewReplicaSetCreated", f'Created new replica set "{new["metadata"]["name"]}"'
        else:
            new = self._renumber(deployment, sets.new, revision)
            reason, message = "FoundNewReplicaSet", f'Found new replica set "{new["metadata"]["name"]}"'
        known = condition_of(deployment.get("status"), PROGRESSING) is not None and sets.new is not None
        self._number(deployment, revision_of(new), None if known else (reason, message))
        return Sets(new=new, old=sets.old)

    def _number(self, deployment: Json, revision: int, news: tuple[str, str] | None) -> None:
        """Give the Deployment its revision, past the generation, and say what is new of its progress."""
        annotations = {**annotations_of(deployment), REVISION: str(revision)}
        status = deployment.get("status") or {}
        if news is not None and deadline_of(deployment) is not None:
            condition = progressing("True", *news, self._world.now())
            status = {**status, "conditions": with_condition(status.get("conditions") or (), condition)}
        metadata = {**deployment["metadata"], "annotations": annotations}
        self._world.store.mutate(
            DEPLOYMENTS,
            *key_of(deployment),
            lambda obj: {**obj, "metadata": metadata, "status": status},
            counted=False,
        )

    def _renumber(self, deployment: Json, replica_set: Json, revision: int) -> Json:
        old = annotations_of(replica_set)
        annotations = {**old, **_inherited(deployment)}
        number = revision_of(replica_set)
        if number < revision:
            annotations[REVISION] = str(revision)
            if number:
                history = [*filter(None, old.get(REVISION_HISTORY, "").split(",")), str(number)]
                while len(",".join(history)) > _MAX_HISTORY:
                    history.pop(0)
                annotations[REVISION_HISTORY] = ",".join(history)
        seconds = deployment["spec"].get("minReadySeconds", 0)
        spec = replica_set["spec"]
        if spec.get("minReadySeconds", 0) != seconds:
            spec = {**spec, "minReadySeconds": seconds}
        metadata = {**replica_set["metadata"], "annotations": annotations}
        return self._world.store.mutate(
            REPLICA_SETS, *key_of(replica_set), lambda obj: {**obj, "metadata": metadata, "spec": spec}
        )

    def _make(self, deployment: Json, sets: Sets, revision: int) -> Json | None:
        replicas, limits = deployment["spec"]["replicas"], limits_of(deployment)
        size = new_size(replicas, limits, 0, sum_of(sets.old, "spec", "replicas")) if sets.old else replicas
        notes = {DESIRED: str(replicas), MAXIMUM: str(replicas + limits.surge), REVISION: str(revision)}
        manifest = _manifest(deployment, size, {**_inherited(deployment), **notes})
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        there = self._world.store.find(REPLICA_SETS, namespace, name)
        if there is not None:
            return self._adopt(deployment, there, revision)
        made = self._world.store.create(REPLICA_SETS, manifest)
        if size:
            message = f"Scaled up replica set {name} from 0 to {size}"
            self._world.events.record(_SOURCE, deployment, Happening(reason="ScalingReplicaSet", message=message))
        return made

    def _adopt(self, deployment: Json, there: Json, revision: int) -> Json | None:
        if controller_of(there) is None:
            metadata = {**there["metadata"], "ownerReferences": [owner_reference(deployment)]}
            adopted = self._world.store.mutate(REPLICA_SETS, *key_of(there), lambda obj: {**obj, "metadata": metadata})
            return self._renumber(deployment, adopted, revision)
        # The name is taken by another's: the next look salts the hash with the collision count.
        status = deployment.get("status") or {}
        status = {**status, "collisionCount": status.get("collisionCount", 0) + 1}
        self._world.store.update_status(DEPLOYMENTS, *key_of(deployment), status)
        return None


def _inherited(deployment: Json) -> dict[str, str]:
    return {key: value for key, value in annotations_of(deployment).items() if key not in _OWN}


def _manifest(deployment: Json, size: int, annotations: dict[str, str]) -> Json:
    spec, template = deployment["spec"], deployment["spec"]["template"]
    label = template_hash(template, (deployment.get("status") or {}).get("collisionCount", 0))
    labels = {**labels_of(template), TEMPLATE_HASH: label}
    selector = spec["selector"]
    selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: label}}
    metadata = {
        "name": f"{deployment['metadata']['name']}-{label}",
        "namespace": deployment["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [owner_reference(deployment)],
    }
    more = {"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": size,
            **more,
            "selector": selector,
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
        "status": {"replicas": 0},
    }
