"""Levers: the objects that say how many pods a workload has, read for a write. Pure."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from remediator.adapters.kubernetes.git_owners import Kept
from remediator.adapters.kubernetes.image import before_image
from remediator.adapters.kubernetes.names import group_path
from remediator.adapters.kubernetes.owner_shapes import Autoscaler, ScaledObject
from remediator.adapters.kubernetes.shapes import Meta
from remediator.model.action import BeforeImage
from remediator.model.owners import Lever, LeverKind, Scaler

AUTOSCALING = "autoscaling/v2"
KEDA = "keda.sh/v1alpha1"
KEDA_MAXIMUM = 100
"""What KEDA takes for maxReplicaCount where it is left out."""
_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
_GROUPS = {
    LeverKind.AUTOSCALER: ("autoscaling", "horizontalpodautoscalers"),
    LeverKind.SCALED_OBJECT: ("keda.sh", "scaledobjects"),
}


def lever_path(lever: Lever) -> str:
    """Return the path of a lever."""
    group = AUTOSCALING if lever.kind is LeverKind.AUTOSCALER else KEDA
    return group_path(group, lever.namespace, _GROUPS[lever.kind][1], lever.name)


def scaler_from(lever: Lever, body: bytes) -> tuple[Scaler, Meta]:
    """Return what an answer to a read of a lever says. Raises msgspec.DecodeError."""
    if lever.kind is LeverKind.AUTOSCALER:
        autoscaler = msgspec.json.decode(body, type=Autoscaler)
        return of_autoscaler(autoscaler), autoscaler.metadata
    scaled = msgspec.json.decode(body, type=ScaledObject)
    return of_keda(scaled), scaled.metadata


def lever_kept(lever: Lever, meta: Meta) -> Kept:
    """Return a lever as what may be kept in Git."""
    return Kept(group=_GROUPS[lever.kind][0], kind=lever.kind.value, meta=meta)


def lever_image(document: dict[str, Any], meta: Meta) -> BeforeImage:
    """Return the before-image of a lever.

    An autoscaler has no generation, yet somebody must be able to tell whether its spec has been written to. Who owns
    which fields tells that: every write through the object itself leaves its manager and its time there, those of the
    status stand apart. Where the server does not show that, the version stands for it: too strict, never too lax.
    """
    image = before_image(document, meta)
    if meta.generation:
        return image
    managers = document["metadata"].get("managedFields")
    written = [item for item in managers if not item.get("subresource")] if managers else meta.resource_version
    digest = hashlib.sha256(msgspec.json.encode(written, order="sorted")).digest()
    return msgspec.structs.replace(image, generation=int.from_bytes(digest[:6]))


def of_autoscaler(item: Autoscaler) -> Scaler:
    """Return what an autoscaler says."""
    return Scaler(
        lever=_lever(LeverKind.AUTOSCALER, item.metadata),
        minimum=item.spec.min_replicas,
        maximum=item.spec.max_replicas,
    )


def of_keda(item: ScaledObject) -> Scaler:
    """Return what a ScaledObject says; KEDA's default stands for a maximum that is left out."""
    most = item.spec.max_replica_count
    return Scaler(
        lever=_lever(LeverKind.SCALED_OBJECT, item.metadata),
        minimum=item.spec.min_replica_count,
        maximum=KEDA_MAXIMUM if most is None else most,
        paused=any(mark in (item.metadata.annotations or {}) for mark in _PAUSED),
    )


def _lever(kind: LeverKind, meta: Meta) -> Lever:
    return Lever(kind=kind, namespace=meta.namespace, name=meta.name, uid=meta.uid)
