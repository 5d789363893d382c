"""What a namespace allows its pods: ResourceQuotas over all of them, LimitRanges for each container.

Usage is counted from the pods that are there, so a quota holds at once and not only when its status has been written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from remediator.sandbox.quantities import canonical, parse
from remediator.sandbox.resources import LIMIT_RANGES, PODS, RESOURCE_QUOTAS, Json
from remediator.sandbox.store import Store

_NOTHING = Decimal(0)
_FINISHED = {"Succeeded", "Failed"}
# What a quota may be about, and what of a container it counts; a pod itself counts under the first two.
_COUNTED = {"pods": None, "count/pods": None} | {
    **{name: ("requests", name) for name in ("cpu", "memory")},
    **{f"{part}.{name}": (part, name) for part in ("requests", "limits") for name in ("cpu", "memory")},
}


class LimitExceeded(Exception):
    """A pod that the namespace does not allow; the message is the server's, after `is forbidden: `."""


def admit(store: Store, namespace: str, pod: Json) -> None:
    """Give a new pod the defaults of its namespace, and refuse (LimitExceeded) one that is too much."""
    for limit_range in store.list(LIMIT_RANGES, namespace):
        for item in (limit_range.get("spec") or {}).get("limits") or ():
            if item.get("type") == "Container":
                for container in pod["spec"].get("containers") or ():
                    _limit(container, item)
    for quota in store.list(RESOURCE_QUOTAS, namespace):
        _check(store, namespace, quota, pod)


def counted(quota: Json) -> dict[str, Decimal]:
    """Return the limits of a quota that are counted here."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return {key: parse(value) for key, value in hard.items() if key in _COUNTED}


def used(store: Store, namespace: str, key: str) -> Decimal:
    """Return how much of one thing the pods of a namespace take."""
    return sum((_of(pod, key) for pod in store.list(PODS, namespace)), _NOTHING)


def _check(store: Store, namespace: str, quota: Json, pod: Json) -> None:
    hard = counted(quota)
    more = {key: _of(pod, key) for key in hard}
    now = {key: used(store, namespace, key) for key in hard}
    over = sorted(key for key in hard if more[key] and now[key] + more[key] > hard[key])
    if over:
        told = (("requested", more), ("used", now), ("limited", hard))
        parts = [f"{word}: {','.join(f'{key}={canonical(str(of[key]))}' for key in over)}" for word, of in told]
        raise LimitExceeded(f"exceeded quota: {quota['metadata']['name']}, {', '.join(parts)}")
    unsaid = sorted(key for key in hard if _COUNTED[key] is not None and not _said(pod, key))
    if unsaid:
        raise LimitExceeded(f"failed quota: {quota['metadata']['name']}: must specify {','.join(unsaid)}")


def _of(pod: Json, key: str) -> Decimal:
    """Return how much of a quota one pod takes; a finished one takes nothing."""
    if pod.get("status", {}).get("phase") in _FINISHED:
        return _NOTHING
    if _COUNTED[key] is None:
        return Decimal(1)
    return sum((parse(amount) for amount in _amounts(pod, key)), _NOTHING)


def _said(pod: Json, key: str) -> bool:
    """Tell whether every container says how much of it it takes: under such a quota none may leave it open."""
    return len(list(_amounts(pod, key))) == len(pod["spec"].get("containers") or ())


def _amounts(pod: Json, key: str) -> Iterator[str]:
    part, name = _COUNTED[key] or ("", "")
    for container in pod["spec"].get("containers") or ():
        amount = ((container.get("resources") or {}).get(part) or {}).get(name)
        if amount is not None:
            yield amount


def _limit(container: Json, item: Json) -> None:
    """Fill in what a container leaves open, then refuse what is beyond the range."""
    resources: Json = container.setdefault("resources", {})
    for part, default in (("limits", "default"), ("requests", "defaultRequest")):
        for name, amount in (item.get(default) or {}).items():
            resources.setdefault(part, {}).setdefault(name, amount)
    for name, most in (item.get("max") or {}).items():
        for part in ("limits", "requests"):
            _within(resources, part, name, most)


def _within(resources: Json, part: str, name: str, most: str) -> None:
    amount = (resources.get(part) or {}).get(name)
    if amount is not None and parse(amount) > parse(most):
        said = f"{part[:-1]} is {amount}"
        raise LimitExceeded(f"maximum {name} usage per Container is {most}, but {said}")


def status_of(store: Store, namespace: str, quota: Json) -> Json:
    """Return the status of a quota: what it allows, and what is used of that."""
    before = (quota.get("status") or {}).get("used") or {}
    now: Iterable[str] = counted(quota)
    taken = {key: canonical(str(used(store, namespace, key))) for key in now}
    return {"hard": dict((quota.get("spec") or {}).get("hard") or {}), "used": {**before, **taken}}
