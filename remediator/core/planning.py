"""From a candidate to a plan: the rung's action on the facts, or the reason why there is nothing to plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from remediator.core.returning import return_proposal
from remediator.core.targets import not_allowed, unusable
from remediator.core.undo import proposal
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate, Cause
from remediator.model.plan import CannotPlan, CaptureEvidence, Passed, Plan
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
    target = facts.workload.target
    foreign = not_allowed(target, rule)
    if foreign is not None:
        return foreign
    drafted = _first_fit(rule.ladder[candidate.rung :], lambda rung: draft(rung, target, facts, rule, policy))
    if isinstance(drafted, Plan) and rule.evidence and drafted.disruptive:
        return structs.replace(drafted, steps=(CaptureEvidence(target=drafted.target), *drafted.steps))
    return drafted


def climbed(candidate: Candidate, proposal: Plan | Refusal) -> Candidate:
    """Return the candidate at the rung that is planned: rungs that had nothing to do were passed."""
    passed = len(proposal.passed) if isinstance(proposal, Plan) else 0
    return structs.replace(candidate, rung=candidate.rung + passed) if passed else candidate


def _first_fit(rungs: Sequence[Rung], drafted: Callable[[Rung], Plan | CannotPlan]) -> Plan | Refusal:
    """Return the plan of the first rung; one that passes leaves it to the next, as long as that changes something.

    What follows a rung of which nobody can know whether it would have done asks a person first.
    """
    passed: tuple[Passed, ...] = ()
    numbers: dict[str, Any] = {}
    for rung in rungs:
        found = drafted(rung)
        if isinstance(found, Plan) and not passed:
            return found
        if isinstance(found, Plan):
            if not found.changes:
                break
            asks = found.asks or any(one.unknown for one in passed)
            return structs.replace(found, passed=passed, asks=asks)
        numbers = numbers or {**found.numbers, "cannot": found.reason, "action": rung.action}
        passed += (Passed(action=rung.action, reason=found.reason, message=found.message, unknown=found.unknown),)
        if not found.passes:
            break
    message = "; ".join(one.message for one in passed)
    return Refusal(reason=HoldReason.CANNOT_PLAN, message=message, numbers=numbers)


def _spent(candidate: Candidate, rule: Rule) -> Refusal:
    """Return the refusal of a rung above the ladder."""
    rungs = len(rule.ladder)
    tried = ", ".join(rung.action for rung in rule.ladder)
    return Refusal(
        reason=HoldReason.LADDER_SPENT,
        message=f"rule {rule.name} has tried all that it knows ({tried}); people must look now",
        numbers={"rung": candidate.rung, "rungs": rungs},
    )
