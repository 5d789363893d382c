"""The decision: all guards, then the mode."""

from __future__ import annotations

from remediator.core.guardrails import GUARDS, Guard, refusals
from remediator.model.case import Case
from remediator.model.decision import Act, Ask, Decision, Hold, Observe, Refusal
from remediator.model.plan import Plan
from remediator.model.policy import Policy
from remediator.model.rule import Mode, Rule


def decide(case: Case, guards: tuple[Guard, ...] = GUARDS) -> Decision:
    """Hold if any guard says no, with every reason; otherwise act as far as the rule and the ceiling both allow.

    Plans that change nothing are carried out in every mode: looking and telling is what observing is for.
    """
    against = refusals(case, guards)
    if against:
        return hold(against)
    if not case.plan.changes:
        return Act(plan=case.plan)
    match effective_mode(case.rule, case.policy):
        case Mode.OBSERVE:
            return Observe(plan=case.plan, because=_because(case, Mode.OBSERVE))
        case Mode.ASK if not approved(case):
            return Ask(plan=case.plan, because=_because(case, Mode.ASK))
        case Mode.ENFORCE if case.plan.asks and not approved(case):
            return Ask(plan=case.plan, because=_asks(case.plan))
        case _:
            return Act(plan=case.plan)


def approved(case: Case) -> bool:
    """Tell whether a person said yes to this very plan: facts and rules may have changed while it was thought about.

    An undo is a person's wish in itself; who approves a loan knows that it goes back.
    """
    if case.candidate.cause.takes_back:
        return True
    return bool(case.candidate.approved_by) and case.candidate.approved_plan == case.plan.summary


def hold(against: tuple[Refusal, ...]) -> Hold:
    """Return the Hold of these refusals: to be asked again at the latest of their times, or never if one has none."""
    times = [refusal.retry_at for refusal in against]
    known = [time for time in times if time is not None]
    return Hold(refusals=against, retry_at=max(known) if known and len(known) == len(times) else None)


def effective_mode(rule: Rule, policy: Policy) -> Mode:
    """Return the lower of the rule's mode and the ceiling: the operator's switch can lower a rule, never raise it."""
    return min(rule.mode, policy.ceiling, key=lambda mode: mode.rank)


def _asks(plan: Plan) -> str:
    """Return why a plan asks though its rule may act."""
    unknown = next((one.action for one in plan.passed if one.unknown), None)
    if unknown is not None:
        return f"nobody can know whether {unknown} would have done"
    return f"{plan.action} asks first, unless the rule says without_asking"


def _because(case: Case, mode: Mode) -> str:
    """Return who set the mode that the decision was made in."""
    if case.rule.mode is mode:
        return f"rule {case.rule.name} is in mode {mode}"
    return f"the ceiling is {mode}; rule {case.rule.name} is in mode {case.rule.mode}"
