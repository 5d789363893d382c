"""Did it help? Every look, at its boundaries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec import structs

from remediator.core.judge import Judgement, Question, judge
from remediator.model.action import Verdict
from remediator.model.facts import Facts
from remediator.model.rule import Recovery
from tests.core.given import NOW, after, facts, workload


def looked(seconds: float, **changes: Any) -> Judgement:
    """Judge a look so many seconds after the action, with everything well and no alert firing unless said."""
    read = structs.replace(changes.pop("facts", facts()), read_at=after(seconds))
    base = Question(
        now=after(seconds),
        applied_at=NOW,
        recover=Recovery(for_s=60, within_s=600),
        facts=read,
        firing=0,
        quiet_since=None,
        changes=True,
    )
    return judge(structs.replace(base, **changes))


def is_waiting(judgement: Judgement, *, quiet_since: datetime | None, check_at: datetime) -> None:
    """Check a WAIT."""
    assert (judgement.verdict, judgement.quiet_since, judgement.check_at) == (Verdict.WAIT, quiet_since, check_at)


def test_quiet_must_last() -> None:
    """Recovered after 60 quiet seconds, not one earlier."""
    first = looked(20)
    is_waiting(first, quiet_since=after(20), check_at=after(25))
    assert first.message == "3 of 3 pods ready, 3 updated, no alert has fired for 0 s, of 1 min needed"
    almost = looked(79, quiet_since=after(20))
    is_waiting(almost, quiet_since=after(20), check_at=after(80))
    proven = looked(80, quiet_since=after(20))
    assert proven.verdict is Verdict.RECOVERED
    assert proven.check_at == after(80)
    assert proven.message == "3 of 3 pods ready, 3 updated, no alert has fired for 1 min"


def test_an_alert_that_fires_again_begins_the_count_anew() -> None:
    """Flapping is not recovery."""
    is_waiting(looked(70, firing=1, quiet_since=after(20)), quiet_since=None, check_at=after(85))


def test_resolved_alone_proves_nothing() -> None:
    """No alert fires, and pods are still missing: not recovered, however long it is silent."""
    incomplete = facts(workload(available=2))
    is_waiting(looked(90, facts=incomplete, quiet_since=after(20)), quiet_since=None, check_at=after(105))
    late = looked(600, facts=incomplete, quiet_since=after(20))
    assert late.verdict is Verdict.UNCHANGED
    assert late.message == "3 of 3 pods ready, 3 updated, the rollout is not complete after 10 min"


def test_a_rollout_alone_proves_nothing() -> None:
    """Everything is rolled out, and the alert still fires."""
    waiting = looked(40, firing=2)
    assert waiting.message == "2 alerts still fire, 3 of 3 pods ready, 3 updated; 9 min 20 s left"
    late = looked(600, firing=1)
    assert late.verdict is Verdict.UNCHANGED
    assert late.message.startswith("1 alert still fires, ")
    assert looked(599, firing=1).verdict is Verdict.WAIT


def test_quiet_is_not_counted_from_before_the_action() -> None:
    """Nor from the future."""
    assert looked(30, quiet_since=after(-500)).quiet_since == NOW
    assert looked(59, quiet_since=after(-500)).verdict is Verdict.WAIT
    assert looked(30, quiet_since=after(500)).quiet_since == after(30)


def test_who_is_quiet_at_the_deadline_may_prove_it() -> None:
    """A rollout that is done in the last minute is given its own minute; then it is over either way."""
    is_waiting(looked(610, quiet_since=after(570)), quiet_since=after(570), check_at=after(625))
    assert looked(630, quiet_since=after(570)).verdict is Verdict.RECOVERED
    assert looked(615, quiet_since=after(570), firing=1).verdict is Verdict.UNCHANGED


def test_a_look_after_a_long_absence_may_find_it_healthy() -> None:
    """The daemon was away past the deadline; what is healthy now is not called unchanged."""
    is_waiting(looked(4000), quiet_since=after(4000), check_at=after(4015))
    assert looked(4060, quiet_since=after(4000)).verdict is Verdict.RECOVERED


@pytest.mark.parametrize(
    "unseen",
    [
        facts(workload=None, problem="cluster_unreachable", detail="timeout"),
        facts(workload=None, problem="target_not_found"),
        facts(problem="target_not_allowed"),
        Facts(read_at=NOW),
    ],
)
def test_what_cannot_be_seen_is_unknown(unseen: Facts) -> None:
    """It waits, starts the quiet anew, and ends as unknown: never as recovered and never as unchanged."""
    is_waiting(looked(100, facts=unseen, quiet_since=after(20)), quiet_since=None, check_at=after(115))
    end = looked(600, facts=unseen, quiet_since=after(20))
    assert end.verdict is Verdict.UNKNOWN
    assert end.quiet_since is None


def test_facts_from_before_the_action_are_no_facts_about_it() -> None:
    """A late answer of an old read shows the workload as it was."""
    old = structs.replace(facts(), read_at=after(-1))
    question = Question(
        now=after(70),
        applied_at=NOW,
        recover=Recovery(),
        facts=old,
        firing=0,
        quiet_since=NOW,
        changes=True,
    )
    assert judge(question).verdict is Verdict.WAIT
    assert "from before the action" in judge(question).message


STUCK = facts(workload(updated=1, ready=2, available=2, progress="ProgressDeadlineExceeded"))


def test_a_stuck_rollout_is_worse_at_once() -> None:
    """The controller gave up; waiting for the deadline would only keep people asleep."""
    judgement = looked(30, facts=STUCK)
    assert judgement.verdict is Verdict.WORSE
    assert judgement.message == "the rollout is stuck: 2 of 3 pods ready, 1 updated, progress deadline exceeded"


def test_a_condition_from_before_the_write_is_not_the_rollouts_own() -> None:
    """Until the controller has seen the change, its last word was about something else."""
    unseen = facts(workload(generation=5, updated=1, progress="ProgressDeadlineExceeded"))
    assert looked(1, facts=unseen).verdict is Verdict.WAIT
    assert looked(60, facts=facts(workload(progress="ProgressDeadlineExceeded")), quiet_since=NOW).verdict is (
        Verdict.RECOVERED
    )


def test_who_changed_nothing_made_nothing_worse() -> None:
    """A stuck rollout is not the doing of a look."""
    assert looked(30, facts=STUCK, changes=False).verdict is Verdict.WAIT
    assert looked(600, facts=STUCK, changes=False).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    ("before", "verdict"), [(None, Verdict.UNCHANGED), (1, Verdict.UNCHANGED), (2, Verdict.WORSE), (3, Verdict.WORSE)]
)
def test_fewer_ready_pods_count_at_the_deadline_only(before: int | None, verdict: Verdict) -> None:
    """During a rollout fewer pods are ready: that is judged at the end."""
    fewer = facts(workload(ready=1, available=1))
    assert looked(599, facts=fewer, ready_before=before, firing=1).verdict is Verdict.WAIT
    assert looked(600, facts=fewer, ready_before=before, firing=1).verdict is verdict


def test_a_workload_that_was_switched_off_was_not_repaired() -> None:
    """No pods wanted, none missing: that is nobody's recovery, unless the machine did nothing."""
    off = facts(workload(replicas=0))
    assert looked(70, facts=off, quiet_since=NOW).verdict is Verdict.WAIT
    assert looked(70, facts=off, quiet_since=NOW, changes=False).verdict is Verdict.RECOVERED
    leaving = facts(workload(deleting=True))
    assert looked(70, facts=leaving, quiet_since=NOW).verdict is Verdict.WAIT


@pytest.mark.parametrize(
    ("seconds", "wait_s"), [(0, 0.5), (1, 0.5), (8, 2), (40, 10), (60, 15), (500, 15), (590, 10), (599.9, 0.5)]
)
def test_looks_are_close_at_first_and_never_far_apart(seconds: float, wait_s: float) -> None:
    """Half a second to fifteen, and exactly at the deadline."""
    sick = facts(workload(ready=1, available=1))
    assert looked(seconds, facts=sick).check_at == after(seconds + wait_s)


@pytest.mark.parametrize(("seconds", "wait_s"), [(0, 5), (19, 5), (40, 10), (599.9, 0.5)])
def test_while_an_alert_fires_there_is_less_to_see(seconds: float, wait_s: float) -> None:
    """Nothing can be proven before it ends, and its end asks for a look at once."""
    assert looked(seconds, firing=1).check_at == after(seconds + wait_s)


def test_no_time_to_wait_is_needed() -> None:
    """A rule that asks for no quiet is satisfied by the first healthy look, at the moment of the action or later."""
    assert looked(0, recover=Recovery(for_s=0, within_s=10)).verdict is Verdict.RECOVERED
    assert looked(1, recover=Recovery(for_s=0, within_s=10)).verdict is Verdict.RECOVERED
