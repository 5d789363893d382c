"""The sandbox's memory: objects by collection, namespace and name, with versions, generations and deletion rules.

Objects are plain dicts. The store takes what it is given and hands out what it holds, without copies: treat every
object from or handed to it as frozen, and build changed ones with `{**old, "spec": ...}` (or `changed`).
All calls are synchronous, so a read and the write that depends on it cannot be torn apart by another task.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from remediator.sandbox.clock import RandomIds, RealClock, timestamp
from remediator.sandbox.history import DEFAULT_HISTORY, Change, ChangeKind, ExpiredError, History
from remediator.sandbox.lifecycle import (
    AlreadyExistsError,
    ConflictError,
    Deletion,
    NotFoundError,
    PreconditionError,
    StoreError,
    bumps_generation,
    changed,
    check_preconditions,
    check_version,
    finalizers_on_delete,
    grace,
    is_finished,
    merge_update,
    same,
)
from remediator.sandbox.resources import NAMESPACES, Catalogue, GroupResource, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from remediator.sandbox.clock import Clock, Ids
    from remediator.sandbox.history import Subscription
    from remediator.sandbox.lifecycle import Admit, Part
    from remediator.sandbox.resources import Resource

Objects = list[Json]
Dependents = list[tuple[GroupResource, Json]]

_NAME_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete did: the object as it is (or last was), and whether it is gone."""

    object: Json
    gone: bool


class Store:
    """Every object of the sandbox cluster, and the history of what happened to them."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        catalogue: Catalogue | None = None,
        history: int = DEFAULT_HISTORY,
    ) -> None:
        """Start empty, with version 1; `history` bounds the changes kept for watches."""
        self.clock: Clock = clock or RealClock()
        self.ids: Ids = ids or RandomIds()
        self.catalogue = catalogue or Catalogue()
        self.history = History(history)
        self.version = 1
        self._objects: dict[GroupResource, dict[str, dict[str, Json]]] = {}
        self._dependents: dict[str, dict[tuple[GroupResource, str, str], None]] = {}

    # Reading

    def find(self, resource: GroupResource, namespace: str, name: str) -> Json | None:
        """Return the object or None; `namespace` is "" for cluster-scoped kinds."""
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def get(self, resource: GroupResource, namespace: str, name: str) -> Json:
        """Return the object; NotFoundError when it is absent."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise NotFoundError(resource, name, f'{resource} "{name}" not found')
        return found

    def list(self, resource: GroupResource, namespace: str | None = None) -> Objects:
        """Return the objects of one namespace (None: of all), ordered by namespace and name."""
        by_namespace = self._objects.get(resource, {})
        names = sorted(by_namespace) if namespace is None else [namespace]
        return [item for key in names for _, item in sorted(by_namespace.get(key, {}).items())]

    def list_at(self, resource: GroupResource, namespace: str | None, version: int) -> Objects:
        """Return what `list` gave at an earlier version; ExpiredError when that is forgotten."""
        if version >= self.version:
            return self.list(resource, namespace)
        past = {(_namespace(item), _name(item)): item for item in self.list(resource, namespace)}
        for change in self.history.undo_until(version):
            if change.resource != resource or namespace not in {None, change.namespace}:
                continue
            if change.previous is None:
                past.pop((change.namespace, change.name), None)
            else:
                past[change.namespace, change.name] = change.previous
        return [past[key] for key in sorted(past)]

    def dependents(self, uid: str) -> Dependents:
        """Return the objects whose ownerReferences name `uid`, in the order they came."""
        found = ((key[0], self.find(*key)) for key in self._dependents.get(uid, {}))
        return [(resource, item) for resource, item in found if item is not None]

    # Writing

    def create(self, resource: GroupResource, obj: Json, *, dry_run: bool = False, admit: Admit | None = None) -> Json:
        """Add an object; the system's metadata is filled in. AlreadyExistsError when the name is taken."""
        kind = self.catalogue.stored(resource)
        metadata = dict(obj["metadata"])
        namespace = metadata.get("namespace", "") if kind.namespaced else ""
        metadata["name"] = self._new_name(resource, namespace, metadata)
        if self.find(resource, namespace, metadata["name"]) is not None:
            raise AlreadyExistsError(resource, metadata["name"], f'{resource} "{metadata["name"]}" already exists')
        metadata["uid"] = self.ids.uid()
        metadata["creationTimestamp"] = timestamp(self.clock.now())
        metadata.pop("resourceVersion", None)
        metadata.pop("generation", None)
        if kind.generation:
            metadata["generation"] = 1
        created = {**obj, "metadata": metadata}
        if admit is not None:
            admit(created, None)
        return created if dry_run else self._commit("ADDED", resource, created, None)

    def update(
        self,
        resource: GroupResource,
        obj: Json,
        *,
        part: Part = "main",
        dry_run: bool = False,
        admit: Admit | None = None,
    ) -> Json:
        """Replace an object by `obj` and return what is stored now.

        With `part="main"` the stored status stays where the kind has a status of its own; with `part="status"`
        nothing but status is taken. metadata.resourceVersion and uid are checked when present. An update that
        changes nothing returns the stored object, version and all. NotFoundError, ConflictError, PreconditionError.
        """
        kind = self.catalogue.stored(resource)
        given = obj["metadata"]
        current = self.get(resource, given.get("namespace", "") if kind.namespaced else "", given["name"])
        check_version(resource, current, given)
        merged = merge_update(kind, current, obj, part)
        unchanged = same(current, merged)
        if not unchanged and bumps_generation(kind, current, merged):
            merged["metadata"]["generation"] = current["metadata"].get("generation", 0) + 1
        # As in the API server: after versions and rules of the kind, and also where nothing would change.
        if admit is not None:
            admit(merged, current)
        if unchanged:
            return current
        if dry_run:
            return merged
        if is_finished(merged):
            # Whoever takes off the last finalizer sees the object as it was, not the version of its end.
            self._commit("DELETED", resource, merged, current)
            return merged
        return self._commit("MODIFIED", resource, merged, current)

    def touch(self, resource: GroupResource, namespace: str, name: str) -> Json:
        """Give an object a new version and nothing else; NotFoundError when it is absent."""
        current = self.get(resource, namespace, name)
        return self._commit("MODIFIED", resource, current, current)

    def update_status(self, resource: GroupResource, namespace: str, name: str, status: Json) -> Json:
        """Replace the status of an object, whatever version it has; NotFoundError when it is absent."""
        current = self.get(resource, namespace, name)
        metadata = {key: value for key, value in current["metadata"].items() if key != "resourceVersion"}
        return self.update(resource, {**current, "metadata": metadata, "status": status}, part="status")

    def mutate(
        self,
        resource: GroupResource,
        namespace: str,
        name: str,
        change: Callable[[Json], Json],
        *,
        counted: bool = True,
    ) -> Json:
        """Replace an object by what `change` makes of the stored one (status included); NotFoundError when absent.

        With `counted=False` metadata.generation stays, as when a pod is bound to its node or a Deployment gets its
        revision: writes of the system that go past the main resource.
        """
        current = self.get(resource, namespace, name)
        merged = change(current)
        if same(current, merged):
            return current
        kind = self.catalogue.stored(resource)
        merged = {**merged, "metadata": dict(merged["metadata"])}
        if counted and bumps_generation(kind, current, merged):
            merged["metadata"]["generation"] = current["metadata"].get("generation", 0) + 1
        return self._commit("DELETED" if is_finished(merged) else "MODIFIED", resource, merged, current)

    def delete(
        self,
        resource: GroupResource,
        namespace: str,
        name: str,
        how: Deletion | None = None,
        *,
        admit: Admit | None = None,
    ) -> Deleted:
        """Begin or finish a deletion; the object stays while it has grace or finalizers left.

        Pods that run on a node get their grace period and are finished with `remove` (by the kubelet). Foreground
        and Orphan add their finalizer, which the garbage collector takes off. NotFoundError, PreconditionError.
        """
        how = how or Deletion()
        current = self.get(resource, namespace, name)
        check_preconditions(resource, current, how)
        if admit is not None:
            admit(None, current)
        kind = self.catalogue.stored(resource)
        marked = self._marked(kind, current, how)
        gone = is_finished(marked)
        if how.dry_run or (same(current, marked) and not gone):
            return Deleted(marked, gone)
        return Deleted(self._commit("DELETED" if gone else "MODIFIED", resource, marked, current), gone)

    def remove(self, resource: GroupResource, namespace: str, name: str) -> Json | None:
        """Take an object away at once, whatever grace it has; finalizers still hold it. None when it was absent."""
        if self.find(resource, namespace, name) is None:
            return None
        return self.delete(resource, namespace, name, Deletion(grace=0)).object

    def seed(self, resource: GroupResource, objects: Iterable[Json]) -> None:
        """Put objects in as they are, uid, generation, status and timestamps included; versions are given anew."""
        kind = self.catalogue.stored(resource)
        for obj in objects:
            metadata = {"uid": self.ids.uid(), "creationTimestamp": timestamp(self.clock.now()), **obj["metadata"]}
            if kind.generation:
                metadata.setdefault("generation", 1)
            seeded = {**obj, "apiVersion": kind.group_version, "kind": kind.kind, "metadata": metadata}
            namespace = metadata.get("namespace", "") if kind.namespaced else ""
            previous = self.find(resource, namespace, metadata["name"])
            self._commit("ADDED" if previous is None else "MODIFIED", resource, seeded, previous)

    # Following

    def subscribe(self, *resources: GroupResource) -> Subscription:
        """Open a subscription to all later changes of those collections (of all when none is named)."""
        wanted = frozenset(resources)
        return self.history.subscribe((lambda change: change.resource in wanted) if wanted else (lambda _: True))

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` within every write; returns what ends it."""
        return self.history.listen(listener)

    # Inside

    def _new_name(self, resource: GroupResource, namespace: str, metadata: Json) -> str:
        if metadata.get("name"):
            return str(metadata["name"])
        prefix = metadata.get("generateName", "")
        for _ in range(_NAME_ATTEMPTS):
            name = f"{prefix}{self.ids.suffix()}"
            if self.find(resource, namespace, name) is None:
                return name
        raise AlreadyExistsError(resource, prefix, f'{resource} "{prefix}": no free name found')

    def _marked(self, kind: Resource, current: Json, how: Deletion) -> Json:
        metadata = dict(current["metadata"])
        seconds = grace(kind, current, how.grace)
        first = "deletionTimestamp" not in metadata
        if first or seconds < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = timestamp(self.clock.now() + timedelta(seconds=seconds))
            metadata["deletionGracePeriodSeconds"] = seconds
        if first and "generation" in metadata:
            metadata["generation"] += 1
        finalizers = finalizers_on_delete(tuple(metadata.pop("finalizers", ())), how.propagation)
        if finalizers:
            metadata["finalizers"] = finalizers
        marked = {**current, "metadata": metadata}
        if kind.storage == NAMESPACES:
            metadata.pop("deletionGracePeriodSeconds", None)
            marked["status"] = {**current.get("status", {}), "phase": "Terminating"}
        return marked

    def _commit(self, kind: ChangeKind, resource: GroupResource, obj: Json, previous: Json | None) -> Json:
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        stored = {**obj, "metadata": metadata}
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        by_name = self._objects.setdefault(resource, {}).setdefault(namespace, {})
        if kind == "DELETED":
            del by_name[name]
        else:
            by_name[name] = stored
        self._index_owners((resource, namespace, name), previous, None if kind == "DELETED" else stored)
        self.history.append(Change(kind, resource, namespace, name, self.version, stored, previous))
        return stored

    def _index_owners(self, key: tuple[GroupResource, str, str], old: Json | None, new: Json | None) -> None:
        before, after = _owners(old), _owners(new)
        if before == after:
            return
        for uid in before - after:
            self._dependents[uid].pop(key, None)
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in after - before:
            self._dependents.setdefault(uid, {})[key] = None


def _namespace(obj: Json) -> str:
    return str(obj["metadata"].get("namespace", ""))


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def _owners(obj: Json | None) -> set[str]:
    if obj is None:
        return set()
    return {reference.get("uid", "") for reference in obj["metadata"].get("ownerReferences") or ()}


__all__ = [
    "AlreadyExistsError",
    "ConflictError",
    "Deleted",
    "Deletion",
    "ExpiredError",
    "NotFoundError",
    "PreconditionError",
    "Store",
    "StoreError",
    "changed",
]
