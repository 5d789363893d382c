"""The garbage collector: what becomes of dependents when their owner goes, by propagation policy."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.objects import key_of
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.lifecycle import FOREGROUND_FINALIZER, ORPHAN_FINALIZER, Propagation
from remediator.sandbox.resources import GroupResource, Json
from remediator.sandbox.store import Deletion


class GarbageCollector:
    """Deletes, orphans or waits for dependents; keys are (collection, uid) packed as text."""

    def __init__(self, world: World) -> None:
        """Work in `world`, on all collections that it serves."""
        self._world = world
        stored = dict.fromkeys(resource.storage for resource in world.store.catalogue.resources)
        self.watches: tuple[GroupResource, ...] = tuple(stored)
        # Owners in the foreground of a deletion, by uid, so that the end of a dependent finds them.
        self._foreground: dict[str, tuple[GroupResource, Key]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield owners that are going or gone, and those in the foreground whose dependent went."""
        metadata = change.object["metadata"]
        if change.kind == "DELETED":
            self._foreground.pop(metadata["uid"], None)
            if self._world.store.dependents(metadata["uid"]):
                yield ("", metadata["uid"])
            yield from self._waiting(metadata)
        elif "deletionTimestamp" in metadata:
            own = set(metadata.get("finalizers") or ()) & {FOREGROUND_FINALIZER, ORPHAN_FINALIZER}
            if own:
                self._foreground[metadata["uid"]] = (change.resource, (change.namespace, change.name))
                yield ("", metadata["uid"])
            yield from self._waiting(metadata)

    def reconcile(self, key: Key) -> None:
        """Do what the end of one owner asks for."""
        uid = key[1]
        place = self._foreground.get(uid)
        owner = self._world.store.find(place[0], *place[1]) if place else None
        if place is None or owner is None or owner["metadata"]["uid"] != uid:
            self._foreground.pop(uid, None)
            self._release(uid, propagation="Background")
        elif ORPHAN_FINALIZER in (owner["metadata"].get("finalizers") or ()):
            for resource, item in self._world.store.dependents(uid):
                self._disown(resource, item, uid)
            self._unfinalize(place[0], owner, ORPHAN_FINALIZER)
        elif FOREGROUND_FINALIZER in (owner["metadata"].get("finalizers") or ()):
            self._release(uid, propagation="Foreground")
            if not any(_blocks(item, uid) for _, item in self._world.store.dependents(uid)):
                self._unfinalize(place[0], owner, FOREGROUND_FINALIZER)

    def _waiting(self, metadata: Json) -> Iterable[Key]:
        for reference in metadata.get("ownerReferences") or ():
            if reference.get("uid") in self._foreground:
                yield ("", reference["uid"])

    def _release(self, uid: str, *, propagation: Propagation) -> None:
        for resource, item in self._world.store.dependents(uid):
            if "deletionTimestamp" in item["metadata"]:
                continue
            if len(item["metadata"]["ownerReferences"]) > 1:
                self._disown(resource, item, uid)
                continue
            has_dependents = bool(self._world.store.dependents(item["metadata"]["uid"]))
            policy: Propagation = propagation if has_dependents else "Background"
            self._world.store.delete(resource, *key_of(item), Deletion(propagation=policy))

    def _disown(self, resource: GroupResource, item: Json, uid: str) -> None:
        metadata = dict(item["metadata"])
        kept = [reference for reference in metadata.pop("ownerReferences", ()) if reference.get("uid") != uid]
        if kept:
            metadata["ownerReferences"] = kept
        self._world.store.mutate(resource, *key_of(item), lambda obj: {**obj, "metadata": metadata}, counted=False)

    def _unfinalize(self, resource: GroupResource, owner: Json, finalizer: str) -> None:
        metadata = dict(owner["metadata"])
        kept = [name for name in metadata.pop("finalizers", ()) if name != finalizer]
        if kept:
            metadata["finalizers"] = kept
        self._foreground.pop(metadata["uid"], None)
        self._world.store.mutate(resource, *key_of(owner), lambda obj: {**obj, "metadata": metadata}, counted=False)


def _blocks(item: Json, uid: str) -> bool:
    references = item["metadata"].get("ownerReferences") or ()
    return any(reference.get("uid") == uid and reference.get("blockOwnerDeletion") for reference in references)
