"""ResourceQuotas on the number of pods: checked where controllers make pods, and kept up to date in their status."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import PODS, RESOURCE_QUOTAS, Json
from remediator.sandbox.store import Store

_KEYS = ("pods", "count/pods")


class QuotaExceeded(Exception):
    """One more pod would go beyond a quota; the message is the server's."""


def check_quota(store: Store, namespace: str, name: str, pod: Json) -> None:
    """Refuse (QuotaExceeded) a pod beyond the quota on pods of its namespace."""
    if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return
    for quota in store.list(RESOURCE_QUOTAS, namespace):
        for key, limit in _limits(quota):
            used = _used(store, namespace)
            if used + 1 > limit:
                label = quota["metadata"]["name"]
                raise QuotaExceeded(
                    f'pods "{name}" is forbidden: exceeded quota: {label}, requested: {key}=1, used: {key}={used}, '
                    f"limited: {key}={limit}"
                )


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
        used = {name: str(_used(self._world.store, key[0])) for name, _ in _limits(quota)}
        before = (quota.get("status") or {}).get("used") or {}
        status = {"hard": dict((quota.get("spec") or {}).get("hard") or {}), "used": {**before, **used}}
        self._world.store.update_status(RESOURCE_QUOTAS, *key, status)


def _limits(quota: Json) -> Iterable[tuple[str, int]]:
    hard = (quota.get("spec") or {}).get("hard") or {}
    return [(key, int(hard[key])) for key in _KEYS if str(hard.get(key, "")).isdecimal()]


def _used(store: Store, namespace: str) -> int:
    finished = {"Succeeded", "Failed"}
    return sum(1 for pod in store.list(PODS, namespace) if pod.get("status", {}).get("phase") not in finished)
