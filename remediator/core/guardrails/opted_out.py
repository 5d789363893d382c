"""The owner of a workload may say no, on the workload itself."""

from __future__ import annotations

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import WorkloadFacts

ANNOTATION = "remediator.io/opt-out"
_SHOWN = 40


def check(case: Case) -> Refusal | None:
    """Refuse to change a workload that carries the annotation."""
    return objection(case.facts.workload) if case.facts.workload is not None else None


def objection(workload: WorkloadFacts) -> Refusal | None:
    """Return the refusal if the workload is opted out. Any value but ``false`` counts: whoever wrote it meant no."""
    value = workload.annotations.get(ANNOTATION, "").strip()
    if value.lower() in ("", "false"):
        return None
    return Refusal(
        reason=HoldReason.OPTED_OUT,
        message=f"{workload.target} carries the annotation {ANNOTATION}: its owner wants no automatic changes",
        numbers={"annotation": ANNOTATION, "value": value[:_SHOWN]},
    )
