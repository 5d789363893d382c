"""What comes after an action has ended, or was held: the next rung, people, or nothing."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from remediator.core.guardrails.cooldown import FAILED
from remediator.model.action import Action, ActionState
from remediator.model.decision import Hold, HoldReason
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
        HoldReason.CLUSTER_UNREACHABLE.value,
        HoldReason.MIN_HEALTHY.value,
        HoldReason.ROLLOUT_IN_PROGRESS.value,
        HoldReason.STALE_FACTS.value,
    }
)
"""Reasons of a refusal that may be gone when the rung is decided again, on new facts and by all guards."""

_NOBODY_ASKED = frozenset(
    {
        HoldReason.NO_RULE,
        HoldReason.NOT_FIRING,
        HoldReason.LATE,
        HoldReason.IN_PROGRESS,
        HoldReason.AWAITING_APPROVAL,
        HoldReason.REJECTED,
    }
)
"""Reasons that leave nothing for a person to do: it is over, under way, asked already, or answered."""


class Ending(Struct, frozen=True, kw_only=True):
    """How an action ended.

    ``reason`` is the closed word of a refusal (a HoldReason, or the reason of a WriteRefused), empty otherwise.
    ``tries`` counts the actions of this incident on this rung so far, this one included.
    """

    state: ActionState
    note: str = ""
    reason: str = ""
    tries: int = 1


@dataclass(frozen=True, slots=True)
class NextRung:
    """Decide about this rung next; it may be the same one again."""

    rung: int


@dataclass(frozen=True, slots=True)
class Escalate:
    """People take over. ``told``: the ladder's own last rung has told them, so the incident only changes its state."""

    message: str
    told: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing comes after it."""

    message: str


Move = NextRung | Escalate | Stop


def next_move(rule: Rule | None, action: Action, ending: Ending) -> Move:
    """Return what comes after an action. ``rule`` is the rule as it is in force now, None if it is gone.

    Raises InvariantBroken for an action that has not ended.
    """
    match ending.state:
        case ActionState.RECOVERED:
            return Stop(_said("recovered", ending))
        case ActionState.OBSERVED:
            return Stop(_said(f"observed only: {action.plan.summary}", ending))
        case ActionState.REJECTED:
            return Stop(_said("a person said no", ending))
        case ActionState.DONE:
            return _climb(rule, action, ending)
        case ActionState.REFUSED | ActionState.EXPIRED:
            return _again(action, ending)
        case state if state in FAILED:
            return _after_failure(rule, action, ending)
        case _:
            raise InvariantBroken(f"action {action.number} is {ending.state}, it has not ended")


def needs_person(hold: Hold) -> bool:
    """Tell whether people must be called for a hold: time will not change it, and there is something left to do."""
    if hold.retry_at is not None:
        return False
    return not any(refusal.reason in _NOBODY_ASKED for refusal in hold.refusals)


def stateful(rule: Rule, kind: Kind) -> bool:
    """Tell whether the target keeps data: then one failed attempt is enough, the next is a person's."""
    return kind is Kind.STATEFULSET or rule.target.stateful


def _climb(rule: Rule | None, action: Action, ending: Ending) -> Move:
    """Go to the next rung, or to people at the end of the ladder."""
    if rule is None:
        return Escalate(_said(f"rule {action.rule} is gone, its ladder ends at {action.plan.action}", ending))
    if action.rung + 1 < len(rule.ladder):
        return NextRung(action.rung + 1)
    if any(isinstance(step, Notify) for step in action.plan.steps):
        return Escalate(f"people were told by action {action.number}", told=True)
    tried = ", ".join(rung.action for rung in rule.ladder)
    return Escalate(_said(f"all rungs of rule {rule.name} were tried ({tried})", ending))


def _after_failure(rule: Rule | None, action: Action, ending: Ending) -> Move:
    """Go on after an attempt that did not help; not where data is at stake."""
    if rule is None or not stateful(rule, action.target.kind):
        return _climb(rule, action, ending)
    return Escalate(
        _said(f"{action.plan.action} did not help {action.target}, which keeps data: no second try", ending)
    )


def _again(action: Action, ending: Ending) -> Move:
    """Decide about the same rung again, if what stood in the way may be gone; at most MAX_TRIES times."""
    if ending.reason == HoldReason.NOT_FIRING.value:
        return Stop(_said("the alert no longer fires", ending))
    passing = ending.state is ActionState.EXPIRED or ending.reason in PASSING
    if passing and ending.tries < MAX_TRIES:
        return NextRung(action.rung)
    tries = f" {ending.tries} times" if passing else ""
    return Escalate(_said(f"{action.plan.action} of {action.target} was {ending.state}{tries}", ending))


def _said(message: str, ending: Ending) -> str:
    """Return the message with the note of the ending behind it."""
    return f"{message}: {ending.note}" if ending.note else message
