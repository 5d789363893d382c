"""From a candidate to a plan: the rung's action on the facts, or the reason why there is nothing to plan."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from remediator.core.returning import return_proposal
from remediator.core.targets import not_allowed, unusable
from remediator.core.undo import proposal
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate, Cause
from remediator.model.plan import CannotPlan, CaptureEvidence, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule, Rung
from remediator.model.target import Target

Draft = Callable[[Rung, Target, Facts, Rule, Policy], Plan | CannotPlan]
"""What turns one rung into a plan: ``remediator.actions.catalogue.draft``. The core does not know the actions."""


def plan(candidate: Candidate, rule: Rule, facts: Facts, policy: Policy, draft: Draft) -> Plan | Refusal:
    """Plan the candidate's rung, or the undo or return that it is. Evidence comes first where pods may end, if so."""
    if candidate.cause.takes_back:
        undo = (proposal if candidate.cause is Cause.UNDO else return_proposal)(candidate, facts)
        return undo if isinstance(undo, Refusal) else not_allowed(undo.target, rule) or undo
    if not 0 <= candidate.rung < len(rule.ladder):
        return _spent(candidate, rule)
    if facts.workload is None or facts.problem:
        return unusable(facts, facts.read_at)
    foreign = not_allowed(facts.workload.target, rule)
    if foreign is not None:
        return foreign
    drafted = draft(rule.ladder[candidate.rung], facts.workload.target, facts, rule, policy)
    if isinstance(drafted, CannotPlan):
        return Refusal(
            reason=HoldReason.CANNOT_PLAN,
            message=drafted.message,
            numbers={**drafted.numbers, "cannot": drafted.reason, "action": rule.ladder[candidate.rung].action},
        )
    if rule.evidence and drafted.disruptive:
        return structs.replace(drafted, steps=(CaptureEvidence(target=drafted.target), *drafted.steps))
    return drafted


def _spent(candidate: Candidate, rule: Rule) -> Refusal:
    """Return the refusal of a rung above the ladder."""
    rungs = len(rule.ladder)
    tried = ", ".join(rung.action for rung in rule.ladder)
    return Refusal(
        reason=HoldReason.LADDER_SPENT,
        message=f"rule {rule.name} has tried all that it knows ({tried}); people must look now",
        numbers={"rung": candidate.rung, "rungs": rungs},
    )
