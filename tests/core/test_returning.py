"""Steps back: how far each goes, what it is compared with, and what becomes of a loan after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.returning import (
    BACK_OFF_S,
    LONGEST_S,
    halfway,
    next_move,
    return_proposal,
    returning,
    still_needed,
)
from remediator.core.undo_statement import undoing_statement
from remediator.model.action import ActionState, BeforeImage
from remediator.model.database import ChangedLimit, DatabaseView, LimitScope, RunStatement, SetLimits
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Cause
from remediator.model.loan import LoanState, Step
from remediator.model.plan import PatchObject, Plan, Undoes, Wrote
from remediator.model.undo import Former
from tests.actions.databases import ROLE, database
from tests.core.given import BACKSTAGE, NOW, candidate, facts, workload

MARK = "remediator.io/action"
FIRST, SECOND = "a" * 40, "b" * 40

Json = dict[str, Any]


def image(replicas: int, mark: str = "", **spec: Any) -> Json:
    """Return the object with so many pods."""
    annotations = {MARK: mark} if mark else {}
    return {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas, "paused": False, **spec}}


def former(number: int, action: str, before: Json, to: int, undoes: Undoes | None = None) -> Former:
    """Return an action that wrote a number of pods."""
    step = PatchObject(target=BACKSTAGE, patch={"spec": {"replicas": to}}, expected={"spec.replicas": to})
    plan = Plan(action="scale", target=BACKSTAGE, summary="scale", steps=(step,), changes=True, undoes=undoes)
    return Former(
        number=number,
        id=action,
        incident=1,
        rule="r",
        state=ActionState.RECOVERED,
        target=BACKSTAGE,
        plan=plan,
        before=BeforeImage(resource_version="1", uid="uid-1", generation=1, object=before),
        applied_at=NOW,
    )


LENT = former(1, FIRST, image(3), 9)
STEP = former(
    2, SECOND, image(9, FIRST), 6, Undoes(action=1, mark=FIRST, wrote=(Wrote(path=("spec", "replicas"), value=9),))
)


def test_the_first_step_goes_half_of_the_way() -> None:
    """Compared with how the lending action left it."""
    found = returning(LENT, LENT, image(9, FIRST))
    (one,) = found.returned
    assert (one.path, one.ours, one.former) == (("spec", "replicas"), 9, 6)
    assert (found.action, found.mark, found.loan, found.final, found.differences) == (1, FIRST, 1, False, ())


def test_the_next_step_goes_on_from_there() -> None:
    """Compared with how the step before left it; the aim is still what the lending action found."""
    found = returning(LENT, STEP, image(6, SECOND))
    (one,) = found.returned
    assert (one.ours, one.former, found.final, found.differences) == (6, 4, False, ())
    assert (found.action, found.mark, found.loan) == (2, SECOND, 1)
    last = returning(LENT, former(3, "c" * 40, image(6, SECOND), 4), image(4, "c" * 40))
    assert (last.returned[0].former, last.final) == (3, True)


@pytest.mark.parametrize("now", [image(7, SECOND), image(6, FIRST), image(6), image(6, SECOND, minReadySeconds=3)])
def test_what_is_not_as_the_step_left_it(now: Json) -> None:
    """Another number, another mark, another field: somebody else decides now."""
    found = returning(LENT, STEP, now)
    assert found.differences
    refusal = return_proposal(candidate(cause=Cause.RETURN), facts(undo=found))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is HoldReason.CHANGED_SINCE


RESTARTED = "d" * 40


def restart(before: Json, number: int = 4, mark: str = RESTARTED) -> Former:
    """Return a restart of ours, and what it found."""
    step = PatchObject(target=BACKSTAGE, patch={}, expected={}, mark_template=True)
    plan = Plan(action="restart", target=BACKSTAGE, summary="restart", steps=(step,), changes=True)
    return structs.replace(former(number, mark, before, 9), plan=plan)


def restarted(replicas: int, **spec: Any) -> Json:
    """Return the object as a restart has left it."""
    return image(replicas, RESTARTED, template={"metadata": {"annotations": {MARK: RESTARTED}}}, **spec)


def test_what_we_have_written_since_is_no_third_party() -> None:
    """A restart of ours after the loan: the return goes on from there, and expects its mark."""
    found = returning(LENT, LENT, restarted(9), later=(restart(image(9, FIRST)),))
    assert (found.action, found.mark, found.loan, found.differences) == (4, RESTARTED, 1, ())
    assert (found.returned[0].ours, found.returned[0].former) == (9, 6)
    step = restart(image(6, SECOND))
    assert returning(LENT, STEP, restarted(6), later=(step,)).returned[0].former == 4


@pytest.mark.parametrize(
    ("found", "now"),
    [
        (image(11, FIRST), restarted(11)),
        (image(9, FIRST, minReadySeconds=3), restarted(9, minReadySeconds=3)),
        (image(9, "e" * 40), restarted(9)),
        (image(9, FIRST), restarted(11)),
    ],
    ids=["another number", "another field", "an unknown mark", "after the restart"],
)
def test_a_third_party_between_two_writes_of_ours_is_found(found: Json, now: Json) -> None:
    """What our restart found was not as the loan had left it, or is not as the restart left it: theirs."""
    assert returning(LENT, LENT, now, later=(restart(found),)).differences


def test_what_we_have_scaled_for_good_since_is_kept() -> None:
    """A later scale of ours that lends nothing wrote the very number: what was lent is not what is there."""
    later = former(4, RESTARTED, image(9, FIRST), 12)
    found = returning(LENT, LENT, image(12, RESTARTED), later=(later,))
    assert [(one.ours, one.theirs) for one in found.differences] == [(9, 12)]
    back = former(5, SECOND, image(12, RESTARTED), 9)
    assert returning(LENT, LENT, image(9, SECOND), later=(later, back)).differences == ()


def test_values_in_lists_go_back_by_their_names() -> None:
    """What was lent to a container is found there."""

    def containers(value: str) -> Json:
        env = [{"name": "WORKERS", "value": value}]
        return {"template": {"spec": {"containers": [{"name": "app", "env": env}, {"name": "side"}]}}}

    patch = {
        "spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "WORKERS", "value": "8"}]}]}}}
    }
    step = PatchObject(target=BACKSTAGE, patch=patch, expected={}, by_name=True)
    plan = Plan(action="raise", target=BACKSTAGE, summary="raise", steps=(step,), changes=True)
    lent = structs.replace(former(1, FIRST, image(3, **containers("4")), 3), plan=plan)
    found = returning(lent, lent, image(3, FIRST, **containers("8")))
    (one,) = found.returned
    assert (one.ours, one.former, found.by_name, found.differences) == ("8", "4", True, ())


def test_what_cannot_be_gone_on_from() -> None:
    """The first was undone; a step was taken over by an undo, or was never stored."""
    assert "undoes it already" in returning(structs.replace(LENT, undone_by=7), structs.replace(LENT), {}).obstacle
    assert returning(LENT, structs.replace(STEP, undone_by=7), {}).obstacle == "A7 has changed it since"
    assert "has changed nothing" in returning(LENT, structs.replace(STEP, applied_at=None), {}).obstacle


def test_a_step_is_a_plan_like_an_undo() -> None:
    """It says what it goes on from, what it wrote, and whose loan it is."""
    plan = return_proposal(candidate(cause=Cause.RETURN), facts(undo=returning(LENT, STEP, image(6, SECOND))))
    assert isinstance(plan, Plan)
    assert plan.action == "return"
    assert plan.undoes == Undoes(
        action=2, mark=SECOND, wrote=(Wrote(path=("spec", "replicas"), value=6),), loan=1, last=False
    )
    assert plan.steps[0] == PatchObject(
        target=BACKSTAGE, patch={"spec": {"replicas": 4}}, expected={"spec.replicas": 4}
    )
    assert plan.return_after_s is None


@pytest.mark.parametrize("sick", [{"ready": 2}, {"available": 2}, {"observed_generation": 3}, {"updated": 1}])
def test_only_what_is_well_gives_back(sick: Json) -> None:
    """Pods that are not ready, or a rollout under way: what was lent may be needed."""
    found = returning(LENT, LENT, image(9, FIRST))
    refusal = return_proposal(candidate(cause=Cause.RETURN), facts(workload(**sick), undo=found))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is HoldReason.MIN_HEALTHY


def test_what_may_be_needed_stays() -> None:
    """The workload is well, and nobody knows whether the measure is."""
    found = structs.replace(returning(LENT, LENT, image(9, FIRST)), uneasy="cpu-usage is unknown (timeout)")
    refusal = return_proposal(candidate(cause=Cause.RETURN), facts(undo=found))
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.retry_at) == (HoldReason.NOT_CALM, None)
    assert "cpu-usage is unknown (timeout)" in refusal.message


def lent_limit(view: DatabaseView) -> Facts:
    """Return the facts of a return: role backstage was lent 30 connections beyond its 50, and ``view`` is seen now."""

    def step(before: int, limit: int) -> RunStatement:
        change = ChangedLimit(scope=LimitScope.ROLE, name="backstage", before=before, limit=limit)
        return RunStatement(target=BACKSTAGE, database="portal", statement=SetLimits(limits=(change,)))

    plan = Plan(
        action="raise_connections",
        target=BACKSTAGE,
        summary="raise",
        steps=(step(50, 80),),
        undo=(step(80, 50),),
        changes=True,
    )
    undo = structs.replace(undoing_statement(structs.replace(LENT, plan=plan), view), loan=1)
    return facts(undo=structs.replace(undo, uneasy=still_needed(view, undo)))


@pytest.mark.parametrize(
    ("used", "limit", "refused"),
    [(39, 80, None), (40, 80, HoldReason.NOT_CALM), (0, 70, HoldReason.CHANGED_SINCE)],
)
def test_limits_go_back_where_there_is_room(used: int, limit: int, refused: HoldReason | None) -> None:
    """Below four fifths of the former limit it goes back, in one step; above it is still needed."""
    seen = database(limits=(structs.replace(ROLE, used=used, limit=limit),))
    found = return_proposal(candidate(cause=Cause.RETURN), lent_limit(DatabaseView(facts=seen)))
    if refused is not None:
        assert isinstance(found, Refusal)
        assert found.reason is refused
        return
    assert isinstance(found, Plan)
    assert (found.action, found.undoes is not None and found.undoes.last) == ("return", True)
    assert found.summary.endswith("role backstage.connection limit 80 -> 50")


def test_a_database_that_cannot_be_seen_keeps_what_it_was_lent() -> None:
    """For now: it is asked again, and not taken for somebody else's."""
    found = return_proposal(candidate(cause=Cause.RETURN), lent_limit(DatabaseView(problem="it does not answer")))
    assert isinstance(found, Refusal)
    assert found.reason is HoldReason.NOT_CALM
    assert "it does not answer" in found.message
    step = Step(waits=False, reasons=(found.reason.value,))
    assert next_move(step).state is LoanState.LENT


def test_what_is_unknown_gives_nothing_back() -> None:
    """No facts, no return."""
    unknown = facts(workload=None, problem="cluster_unreachable", retryable=True)
    refusal = return_proposal(candidate(cause=Cause.RETURN), unknown)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is HoldReason.CLUSTER_UNREACHABLE


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_way_back_ends(now: int, aim: int) -> None:
    """Always nearer, never beyond, and there in a few steps."""
    steps = 0
    while now != aim:
        nearer = halfway(now, aim)
        assert abs(nearer - aim) < abs(now - aim)
        assert min(now, aim) <= nearer <= max(now, aim)
        now, steps = nearer, steps + 1
        assert steps < 20


def test_other_values_go_back_at_once() -> None:
    """What is no number has no half."""
    assert [halfway("2Gi", "1Gi"), halfway(True, False), halfway(3, None), halfway(None, 2)] == ["1Gi", False, None, 2]


@pytest.mark.parametrize(
    ("step", "state", "wait"),
    [
        (Step(waits=True), LoanState.RETURNING, 2),
        (Step(waits=False, reasons=("changed_since",)), LoanState.KEPT, 0),
        (Step(waits=False, reasons=("target_not_found",)), LoanState.KEPT, 0),
        (Step(waits=False, reasons=("paused", "cluster_busy")), LoanState.LENT, BACK_OFF_S),
        (Step(waits=False, reasons=("paused",), tries=3), LoanState.LENT, BACK_OFF_S * 8),
        (Step(waits=False, reasons=("paused",), tries=99), LoanState.LENT, LONGEST_S),
        *((Step(waits=False, action=2, state=state), LoanState.RETURNING, 2) for state in ActionState if state.open),
        (Step(waits=False, action=2, state="awaiting_approval"), LoanState.RETURNING, 2),
        (Step(waits=False, action=2, state="recovered"), LoanState.LENT, 60),
        (Step(waits=False, action=2, state="recovered", final=True), LoanState.RETURNED, 0),
        (Step(waits=False, action=2, state="observed"), LoanState.LENT, BACK_OFF_S),
        (Step(waits=False, action=2, state="refused"), LoanState.LENT, BACK_OFF_S),
        (Step(waits=False, action=2, state="unchanged"), LoanState.KEPT, 0),
        (Step(waits=False, action=2, state="unknown"), LoanState.KEPT, 0),
    ],
)
def test_what_becomes_of_a_loan(step: Step, state: LoanState, wait: float) -> None:
    """Every end of a step has an answer; only a step that was done is gone on from."""
    move = next_move(step)
    assert (move.state, move.wait_s) == (state, wait)
    assert (move.last == 2) == (step.state in {"recovered", "unchanged", "unknown"})
