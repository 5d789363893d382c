"""ControllerRevisions: the remembered templates of StatefulSets and DaemonSets."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.objects import (
    REVISION_HASH,
    key_of,
    labels_of,
    owner_reference,
    same_template,
    template_hash,
)
from remediator.sandbox.controllers.world import World
from remediator.sandbox.resources import CONTROLLER_REVISIONS, Json
from remediator.sandbox.store import Deletion

_HASH = "controller.kubernetes.io/hash"


def revisions_of(world: World, owner: Json) -> list[Json]:
    """Return the revisions of a workload, oldest number first."""
    return sorted(world.owned(owner, CONTROLLER_REVISIONS), key=lambda item: int(item["revision"]))


def update_revision(world: World, owner: Json) -> Json:
    """Return the revision of the workload's present template: made, or an old one numbered anew (an undo)."""
    known, template = revisions_of(world, owner), owner["spec"]["template"]
    number = known[-1]["revision"] + 1 if known else 1
    same = next((item for item in reversed(known) if same_template(template_of(item), template)), None)
    if same is not None:
        if same is known[-1]:
            return same
        return world.store.mutate(CONTROLLER_REVISIONS, *key_of(same), lambda obj: {**obj, "revision": number})
    label = template_hash(template)
    revision: Json = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{owner['metadata']['name']}-{label}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**labels_of(template), _HASH: label},
            "ownerReferences": [owner_reference(owner)],
        },
        "data": {"spec": {"template": {"$patch": "replace", **template}}},
        "revision": number,
    }
    there = world.store.find(CONTROLLER_REVISIONS, *key_of(revision))
    if there is not None:
        # What an orphaned workload of the same name left behind is taken over.
        metadata = {**there["metadata"], "ownerReferences": revision["metadata"]["ownerReferences"]}
        return world.store.mutate(
            CONTROLLER_REVISIONS, *key_of(there), lambda obj: {**obj, "metadata": metadata, "revision": number}
        )
    return world.store.create(CONTROLLER_REVISIONS, revision)


def template_of(revision: Json) -> Json:
    """Return the pod template that a revision remembers."""
    return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}


def forget_old(world: World, owner: Json, live: Iterable[str]) -> None:
    """Delete the oldest revisions beyond revisionHistoryLimit that are not among the `live` names."""
    in_use = set(live)
    idle = [item for item in revisions_of(world, owner) if item["metadata"]["name"] not in in_use]
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    for item in idle[: max(0, len(idle) - limit)]:
        world.store.delete(CONTROLLER_REVISIONS, *key_of(item), Deletion(propagation="Background"))


def revision_name(pod: Json) -> str:
    """Return the name of the revision a pod was made from."""
    return labels_of(pod).get(REVISION_HASH, "")
