"""Judging and climbing always come to an end, and never to a better one than the facts allow."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.escalate import MAX_TRIES, NextRung, Stop, next_move
from remediator.core.judge import Judgement, Question, judge
from remediator.model.action import ActionState, Verdict
from remediator.model.facts import Facts
from remediator.model.rule import Recovery, Rung
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, NOW, action, facts, restart_plan, rule, workload

COUNT = st.integers(0, 5)
LOADS = st.builds(
    lambda replicas, updated, ready, available, current, generation, progress, deleting: workload(
        replicas=replicas,
        updated=updated,
        ready=ready,
        available=available,
        current=current,
        generation=generation,
        progress=progress,
        deleting=deleting,
    ),
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    COUNT,
    st.integers(3, 5),
    st.sampled_from(["", "NewReplicaSetAvailable", "ProgressDeadlineExceeded"]),
    st.booleans(),
)
UNSEEN = st.sampled_from(
    [
        Facts(read_at=NOW, problem="cluster_unreachable", retryable=True),
        Facts(read_at=NOW, problem="target_not_found"),
        Facts(read_at=NOW),
        facts(problem="target_not_allowed"),
    ]
)
SIGHT = st.one_of(st.just(facts()), LOADS.map(facts), UNSEEN)
RECOVER = st.builds(
    lambda quiet, within: Recovery(for_s=quiet, within_s=within), st.integers(0, 120), st.integers(1, 900)
)
SECONDS = st.floats(0, 2000, allow_nan=False)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Any question whatever."""
    seconds = draw(SECONDS)
    quiet = draw(st.one_of(st.none(), st.floats(-2000, 4000, allow_nan=False)))
    now = NOW + timedelta(seconds=seconds)
    return Question(
        now=now,
        applied_at=NOW,
        recover=draw(RECOVER),
        facts=structs.replace(draw(SIGHT), read_at=now - timedelta(seconds=draw(st.integers(-5, 5)))),
        firing=draw(st.integers(0, 2)),
        quiet_since=None if quiet is None else NOW + timedelta(seconds=quiet),
        changes=draw(st.booleans()),
        ready_before=draw(st.one_of(st.none(), COUNT)),
    )


@settings(max_examples=600)
@given(questions())
def test_recovered_is_proved(question: Question) -> None:
    """Never while an alert fires, the facts are unknown, the rollout is incomplete or the quiet is too short."""
    judgement = judge(question)
    if judgement.verdict is not Verdict.RECOVERED:
        return
    load = question.facts.workload
    assert question.firing == 0
    assert load is not None
    assert not question.facts.problem
    assert question.facts.read_at >= question.applied_at
    assert load.rolled_out
    assert (question.now - question.applied_at).total_seconds() >= question.recover.for_s
    assert question.quiet_since is not None or question.recover.for_s == 0


@settings(max_examples=600)
@given(questions())
def test_unknown_is_not_a_verdict_on_the_workload(question: Question) -> None:
    """What was not seen is waited for, or unknown; and only what was not seen is."""
    judgement = judge(question)
    seen = question.facts.workload is not None and not question.facts.problem
    seen = seen and question.facts.read_at >= question.applied_at
    if not seen:
        late = question.now >= question.deadline
        assert judgement.verdict is (Verdict.UNKNOWN if late else Verdict.WAIT)
        assert judgement.quiet_since is None
    else:
        assert judgement.verdict is not Verdict.UNKNOWN


@settings(max_examples=600)
@given(questions())
def test_the_next_look_is_soon_and_not_too_soon(question: Question) -> None:
    """Between half a second and fifteen while it waits."""
    judgement = judge(question)
    wait = (judgement.check_at - question.now).total_seconds()
    assert wait == 0 if judgement.verdict is not Verdict.WAIT else 0.5 <= wait <= 15
    assert judgement.message


@settings(max_examples=100)
@given(RECOVER, st.lists(st.tuples(SIGHT, st.integers(0, 1)), min_size=1, max_size=30))
def test_every_verification_ends(recover: Recovery, world: list[tuple[Facts, int]]) -> None:
    """Whatever is seen: at the latest with the first sick look after the deadline, or a quiet time behind it."""
    now, quiet, last = NOW, None, NOW + timedelta(seconds=recover.within_s + recover.for_s + 31)
    looks = 0
    while True:
        seen, firing = world[looks % len(world)]
        judgement = look(recover, seen, firing, now, quiet)
        if judgement.verdict is not Verdict.WAIT:
            break
        now, quiet, looks = judgement.check_at, judgement.quiet_since, looks + 1
        assert now <= last


def look(recover: Recovery, seen: Facts, firing: int, now: datetime, quiet: datetime | None) -> Judgement:
    """Judge one look of a verification."""
    return judge(
        Question(
            now=now,
            applied_at=NOW,
            recover=recover,
            facts=structs.replace(seen, read_at=now),
            firing=firing,
            quiet_since=quiet,
            changes=True,
        )
    )


ENDED = [state for state in ActionState if not state.open and state is not ActionState.AWAITING_APPROVAL]
REASONS = ["", "conflict", "throttled", "forbidden", "min_healthy", "opted_out", "not_firing"]


@settings(max_examples=300)
@given(
    st.integers(1, 6),
    st.sampled_from(list(Kind)),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(ENDED), st.sampled_from(REASONS)), min_size=1, max_size=20),
)
def test_every_ladder_ends(length: int, kind: Kind, keeps_data: bool, endings: list[tuple[ActionState, str]]) -> None:
    """It never goes down, and no rung is tried more than three times."""
    target = structs.replace(BACKSTAGE, kind=kind)
    by = rule(
        ladder=tuple(Rung(action="investigate", parameters={}) for _ in range(length)),
        target=structs.replace(rule().target, stateful=keeps_data),
    )
    rung, tries, steps = 0, Counter[int](), 0
    while True:
        state, reason = endings[steps % len(endings)]
        steps += 1
        tries[rung] += 1
        one = action(restart_plan(target), rung=rung)
        move = next_move(by, one, state, "", reason=reason, tries=tries[rung])
        if not isinstance(move, NextRung):
            assert isinstance(move, Stop) or move.message
            return
        assert rung <= move.rung < length
        assert steps < length * MAX_TRIES
        rung = move.rung
