"""Which requests a policy or a binding concerns: rules on resources, selectors on labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remediator.sandbox.resources import Json
from remediator.sandbox.selectors import match_label_selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """One write as admission sees it; ``new`` is None for a deletion, ``old`` for a creation.

    ``namespace_labels`` is None for what lives in no namespace and is none; ``equivalent`` are the group and version of
    each other face under which the same resource is served.
    """

    operation: str
    group: str
    version: str
    plural: str
    subresource: str
    namespace: str
    name: str
    namespaced: bool
    namespace_labels: Json | None
    new: Json | None
    old: Json | None
    equivalent: tuple[tuple[str, str], ...] = ()


def concerns(resources: Json, request: Attributes) -> bool:
    """Tell whether MatchResources (``matchConstraints`` or ``matchResources``) cover a request."""
    rules = resources.get("resourceRules")
    exact = resources.get("matchPolicy") == "Exact"
    places = ((request.group, request.version), *(() if exact else request.equivalent))
    if rules and not any(_rule(rule, request, place) for rule in rules for place in places):
        return False
    if any(_rule(rule, request, place) for rule in resources.get("excludeResourceRules") or () for place in places):
        return False
    return _in_namespace(resources.get("namespaceSelector"), request) and _labelled(
        resources.get("objectSelector"), request
    )


def _rule(rule: Json, request: Attributes, place: tuple[str, str]) -> bool:
    group, version = place
    names = rule.get("resourceNames")
    return (
        _names(rule.get("operations"), request.operation)
        and _names(rule.get("apiGroups"), group)
        and _names(rule.get("apiVersions"), version)
        and any(_resource(pattern, request) for pattern in rule.get("resources") or ())
        and _scope(rule.get("scope", "*"), request)
        and (not names or request.name in names)
    )


def _names(listed: Iterable[str] | None, value: str) -> bool:
    return any(item in ("*", value) for item in listed or ())


def _resource(pattern: str, request: Attributes) -> bool:
    plural, slash, subresource = pattern.partition("/")
    if pattern == "*":
        return not request.subresource
    if plural not in ("*", request.plural):
        return False
    return subresource in ("*", request.subresource) if slash else not request.subresource


def _scope(scope: str, request: Attributes) -> bool:
    return scope == "*" or (scope == "Namespaced") == request.namespaced


def _in_namespace(selector: Json | None, request: Attributes) -> bool:
    if not selector or request.namespace_labels is None:
        return True
    return match_label_selector(selector, request.namespace_labels)


def _labelled(selector: Json | None, request: Attributes) -> bool:
    if not selector:
        return True
    sides = [side for side in (request.new, request.old) if side is not None]
    return any(match_label_selector(selector, side.get("metadata", {}).get("labels") or {}) for side in sides)
