"""From what the core advises to what the transaction sets in motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from remediator.core import escalate
from remediator.model.action import Action, ActionState
from remediator.model.rule import Rule
from remediator.ports.actions import CallPeople, NextRung, Nothing, Settled, Successor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an action ended: see ``core.escalate.next_move``."""

    state: ActionState
    note: str
    reason: str = ""
    tries: int = 1


def after_undo(action: Action, ending: Ending) -> Successor:
    """Say what comes after the undo of an action: people, where it was written and did not turn out well."""
    if ending.state in (ActionState.UNCHANGED, ActionState.WORSE, ActionState.UNKNOWN):
        return CallPeople(message=f"{action.plan.summary}: {ending.note}")
    return Settled()


def after(rule: Rule | None, action: Action, ending: Ending) -> Successor:
    """Ask the core what comes after an action, and say it as the stores understand it."""
    if action.plan.undoes is not None:
        return after_undo(action, ending)
    move = escalate.next_move(rule, action, ending.state, ending.note, reason=ending.reason, tries=ending.tries)
    match move:
        case escalate.NextRung(rung=rung):
            return NextRung(rung=rung)
        case escalate.Escalate(message=message):
            return CallPeople(message=message)
        case escalate.Stop():
            return Nothing()
        case _:
            assert_never(move)
