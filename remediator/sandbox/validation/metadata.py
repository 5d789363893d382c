"""Faults of metadata: names, labels, annotations, finalizers, and what may never change."""

from __future__ import annotations

from remediator.sandbox.resources import NAMESPACES, SERVICES, GroupResource, Json, Resource
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import (
    LABEL_RULE,
    SUBDOMAIN_RULE,
    bad,
    immutable,
    is_label,
    is_label_value,
    is_path_segment,
    is_qualified,
    is_subdomain,
    not_allowed,
    required,
)

_MAX_ANNOTATIONS = 256 * 1024
_LABEL_NAMED = {NAMESPACES, SERVICES}
_SEGMENT_NAMED = {"rbac.authorization.k8s.io"}


def check(resource: Resource, obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of an object's metadata."""
    metadata = obj["metadata"]
    causes: list[Cause] = []
    if old is None:
        causes += _name(resource.storage, metadata)
    for key, value in (metadata.get("labels") or {}).items():
        if not is_qualified(key):
            causes.append(
                bad("metadata.labels", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
            )
        if not is_label_value(value):
            causes.append(bad("metadata.labels", value, "a valid label must be an empty string or at most 63 letters"))
    causes += _annotations(metadata.get("annotations") or {})
    causes += _finalizers(metadata, old)
    if old is not None and metadata.get("uid") and metadata["uid"] != old["metadata"]["uid"]:
        # The server looks twice, and says so twice.
        causes += [immutable("metadata.uid", metadata["uid"])] * 2
    return causes


def _name(resource: GroupResource, metadata: Json) -> list[Cause]:
    name = metadata.get("name")
    if not name:
        if metadata.get("generateName"):
            return []
        return [required("metadata.name", "name or generateName is required")]
    if resource in _LABEL_NAMED:
        return [] if is_label(name) else [bad("metadata.name", name, LABEL_RULE)]
    if resource.group in _SEGMENT_NAMED:
        return [] if is_path_segment(name) else [bad("metadata.name", name, "may not contain '/' or '%'")]
    return [] if is_subdomain(name) else [bad("metadata.name", name, SUBDOMAIN_RULE)]


def _annotations(annotations: Json) -> list[Cause]:
    causes = [
        bad("metadata.annotations", key, "name part must consist of alphanumeric characters, '-', '_' or '.'")
        for key in annotations
        if not is_qualified(key.lower())
    ]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > _MAX_ANNOTATIONS:
        message = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        causes.append(Cause("FieldValueTooLong", message, "metadata.annotations"))
    return causes


def _finalizers(metadata: Json, old: Json | None) -> list[Cause]:
    wanted = metadata.get("finalizers") or []
    causes = [bad("metadata.finalizers", name, "name is not qualified") for name in wanted if not is_qualified(name)]
    if old is not None and "deletionTimestamp" in old["metadata"]:
        added = [name for name in wanted if name not in (old["metadata"].get("finalizers") or ())]
        if added:
            text = ", ".join(f'"{name}"' for name in added)
            rule = "no new finalizers can be added if the object is being deleted"
            why = f"{rule}, found new finalizers []string{{{text}}}"
            causes += [not_allowed("metadata.finalizers", why)] * 2
    return causes
