"""The rules of one object's life, as pure functions: what an update keeps, what bumps it, when a deletion is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from remediator.sandbox.resources import GroupResource, Json, Resource

Part = Literal["main", "status"]
Propagation = Literal["Background", "Foreground", "Orphan"]

# Asked before a client's write is stored: the object as it would be, and as it is. It refuses by raising.
Admit = Callable[[dict[str, Any] | None, dict[str, Any] | None], None]
FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"
DEFAULT_GRACE_SECONDS = 30
# What the system alone writes into metadata; a client's value for these is replaced by the stored one.
_SYSTEM_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


class StoreError(Exception):
    """A write or read that the store refuses; names the collection and the object."""

    def __init__(self, resource: GroupResource, name: str, message: str) -> None:
        """Keep what it is about, for the answer."""
        super().__init__(message)
        self.resource = resource
        self.name = name


class NotFoundError(StoreError):
    """There is no such object."""


class AlreadyExistsError(StoreError):
    """An object of that name is there."""


class ConflictError(StoreError):
    """The given resourceVersion is not the object's."""


class PreconditionError(StoreError):
    """The given uid (or, on delete, resourceVersion) is not the object's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How to delete: seconds of grace, what becomes of dependents, and which object exactly is meant."""

    grace: int | None = None
    propagation: Propagation | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


def changed(obj: Json, path: tuple[str, ...], value: Any) -> Json:
    """Return `obj` with `value` at `path`, sharing all that did not change; makes missing levels."""
    head, rest = path[0], path[1:]
    return {**obj, head: changed(obj.get(head) or {}, rest, value) if rest else value}


def check_version(resource: GroupResource, current: Json, given: Json) -> None:
    """Refuse a stale resourceVersion (ConflictError) or another uid (PreconditionError) in given metadata."""
    stored, name = current["metadata"], given["name"]
    version = given.get("resourceVersion")
    if version and version != stored["resourceVersion"]:
        message = (
            f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        raise ConflictError(resource, name, message)
    if given.get("uid") and given["uid"] != stored["uid"]:
        message = (
            f'Operation cannot be fulfilled on {resource} "{name}": Precondition failed: UID in precondition: '
            f"{given['uid']}, UID in object meta: {stored['uid']}"
        )
        raise PreconditionError(resource, name, message)


def check_preconditions(resource: GroupResource, current: Json, how: Deletion) -> None:
    """Refuse (PreconditionError) to delete another object than the one that is meant."""
    metadata = current["metadata"]
    pairs = (("UID", how.uid, metadata["uid"]), ("ResourceVersion", how.resource_version, metadata["resourceVersion"]))
    for label, wanted, actual in pairs:
        if wanted is not None and wanted != actual:
            message = (
                f'Operation cannot be fulfilled on {current["kind"]} "{metadata["name"]}": the {label} in the '
                f"precondition ({wanted}) does not match the {label} in record ({actual}). The object might have "
                "been deleted and then recreated"
            )
            raise PreconditionError(resource, metadata["name"], message)


def merge_update(kind: Resource, current: Json, obj: Json, part: Part) -> Json:
    """Return what an update stores: what the system alone writes stays, and so does the part not addressed."""
    if part == "status":
        merged = {**current, "metadata": dict(current["metadata"])}
        _put(merged, "status", obj.get("status"))
        return merged
    stored = current["metadata"]
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SYSTEM_METADATA}
    metadata |= {key: stored[key] for key in _SYSTEM_METADATA if key in stored}
    metadata["resourceVersion"] = stored["resourceVersion"]
    merged = {**obj, "apiVersion": kind.group_version, "kind": kind.kind, "metadata": metadata}
    if kind.status:
        _put(merged, "status", current.get("status"))
    return merged


def _put(obj: Json, key: str, value: Json | None) -> None:
    if value is None:
        obj.pop(key, None)
    else:
        obj[key] = value


def same(current: Json, merged: Json) -> bool:
    """Tell whether storing `merged` would change nothing that a client can see."""
    if current is merged:
        return True
    if current.keys() != merged.keys():
        return False
    for key, value in merged.items():
        if key == "metadata":
            if _client_metadata(value) != _client_metadata(current["metadata"]):
                return False
        elif value is not current[key] and value != current[key]:
            return False
    return True


def _client_metadata(metadata: Json) -> Json:
    return {key: value for key, value in metadata.items() if key not in {"resourceVersion", "managedFields"}}


def bumps_generation(kind: Resource, current: Json, merged: Json) -> bool:
    """Tell whether the change touches what metadata.generation of this kind counts."""
    keys: Iterable[str] = kind.generation
    if "*" in kind.generation:
        keys = (current.keys() | merged.keys()) - {"metadata"}
    for key in keys:
        if key == "annotations":
            if current["metadata"].get("annotations") != merged["metadata"].get("annotations"):
                return True
        elif current.get(key) != merged.get(key):
            return True
    return False


def grace(kind: Resource, current: Json, asked: int | None) -> int:
    """Return the seconds of grace a deletion gives: the asked or the pod's own, 0 where nothing runs."""
    if not kind.graceful:
        return 0
    spec = current.get("spec", {})
    if not spec.get("nodeName") or current.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    if asked is not None:
        return asked
    return int(spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))


def is_finished(obj: Json) -> bool:
    """Tell whether nothing holds a deleted object any more: no finalizer, no grace."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace" and obj.get("spec", {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds", 0)


def finalizers_on_delete(present: tuple[str, ...], propagation: Propagation | None) -> list[str]:
    """Return the finalizers a deletion leaves: those of others stay, the two of propagation follow the wish."""
    own = {"Foreground": FOREGROUND_FINALIZER, "Orphan": ORPHAN_FINALIZER}
    if propagation is None:
        return list(present)
    kept = [name for name in present if name not in own.values()]
    return [*kept, own[propagation]] if propagation in own else kept
