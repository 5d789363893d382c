"""Label and field selectors: parses their text and tells whether an object matches."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.status import bad_request

Predicate = Callable[[Json], bool]

_SET = re.compile(r"^\s*([^\s!=,()]+)\s+(in|notin)\s+(.*)$", re.DOTALL)
_KEY = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")

_METADATA_FIELDS = ("metadata.name", "metadata.namespace")
_FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "ReplicaSet": ("status.replicas",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP", "spec.type"),
}  # fmt: skip


@lru_cache(maxsize=512)
def parse_labels(text: str) -> Predicate:
    """Return the predicate of a label selector; ApiError 400 when it cannot be read."""
    tests = [_requirement(part) for part in _split(text)]
    return lambda obj: _all_hold(tests, obj["metadata"].get("labels") or {})


def match_label_selector(selector: Json | None, labels: Json) -> bool:
    """Tell whether a LabelSelector object selects these labels; None selects nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(item, labels) for item in selector.get("matchExpressions") or ())


def label_selector_text(selector: Json | None) -> str:
    """Write a LabelSelector object the way a query parameter has it."""
    selector = selector or {}
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for item in selector.get("matchExpressions") or ():
        key, values = item["key"], ",".join(sorted(item.get("values") or ()))
        texts = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(texts[item["operator"]])
    return ",".join(parts)


def parse_fields(resource: Resource, text: str) -> tuple[Predicate, str | None]:
    """Return the predicate of a field selector, and the name if it asks for one object; ApiError 400."""
    tests: list[tuple[tuple[str, ...], str, bool]] = []
    name: str | None = None
    for part in filter(None, text.split(",")):
        match = re.match(r"^([^=!]+)(==|!=|=)(.*)$", part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        equal = operator != "!="
        tests.append((_field_path(resource, field), value, equal))
        if field == "metadata.name" and equal:
            name = value
    return (lambda obj: all((_field(obj, path) == value) == equal for path, value, equal in tests)), name


def _field_path(resource: Resource, field: str) -> tuple[str, ...]:
    known = _FIELDS.get(resource.kind, ())
    if resource.group == "events.k8s.io":
        known = tuple(item for item in known if not item.startswith("involvedObject"))
        known += tuple("regarding" + item.removeprefix("involvedObject") for item in _FIELDS["Event"] if "." in item)
    if field not in _METADATA_FIELDS and field not in known:
        if known:
            raise bad_request(f"field label not supported: {field}")
        raise bad_request(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if field == "source":
        return ("source", "component")
    if field.startswith("regarding."):
        return ("involvedObject", *field.split(".")[1:])
    return tuple(field.split("."))


def _field(obj: Json, path: tuple[str, ...]) -> str:
    value: Any = obj
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part for part in (item.strip() for item in parts) if part]


def _requirement(part: str) -> Callable[[Json], bool]:
    match = _SET.match(part)
    if match is not None:
        key, operator, rest = match.groups()
        if not rest.startswith("(") or not rest.rstrip().endswith(")"):
            raise bad_request(f"unable to parse requirement: found '{rest.split()[0] if rest else ''}' expected: '('")
        values = {_checked(_VALUE, item.strip()) for item in rest.strip()[1:-1].split(",")}
        return _membership(_checked(_KEY, key), values, inside=operator == "in")
    for operator in ("!=", "==", "="):
        key, found, value = part.partition(operator)
        if found:
            inside = operator != "!="
            return _membership(_checked(_KEY, key.strip()), {_checked(_VALUE, value.strip())}, inside=inside)
    if part.startswith("!"):
        absent = _checked(_KEY, part[1:].strip())
        return lambda labels: absent not in labels
    present = _checked(_KEY, part)
    return lambda labels: present in labels


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.match(text):
        raise bad_request(f"unable to parse requirement: found '{text}', expected: a valid label key or value")
    return text


def _membership(key: str, values: set[str], *, inside: bool) -> Callable[[Json], bool]:
    if inside:
        return lambda labels: labels.get(key) in values
    return lambda labels: labels.get(key) not in values


def _all_hold(tests: list[Callable[[Json], bool]], labels: Json) -> bool:
    return all(test(labels) for test in tests)


def _expression(item: Json, labels: Json) -> bool:
    key, values = item["key"], item.get("values") or ()
    match item.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
