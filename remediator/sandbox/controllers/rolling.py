"""The arithmetic of rollouts, as pure functions: how many more, how many fewer, how wide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a rollout may go beyond and below the wanted replicas."""

    surge: int
    unavailable: int


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet in numbers: wanted pods, available pods, and the maximum noted when it was last scaled."""

    wanted: int
    available: int
    noted_maximum: int = 0


def share(value: int | str | None, of: int, *, up: bool) -> int:
    """Return an int-or-percent of a number, rounded up or down."""
    if isinstance(value, str):
        part = int(value.rstrip("%")) * of / _PERCENT
        return math.ceil(part) if up else math.floor(part)
    return value or 0


def bounds(replicas: int, surge: int | str | None, unavailable: int | str | None) -> Bounds:
    """Return maxSurge (rounded up) and maxUnavailable (down); both zero would stand still, so one may be missing."""
    more, fewer = share(surge, replicas, up=True), share(unavailable, replicas, up=False)
    if more == 0 and fewer == 0:
        fewer = 1
    return Bounds(more, min(fewer, replicas))


def new_size(replicas: int, limits: Bounds, new: int, everyone: int) -> int:
    """Return the size for the new ReplicaSet: as near to `replicas` as replicas + surge pods in all allow."""
    if new >= replicas:
        return replicas
    room = replicas + limits.surge - everyone
    return new if room <= 0 else new + min(room, replicas - new)


def old_sizes(replicas: int, limits: Bounds, new: Size, old: Sequence[Size]) -> list[int]:
    """Return the sizes for the old ReplicaSets: unhealthy pods go first, then as many as availability allows."""
    sizes = [item.wanted for item in old]
    least = replicas - limits.unavailable
    spare = sum(sizes) + new.wanted - least - (new.wanted - new.available)
    if spare <= 0:
        return sizes
    cleaned = 0
    for index, item in enumerate(old):
        unhealthy = min(spare - cleaned, item.wanted - item.available)
        if unhealthy > 0:
            sizes[index] -= unhealthy
            cleaned += unhealthy
    surplus = new.available + sum(item.available for item in old) - least
    for index, size in enumerate(sizes):
        fewer = min(size, surplus)
        if fewer > 0:
            sizes[index] -= fewer
            surplus -= fewer
    return sizes


def proportional(replicas: int, limits: Bounds, sizes: Sequence[Size]) -> list[int]:
    """Return the sizes when a Deployment is scaled amid a rollout: each set in proportion, the rest to the largest.

    `sizes` come largest first; the sum of the answer is replicas + surge (0 for 0 replicas).
    """
    allowed = replicas + limits.surge if replicas > 0 else 0
    change = allowed - sum(item.wanted for item in sizes)
    result, given = [], 0
    for item in sizes:
        part = _portion(item, replicas, allowed, change - given) if change and item.wanted else 0
        result.append(item.wanted + part)
        given += part
    return _spread(result, change - given)


def _spread(sizes: list[int], left: int) -> list[int]:
    """Give what is left to the first; take what is too much from the first that have it."""
    result = list(sizes)
    for index, size in enumerate(result):
        part = max(left, -size)
        result[index] += part
        left -= part
    return result


def _portion(item: Size, replicas: int, allowed: int, left: int) -> int:
    if replicas == 0:
        return max(-item.wanted, left)
    before = item.noted_maximum or allowed
    part = math.floor(item.wanted * allowed / before + 0.5) - item.wanted
    return max(0, min(part, left)) if left > 0 else min(0, max(part, left))
