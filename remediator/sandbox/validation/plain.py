"""Faults of the kinds that run nothing: ConfigMap, Secret, Lease, Event, claims, Namespace, Application."""

from __future__ import annotations

from remediator.sandbox.quantities import parse
from remediator.sandbox.resources import Json
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import bad, not_allowed, required

MAX_DATA_BYTES = 1024 * 1024
_MAX_NOTE = 1024
_LEVELS = {"privileged", "baseline", "restricted"}
_IMMUTABLE = "field is immutable when `immutable` is set"
# What the events.k8s.io API demands of an event that carries an eventTime.
_EVENT_REQUIRED = ("reportingComponent", "reportingInstance", "action", "reason")
_EVENT_FROZEN = ("involvedObject", "reason", "message", "type", "eventTime", "action", "reportingComponent")
_EVENT_NAMES = {"reportingComponent": "reportingController"}


def config_map(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a ConfigMap."""
    size = sum(len(value) for part in ("data", "binaryData") for value in (obj.get(part) or {}).values())
    return _too_long(size, "[]") + _frozen(obj, old)


def secret(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a Secret."""
    size = sum(len(value) * 3 // 4 for value in (obj.get("data") or {}).values())
    causes = _too_long(size, "data") + _frozen(obj, old)
    if old is not None and obj.get("type") != old.get("type"):
        causes.append(bad("type", obj.get("type"), "field is immutable"))
    return causes


def _too_long(size: int, field: str) -> list[Cause]:
    if size <= MAX_DATA_BYTES:
        return []
    return [Cause("FieldValueTooLong", f"Too long: may not be more than {MAX_DATA_BYTES} bytes", field)]


def _frozen(obj: Json, old: Json | None) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    causes = [not_allowed("immutable", _IMMUTABLE)] if not obj.get("immutable") else []
    return causes + [not_allowed(part, _IMMUTABLE) for part in ("data", "binaryData") if obj.get(part) != old.get(part)]


def lease(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a Lease."""
    spec = obj.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    causes = (
        [] if seconds is None or seconds > 0 else [bad("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
    )
    if transitions is not None and transitions < 0:
        causes.append(bad("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return causes


def event(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of an Event that every API group looks for."""
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    if about and about != obj["metadata"].get("namespace"):
        return [bad("involvedObject.namespace", about, "does not match event.namespace")]
    if not obj.get("eventTime"):
        return []
    return new_event(obj) if old is None else _changed_event(obj, old)


def new_event(obj: Json) -> list[Cause]:
    """Return the faults of an Event made through events.k8s.io."""
    if not obj.get("eventTime"):
        return [required("eventTime")]
    causes = [required(_EVENT_NAMES.get(key, key)) for key in _EVENT_REQUIRED if not obj.get(key)]
    if obj.get("type") not in {"Normal", "Warning"}:
        causes.append(bad("type", "", f"has invalid value: {obj.get('type', '')}"))
    if len(obj.get("message", "")) > _MAX_NOTE:
        causes.append(bad("message", "", "can have at most 1024 characters"))
    return causes


def _changed_event(obj: Json, old: Json) -> list[Cause]:
    return [bad(key, obj.get(key), "field is immutable") for key in _EVENT_FROZEN if obj.get(key) != old.get(key)]


def claim(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a PersistentVolumeClaim."""
    if old is None:
        return (
            []
            if obj["spec"].get("accessModes")
            else [required("spec.accessModes", "at least 1 access mode is required")]
        )
    wanted = ((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if parse(wanted) < parse(held):
        return [not_allowed("spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []


def namespace(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a Namespace."""
    causes: list[Cause] = []
    for key, value in (obj["metadata"].get("labels") or {}).items():
        prefix, _, mode = key.partition("/")
        if prefix == "pod-security.kubernetes.io" and "-" not in mode and value not in _LEVELS:
            causes.append(bad(f"metadata.labels[{key}]", value, "must be one of privileged, baseline, restricted"))
    return causes


def application(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of an Argo CD Application, as its schema has them."""
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return [required("spec")]
    causes: list[Cause] = []
    for key, kind, word in (("project", str, "string"), ("destination", dict, "object")):
        value = spec.get(key)
        if value is None:
            causes.append(required(f"spec.{key}"))
        elif not isinstance(value, kind):
            given = {int: "integer", str: "string", bool: "boolean", float: "number", list: "array", dict: "object"}
            word_given = given[type(value)]
            text = f'Invalid value: "{word_given}": spec.{key} in body must be of type {word}: "{word_given}"'
            causes.append(Cause("FieldValueTypeInvalid", text, f"spec.{key}"))
    return causes
