"""The namespace controller: empties a namespace that is going away, and lets it go once it is empty."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.objects import is_going, key_of
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import NAMESPACES, GroupResource
from remediator.sandbox.store import Deletion

_FINALIZER = "kubernetes"


class NamespaceController:
    """Ends namespaces."""

    def __init__(self, world: World) -> None:
        """Work in `world`, on all namespaced collections that it serves."""
        self._world = world
        stored = dict.fromkeys(item.storage for item in world.store.catalogue.resources if item.namespaced)
        self._contents: tuple[GroupResource, ...] = tuple(stored)
        self.watches: tuple[GroupResource, ...] = (NAMESPACES, *self._contents)
        self._going: dict[str, None] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a namespace that is going, and one that lost something while it goes."""
        if change.resource != NAMESPACES:
            if change.namespace in self._going:
                yield "", change.namespace
        elif change.kind == "DELETED":
            self._going.pop(change.name, None)
        elif is_going(change.object):
            self._going[change.name] = None
            yield "", change.name

    def reconcile(self, key: Key) -> None:
        """Delete what is in a namespace that is going; take its finalizer off when nothing is left."""
        namespace = self._world.store.find(NAMESPACES, *key)
        if namespace is None or not is_going(namespace):
            return
        left = 0
        for resource in self._contents:
            for item in self._world.store.list(resource, key[1]):
                if not is_going(item):
                    self._world.store.delete(resource, *key_of(item), Deletion(propagation="Background"))
            left += len(self._world.store.list(resource, key[1]))
        if left == 0:
            spec = dict(namespace.get("spec") or {})
            spec["finalizers"] = [name for name in spec.get("finalizers") or () if name != _FINALIZER]
            self._world.store.mutate(NAMESPACES, *key, lambda obj: {**obj, "spec": spec})
