"""Faults of the kinds that make pods: selectors, templates, replica counts."""

from __future__ import annotations

from remediator.sandbox.resources import Json
from remediator.sandbox.selectors import match_label_selector
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import bad, immutable, not_allowed, not_negative, required, unsupported
from remediator.sandbox.validation.pods import pod_spec

_FREE_STATEFUL = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def deployment(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a Deployment."""
    spec = obj["spec"]
    causes = replicated(obj, old)
    kind = spec["strategy"]["type"]
    if kind not in {"RollingUpdate", "Recreate"}:
        causes.append(unsupported("spec.strategy.type", kind, ("Recreate", "RollingUpdate")))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None and deadline <= ready:
        causes.append(bad("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return causes


def stateful_set(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a StatefulSet; most of its spec may not change."""
    causes = replicated(obj, old)
    if old is not None and _frozen(obj) != _frozen(old):
        names = ", ".join(f"'{name}'" for name in _FREE_STATEFUL)
        why = f"updates to statefulset spec for fields other than {names} are forbidden"
        causes = [cause for cause in causes if cause.field != "spec.selector"] + [not_allowed("spec", why)]
    return causes


def _frozen(obj: Json) -> Json:
    return {key: value for key, value in obj["spec"].items() if key not in _FREE_STATEFUL}


def replicated(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults that Deployment, ReplicaSet and StatefulSet have in common."""
    return not_negative("spec.replicas", obj["spec"].get("replicas")) + daemon_set(obj, old)


def daemon_set(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of selector and template."""
    spec = obj["spec"]
    selector = spec.get("selector")
    causes = [] if selector else [required("spec.selector")]
    labels = spec["template"]["metadata"].get("labels")
    if not match_label_selector(selector, labels or {}):
        causes.append(bad("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    causes += pod_spec(spec["template"]["spec"], "spec.template.spec")
    restart = spec["template"]["spec"].get("restartPolicy")
    if restart != "Always":
        causes.append(unsupported("spec.template.spec.restartPolicy", restart, ("Always",)))
    if old is not None and selector != old["spec"].get("selector"):
        causes.append(immutable("spec.selector", selector))
    return causes


def scale(obj: Json) -> list[Cause]:
    """Return the faults of a Scale."""
    return not_negative("spec.replicas", obj["spec"].get("replicas"))
