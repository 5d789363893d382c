"""What comes after an action has ended, and the clocks of the severity levels."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.core.escalate import MAX_TRIES, Escalate, NextRung, Stop, next_move
from remediator.core.severity import CLOCKS, escalate_after, respond_within
from remediator.model.action import Action, ActionState
from remediator.model.decision import HoldReason
from remediator.model.errors import InvariantBroken
from remediator.model.plan import Notify, Plan
from remediator.model.rule import Severity
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, action, look_plan, restart_plan, rule

FAILED = [ActionState.UNCHANGED, ActionState.WORSE]


@pytest.mark.parametrize("state", [ActionState.RECOVERED, ActionState.OBSERVED, ActionState.REJECTED])
def test_some_ends_are_the_end(state: ActionState) -> None:
    """It helped, it was only watched, or a person said no."""
    assert next_move(rule(), action(), state, "so it was") == Stop(
        f"restart deployment/backstage in backstage: {state}: so it was"
    )


@pytest.mark.parametrize("state", [ActionState.DONE, *FAILED])
@pytest.mark.parametrize("rung", [0, 1])
def test_the_ladder_is_climbed(state: ActionState, rung: int) -> None:
    """What is done, or did not help, is followed by the next rung."""
    assert next_move(rule(), action(rung=rung), state, "") == NextRung(rung + 1)


@pytest.mark.parametrize("state", [ActionState.DONE, *FAILED])
@pytest.mark.parametrize("rung", [2, 3, 50])
def test_the_ladder_ends_with_people(state: ActionState, rung: int) -> None:
    """They are told what was tried, and what was seen last; also when the ladder has become shorter meanwhile."""
    assert next_move(rule(), action(rung=rung), state, "1 alert still fires") == Escalate(
        "all rungs of rule service-unavailable were tried (investigate, restart, scale): 1 alert still fires"
    )


def test_a_ladder_that_ends_by_telling_people_ends_in_its_own_words() -> None:
    """They are not told twice in different words."""
    telling = Plan(action="notify", target=BACKSTAGE, summary="tell", steps=(Notify(message="P1: look"),))
    assert next_move(rule(), action(telling, rung=2), ActionState.DONE, "told") == Escalate("P1: look")
    assert next_move(rule(), action(telling, rung=0), ActionState.DONE, "told") == NextRung(1)


@pytest.mark.parametrize("state", FAILED)
def test_data_is_not_risked_twice(state: ActionState) -> None:
    """A StatefulSet, and what a rule calls stateful, is left to people after one failed attempt."""
    target = structs.replace(BACKSTAGE, kind=Kind.STATEFULSET)
    move = next_move(rule(), action(restart_plan(target)), state, "2 alerts still fire")
    assert move == Escalate(
        "restart did not help statefulset/backstage in backstage, which keeps data: no second try: 2 alerts still fire"
    )
    database = rule(target=structs.replace(rule().target, stateful=True))
    assert isinstance(next_move(database, action(), state, ""), Escalate)
    assert next_move(database, action(look_plan(), rung=0), ActionState.DONE, "") == NextRung(1)


@pytest.mark.parametrize("rung", [0, 1, 2, 50])
@pytest.mark.parametrize("kind", [Kind.DEPLOYMENT, Kind.STATEFULSET])
def test_unknown_never_acts(rung: int, kind: Kind) -> None:
    """Whether it helped could not be seen: people are called, whatever the ladder still has."""
    target = structs.replace(BACKSTAGE, kind=kind)
    for known in (rule(), None):
        move = next_move(known, action(restart_plan(target), rung=rung), ActionState.UNKNOWN, "no answer")
        assert move == Escalate(f"restart {target}: nobody knows whether it helped, nothing more is tried: no answer")


@pytest.mark.parametrize("state", [ActionState.DONE, *FAILED])
def test_without_its_rule_a_ladder_ends(state: ActionState) -> None:
    """The rule was removed while the action ran: people go on."""
    move = next_move(None, action(), state, "")
    assert move == Escalate("rule service-unavailable is gone, its ladder ends at restart")


@pytest.mark.parametrize(
    ("state", "reason", "tries", "again"),
    [
        (ActionState.EXPIRED, "", 1, True),
        (ActionState.EXPIRED, "", MAX_TRIES - 1, True),
        (ActionState.EXPIRED, "", MAX_TRIES, False),
        (ActionState.REFUSED, "conflict", 1, True),
        (ActionState.REFUSED, "conflict", MAX_TRIES, False),
        (ActionState.REFUSED, "throttled", 1, True),
        (ActionState.REFUSED, "min_healthy", 2, True),
        (ActionState.REFUSED, "rollout_in_progress", 1, True),
        (ActionState.REFUSED, "stale_facts", 1, True),
        (ActionState.REFUSED, "cluster_unreachable", 1, True),
        (ActionState.REFUSED, "awaiting_approval", 1, True),
        (ActionState.REFUSED, "forbidden", 1, False),
        (ActionState.REFUSED, "invalid", 1, False),
        (ActionState.REFUSED, "gone", 1, False),
        (ActionState.REFUSED, "opted_out", 1, False),
        (ActionState.REFUSED, "target_not_found", 1, False),
        (ActionState.REFUSED, "", 1, False),
    ],
)
def test_refusals_that_pass_are_tried_again(state: ActionState, reason: str, tries: int, *, again: bool) -> None:
    """The same rung is decided anew, three times at most; everything else is a person's."""
    assert MAX_TRIES == 3
    move = next_move(rule(), action(), state, "why", reason=reason, tries=tries)
    if again:
        assert move == NextRung(1)
    else:
        assert isinstance(move, Escalate)
        assert move.message.startswith("restart deployment/backstage in backstage: ")
        assert move.message.endswith(": why")


def test_a_refusal_because_the_alert_is_over_calls_nobody() -> None:
    """There is nothing left to do, nor to try again."""
    for state in (ActionState.REFUSED, ActionState.EXPIRED):
        move = next_move(rule(), action(), state, "", reason=HoldReason.NOT_FIRING.value)
        assert move == Stop("the alert no longer fires")


@pytest.mark.parametrize(
    "state", [state for state in ActionState if state.open or state is ActionState.AWAITING_APPROVAL]
)
def test_what_has_not_ended_has_no_next_move(state: ActionState) -> None:
    """Asking for one is a bug."""
    with pytest.raises(InvariantBroken, match="has not ended"):
        next_move(rule(), action(), state, "")


def test_every_state_is_either_open_or_has_a_next_move() -> None:
    """A state that is added later must be thought about."""
    for state in ActionState:
        asked: Any = None
        one: Action = action()
        if not state.open and state is not ActionState.AWAITING_APPROVAL:
            asked = next_move(rule(), one, state, "")
            assert isinstance(asked, NextRung | Escalate | Stop)


def test_the_clocks_are_those_of_the_runbook() -> None:
    """Severity Levels: response 15 min, 1 h, 4 h, 24 h; escalation immediate, 2 h, 8 h, 48 h."""
    assert [(level, respond_within(level), escalate_after(level)) for level in Severity] == [
        (Severity.P1, 900, 0),
        (Severity.P2, 3600, 7200),
        (Severity.P3, 14400, 28800),
        (Severity.P4, 86400, 172800),
    ]
    assert CLOCKS[Severity.P1].meaning == "Critical - Service down"
