"""Where the operator wants it so, only workloads whose owners asked for it are changed."""

from __future__ import annotations

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import WorkloadFacts
from remediator.model.policy import Policy

ANNOTATION = "remediator.io/opt-in"
_SHOWN = 40


def check(case: Case) -> Refusal | None:
    """Refuse to change a workload that did not opt in, where the policy asks for that."""
    return unasked(case.facts.workload, case.policy) if case.facts.workload is not None else None


def unasked(workload: WorkloadFacts, policy: Policy) -> Refusal | None:
    """Return the refusal if the workload had to carry the annotation and does not. Only ``true`` counts."""
    value = workload.annotations.get(ANNOTATION, "").strip()
    if not policy.require_opt_in or value.lower() == "true":
        return None
    return Refusal(
        reason=HoldReason.NOT_OPTED_IN,
        message=f"{workload.target} does not carry the annotation {ANNOTATION}: true, which the policy asks for",
        numbers={"annotation": ANNOTATION, "value": value[:_SHOWN]},
    )
