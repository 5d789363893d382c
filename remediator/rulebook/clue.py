"""Where an alert's labels lead under a rule, as far as that can be said without a cluster; for cases.

The adapter that asks the cluster takes the same way; a test holds the two together.
"""

from __future__ import annotations

import re

from remediator.model.decision import HoldReason
from remediator.model.rule import TargetSpec
from remediator.model.signal import Labels
from remediator.model.target import Kind

_KINDS = {kind.lower(): kind for kind in Kind}
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253

MISSING = HoldReason.TARGET_MISSING.value
NOT_ALLOWED = HoldReason.TARGET_NOT_ALLOWED.value
AMBIGUOUS = HoldReason.TARGET_AMBIGUOUS.value


def clue_text(labels: Labels, spec: TargetSpec) -> str:
    """Return ``deployment/backstage/postgres``, or ``workload/...`` where several kinds are possible.

    ``pod/...`` and ``service/...`` stand for the workload that they belong to. Where the labels lead nowhere, it is the
    reason of the hold: target_missing, target_not_allowed or target_ambiguous.
    """
    namespace = _namespace(labels, spec)
    if namespace in {MISSING, NOT_ALLOWED}:
        return namespace
    what = _what(labels, spec)
    if isinstance(what, str):
        return what
    shape, name = what
    if len(name) > _LONGEST_NAME or _NAME.fullmatch(name) is None:
        return NOT_ALLOWED
    return f"{shape}/{namespace}/{name}"


def _namespace(labels: Labels, spec: TargetSpec) -> str:
    value = labels.get(spec.namespace_label, "")
    if not value:
        return spec.namespaces[0] if spec.name and len(spec.namespaces) == 1 else MISSING
    return value if _NAMESPACE.fullmatch(value) and value in spec.namespaces else NOT_ALLOWED


def _what(labels: Labels, spec: TargetSpec) -> tuple[str, str] | str:
    """Return what the labels name and how it is called, or why they do not."""
    told = labels.get("workload_type", "")
    if spec.name:
        kind = _KINDS.get(told.lower())
        return _shape((kind,) if kind in spec.kinds and kind is not None else spec.kinds), spec.name
    named = [(kind, labels[label]) for label, kind in _KINDS.items() if labels.get(label)]
    if len(named) > 1:
        return AMBIGUOUS
    if named:
        return _of_kind(*named[0], spec)
    if labels.get("workload"):
        name = labels["workload"]
        return _of_kind(_KINDS.get(told.lower()), name, spec) if told else (_shape(spec.kinds), name)
    below = next((label for label in ("pod", "service") if labels.get(label)), None)
    return (below, labels[below]) if below else MISSING


def _of_kind(kind: Kind | None, name: str, spec: TargetSpec) -> tuple[str, str] | str:
    return (_shape((kind,)), name) if kind is not None and kind in spec.kinds else NOT_ALLOWED


def _shape(kinds: tuple[Kind, ...]) -> str:
    return kinds[0].lower() if len(kinds) == 1 else "workload"
