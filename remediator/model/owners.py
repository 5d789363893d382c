"""Who else decides about a workload: what scales it, what keeps it as in Git, and what its namespace allows."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class LeverKind(StrEnum):
    """Kinds of objects that say how many pods a workload has, spelt as Kubernetes spells them."""

    AUTOSCALER = "HorizontalPodAutoscaler"
    SCALED_OBJECT = "ScaledObject"


class Lever(Struct, frozen=True, kw_only=True):
    """The object that is written to instead of the workload. ``uid`` pins the very object."""

    kind: LeverKind
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """Return ``horizontalpodautoscaler/web``."""
        return f"{self.kind.lower()}/{self.name}"


class Keeper(Struct, frozen=True, kw_only=True):
    """What brings an object back to what Git says, soon and by itself: Argo CD with self-heal, or Flux.

    ``ignores``: the JSON pointers (``/spec/replicas``) that it does not compare on this object.
    """

    tool: str
    name: str
    ignores: tuple[str, ...] = ()

    def reverts(self, *path: str) -> bool:
        """Tell whether a field is brought back: neither it nor what it is in is ignored."""
        pointers = {"/" + "/".join(path[: length + 1]) for length in range(len(path))}
        return pointers.isdisjoint(self.ignores)

    def __str__(self) -> str:
        """Return ``Argo CD application portal``."""
        return f"{self.tool} {self.name}"


class Scaler(Struct, frozen=True, kw_only=True):
    """What scales a workload by itself, between two bounds; ``minimum`` is None where KEDA's default stands.

    ``paused``: it was told to leave the workload alone.
    """

    lever: Lever
    minimum: int | None
    maximum: int
    paused: bool = False
    keeper: Keeper | None = None


class Room(Struct, frozen=True, kw_only=True):
    """How many more pods like those of the workload one limit of a quota leaves (never below 0)."""

    quota: str
    key: str
    pods: int


class Budget(Struct, frozen=True, kw_only=True):
    """A PodDisruptionBudget over the pods of a workload: how many it needs, has, and would let go now."""

    name: str
    desired: int
    healthy: int
    allowed: int


class Surroundings(Struct, frozen=True, kw_only=True):
    """What there is around a workload. ``unknown``: what could not be found out, and what to do about each."""

    scaler: Scaler | None = None
    keeper: Keeper | None = None
    rooms: tuple[Room, ...] = ()
    unknown: tuple[str, ...] = ()
