"""What comes after an action has ended: the next rung, people, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.model.action import Action, ActionState
from remediator.model.decision import HoldReason
from remediator.model.errors import InvariantBroken
from remediator.model.plan import Notify
from remediator.model.rule import Rule
from remediator.model.target import Kind

MAX_TRIES = 3
"""How often one rung is tried in one incident when it was refused for a reason that passes, or came too late."""

PASSING = frozenset(
    {
        "conflict",
        "throttled",
        "unreachable",
        HoldReason.AWAITING_APPROVAL.value,
        HoldReason.CLUSTER_UNREACHABLE.value,
        HoldReason.MIN_HEALTHY.value,
        HoldReason.PAUSED.value,
        HoldReason.FROZEN.value,
        HoldReason.ROLLOUT_IN_PROGRESS.value,
        HoldReason.STALE_FACTS.value,
    }
)
"""Reasons of a refusal that may be gone when the rung is decided again, on new facts and by all guards."""


@dataclass(frozen=True, slots=True)
class NextRung:
    """Decide about this rung next; it may be the same one again."""

    rung: int


@dataclass(frozen=True, slots=True)
class Escalate:
    """People take over."""

    message: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing comes after it."""

    message: str


Move = NextRung | Escalate | Stop


def next_move(
    rule: Rule | None, action: Action, state: ActionState, note: str, *, reason: str = "", tries: int = 1
) -> Move:
    """Return what comes after an action that ended in ``state``.

    ``rule`` is the rule as it is in force now, None if it is gone. ``note`` is told to people. ``reason`` is the closed
    word of a refusal (a HoldReason, or the reason of a WriteRefused). ``tries`` counts the actions of this incident on
    this rung so far, this one included. Raises InvariantBroken for an action that has not ended.
    """
    match state:
        case ActionState.RECOVERED | ActionState.OBSERVED | ActionState.REJECTED:
            return Stop(_said(f"{action.plan.summary}: {state}", note))
        case ActionState.DONE:
            return _climb(rule, action, note)
        case ActionState.REFUSED | ActionState.EXPIRED if reason == HoldReason.NOT_FIRING.value:
            return Stop(_said("the alert no longer fires", note))
        case ActionState.REFUSED | ActionState.EXPIRED:
            passing = state is ActionState.EXPIRED or reason in PASSING
            return _again(action, state, note, tries=tries) if passing else _refused(action, note)
        case ActionState.UNCHANGED | ActionState.WORSE:
            return _after_failure(rule, action, note)
        case ActionState.UNKNOWN:
            # Unknown never acts: what was not seen may be well, and the next rung would be a guess (docs/adr/0006).
            return Escalate(
                _said(f"{action.plan.summary}: nobody knows whether it helped, nothing more is tried", note)
            )
        case _:
            raise InvariantBroken(f"action {action.number} is {state}, it has not ended")


def stateful(rule: Rule, kind: Kind) -> bool:
    """Tell whether the target keeps data: then one failed attempt is enough, the next is a person's."""
    return kind is Kind.STATEFULSET or rule.target.stateful


def _climb(rule: Rule | None, action: Action, note: str) -> Move:
    """Go to the next rung, or to people where the ladder ends; its own words are used if it ends by telling them."""
    if rule is None:
        return Escalate(_said(f"rule {action.rule} is gone, its ladder ends at {action.plan.action}", note))
    if action.rung + 1 < len(rule.ladder):
        return NextRung(action.rung + 1)
    told = next((step.message for step in action.plan.steps if isinstance(step, Notify)), "")
    tried = ", ".join(rung.action for rung in rule.ladder)
    return Escalate(told or _said(f"all rungs of rule {rule.name} were tried ({tried})", note))


def _after_failure(rule: Rule | None, action: Action, note: str) -> Move:
    """Go on after an attempt that did not help; not where data is at stake."""
    if rule is None or not stateful(rule, action.target.kind):
        return _climb(rule, action, note)
    return Escalate(_said(f"{action.plan.action} did not help {action.target}, which keeps data: no second try", note))


def _again(action: Action, state: ActionState, note: str, *, tries: int) -> Move:
    """Decide about the same rung again; at most MAX_TRIES times."""
    if tries < MAX_TRIES:
        return NextRung(action.rung)
    return Escalate(_said(f"{action.plan.summary}: {state} {tries} times", note))


def _refused(action: Action, note: str) -> Move:
    """Call people for a refusal that time does not lift."""
    return Escalate(_said(f"{action.plan.summary}: refused", note))


def _said(message: str, note: str) -> str:
    """Return the message with the note behind it."""
    return f"{message}: {note}" if note else message
