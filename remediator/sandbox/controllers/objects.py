"""Small readings of Kubernetes objects that several controllers share: owners, readiness, conditions, hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from remediator.sandbox.resources import Json

TEMPLATE_HASH = "pod-template-hash"
REVISION_HASH = "controller-revision-hash"
CURE_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10

Key = tuple[str, str]


def key_of(obj: Json) -> Key:
    """Return namespace ("" for a cluster-scoped kind) and name."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def annotations_of(obj: Json) -> dict[str, str]:
    """Return the annotations; not to be changed."""
    return obj["metadata"].get("annotations") or {}


def labels_of(obj: Json) -> dict[str, str]:
    """Return the labels; not to be changed."""
    return obj["metadata"].get("labels") or {}


def is_going(obj: Json) -> bool:
    """Tell whether the object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def controller_of(obj: Json) -> Json | None:
    """Return the ownerReference of the controller, or None."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: Json) -> Json:
    """Return the ownerReference that makes `owner` the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


@lru_cache(maxsize=4096)
def moment_of(text: str | None) -> datetime | None:
    """Read a metav1.Time; None for none."""
    return None if not text else datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def condition_of(status: Json | None, kind: str) -> Json | None:
    """Return the condition of that type, or None."""
    return next((item for item in (status or {}).get("conditions") or () if item["type"] == kind), None)


def is_ready(pod: Json) -> bool:
    """Tell whether the pod's Ready condition is True."""
    condition = condition_of(pod.get("status"), "Ready")
    return condition is not None and condition["status"] == "True"


def ready_since(pod: Json) -> datetime | None:
    """Return since when a pod is ready; None when it is not."""
    condition = condition_of(pod.get("status"), "Ready")
    ready = condition is not None and condition["status"] == "True"
    return moment_of(condition["lastTransitionTime"]) if ready and condition is not None else None


def available_in(pod: Json, now: datetime, wanted: float) -> float | None:
    """Return the seconds until a ready pod has been ready for `wanted` seconds (0 or less: it has); None: not ready."""
    since = ready_since(pod)
    return None if since is None else wanted - (now - since).total_seconds()


def is_active(pod: Json) -> bool:
    """Tell whether the pod counts for its owner: not finished, not going."""
    return not is_going(pod) and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}


def template_hash(template: Json, salt: int = 0) -> str:
    """Return a short name for a pod template, the same for the same template; its own hash label is left out."""
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != TEMPLATE_HASH}
    shape: Any = [_clean({**metadata, "labels": labels}), _clean(template.get("spec") or {}), salt]
    digest = int.from_bytes(hashlib.sha256(msgspec.json.encode(shape, order="sorted")).digest()[:8], "big")
    letters = []
    for _ in range(_HASH_LENGTH):
        digest, letter = divmod(digest, len(_SAFE_LETTERS))
        letters.append(_SAFE_LETTERS[letter])
    return "".join(letters)


def same_template(one: Json, other: Json) -> bool:
    """Tell whether two pod templates differ in nothing but the hash label that a controller puts there."""
    return _bare(one) == _bare(other)


def sum_of(objects: Iterable[Json], *path: str) -> int:
    """Return the sum of the numbers at `path`; what is absent counts nothing."""
    total = 0
    for obj in objects:
        value: Any = obj
        for key in path:
            value = (value or {}).get(key)
        total += value or 0
    return total


def with_condition(conditions: Iterable[Json], new: Json) -> list[Json]:
    """Return the conditions with `new` put last, as the Deployment controller does.

    Nothing changes when status and reason are the same; lastTransitionTime stays while the status does.
    """
    kept = list(conditions)
    current = next((item for item in kept if item["type"] == new["type"]), None)
    if current and (current["status"], current.get("reason")) == (new["status"], new.get("reason")):
        return kept
    if current and current["status"] == new["status"]:
        new = {**new, "lastTransitionTime": current["lastTransitionTime"]}
    return [*without_condition(kept, new["type"]), new]


def without_condition(conditions: Iterable[Json], kind: str) -> list[Json]:
    """Return the conditions but those of type `kind`."""
    return [item for item in conditions if item["type"] != kind]


def _bare(template: Json) -> Json:
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != TEMPLATE_HASH}
    return {"metadata": _clean(metadata), "spec": template.get("spec") or {}}


def _clean(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if value not in ({}, None, [])}
