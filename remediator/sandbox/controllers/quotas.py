"""The ResourceQuota controller: keeps in the status of quotas what is used of them."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox import pod_limits
from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import PODS, RESOURCE_QUOTAS


class QuotaController:
    """Keeps `status.hard` and `status.used` of quotas on pods."""

    watches = (RESOURCE_QUOTAS, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._known: dict[str, dict[str, None]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a quota that changed, or those of a namespace where a pod came or went."""
        if change.resource == RESOURCE_QUOTAS:
            names = self._known.setdefault(change.namespace, {})
            if change.kind == "DELETED":
                names.pop(change.name, None)
            else:
                names[change.name] = None
                yield change.namespace, change.name
        elif change.kind != "MODIFIED":
            for name in self._known.get(change.namespace, ()):
                yield change.namespace, name

    def reconcile(self, key: Key) -> None:
        """Count the pods of one quota's namespace."""
        quota = self._world.store.find(RESOURCE_QUOTAS, *key)
        if quota is None:
            return
        status = pod_limits.status_of(self._world.store, key[0], quota)
        self._world.store.update_status(RESOURCE_QUOTAS, *key, status)
