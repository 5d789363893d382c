"""Faults of admission policies and their bindings; every expression is compiled to find them."""

from __future__ import annotations

from remediator.sandbox.admission.policies import faults
from remediator.sandbox.resources import Json
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import bad, not_allowed, required, unsupported

_OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT", "*")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_ACTIONS = ("Audit", "Deny", "Warn")
_BOTH = "must not contain both Deny and Warn (repeating the same validation failure information in the API response)"


def policy(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a ValidatingAdmissionPolicy."""
    spec = obj.get("spec") or {}
    if spec.get("paramKind"):
        return [not_allowed("spec.paramKind", "the sandbox evaluates no parameters")]
    causes = _constraints(spec.get("matchConstraints"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        causes.append(required("spec.validations", "validations or auditAnnotations must contain at least one item"))
    if spec.get("failurePolicy", "Fail") not in ("Fail", "Ignore"):
        causes.append(unsupported("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore")))
    for index, item in enumerate(spec.get("validations") or ()):
        causes += _validation(f"spec.validations[{index}]", item)
    for part in ("matchConditions", "variables"):
        causes += _twice(part, [str(item.get("name", "")) for item in spec.get(part) or ()])
    return causes + [bad(path, text, fault) for path, text, fault in faults(spec)]


def binding(obj: Json, _old: Json | None) -> list[Cause]:
    """Return the faults of a ValidatingAdmissionPolicyBinding."""
    spec = obj.get("spec") or {}
    actions = spec.get("validationActions") or []
    causes = [] if spec.get("policyName") else [required("spec.policyName")]
    if spec.get("paramRef"):
        causes.append(not_allowed("spec.paramRef", "the sandbox evaluates no parameters"))
    if not actions:
        causes.append(required("spec.validationActions", "at least one validation action is required"))
    causes += [
        unsupported(f"spec.validationActions[{index}]", item, _ACTIONS)
        for index, item in enumerate(actions)
        if item not in _ACTIONS
    ]
    if {"Deny", "Warn"} <= set(actions):
        causes.append(bad("spec.validationActions", actions, _BOTH))
    return causes


def _constraints(constraints: Json | None) -> list[Cause]:
    if not constraints:
        return [required("spec.matchConstraints")]
    rules = constraints.get("resourceRules")
    if not rules:
        return [required("spec.matchConstraints.resourceRules")]
    causes: list[Cause] = []
    for index, rule in enumerate(rules):
        place = f"spec.matchConstraints.resourceRules[{index}]"
        parts = ("apiGroups", "apiVersions", "operations", "resources")
        causes += [required(f"{place}.{part}") for part in parts if not rule.get(part)]
        causes += [
            unsupported(f"{place}.operations[{number}]", item, _OPERATIONS)
            for number, item in enumerate(rule.get("operations") or ())
            if item not in _OPERATIONS
        ]
    return causes


def _validation(place: str, item: Json) -> list[Cause]:
    causes: list[Cause] = []
    if item.get("reason", "Invalid") not in _REASONS:
        causes.append(unsupported(f"{place}.reason", item["reason"], _REASONS))
    message = item.get("message")
    if message is not None and not message.strip():
        causes.append(bad(f"{place}.message", message, "message must be non-empty if specified"))
    if message and "\n" in message.strip():
        causes.append(bad(f"{place}.message", message, "message must not contain line breaks"))
    return causes


def _twice(part: str, names: list[str]) -> list[Cause]:
    causes = [required(f"spec.{part}[{index}].name") for index, name in enumerate(names) if not name]
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name and name in seen:
            text = f'Duplicate value: "{name}"'
            causes.append(Cause("FieldValueDuplicate", text, f"spec.{part}[{index}].name"))
        seen.add(name)
    return causes
