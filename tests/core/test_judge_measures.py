"""Recovery by the row's own measure: back inside for long enough, unseen, or worse."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.core.judge import Judgement, Question, judge
from remediator.model.action import Verdict
from remediator.model.measure import Level, Measure, Phase
from remediator.model.rule import Recovery
from tests.core.given import NOW, after, facts, workload

FIRES = Measure(
    row="cpu-usage", phase=Phase.FIRING, level=Level.WARNING, level_at=after(-60), calm_since=None, value=75.0
)
WELL = Measure(row="cpu-usage", phase=Phase.OK, level=None, level_at=None, calm_since=after(30), value=60.0)


def looked(seconds: float, *measures: Measure, firing: int = 0, **changes: Any) -> Judgement:
    """Judge a look so many seconds after the action; all is rolled out unless said."""
    read = structs.replace(changes.pop("facts", facts()), read_at=after(seconds))
    base = Question(
        now=after(seconds),
        applied_at=NOW,
        recover=Recovery(for_s=60, within_s=600),
        facts=read,
        firing=firing,
        quiet_since=None,
        changes=True,
        measures=measures,
        all_measured=True,
    )
    return judge(structs.replace(base, **changes))


def test_it_has_recovered_when_the_poller_says_so() -> None:
    """The alert has ended, and the measure has been back inside for a minute since the action: no second minute."""
    found = looked(90, WELL)
    assert (found.verdict, found.message) == (Verdict.RECOVERED, "3 of 3 pods ready, 3 updated, back inside for 1 min")


def test_calm_from_before_the_action_does_not_count() -> None:
    """It may have become well by itself."""
    early = structs.replace(WELL, calm_since=after(-300))
    assert looked(59, early).verdict is Verdict.WAIT
    assert looked(60, early).verdict is Verdict.RECOVERED


def test_a_rollout_that_is_not_complete_is_no_recovery() -> None:
    """Whatever the measure says."""
    assert looked(90, WELL, facts=facts(workload(available=2))).verdict is Verdict.WAIT


def test_a_measure_that_is_over_its_threshold_again_is_not_well() -> None:
    """Not for long enough to fire, but for the whole minute that recovery has to last."""
    again = structs.replace(WELL, phase=Phase.PENDING, value=75.0)
    found = looked(90, again, quiet_since=after(1))
    assert found.verdict is Verdict.WAIT
    assert "cpu-usage is over its threshold" in found.message
    assert looked(600, again, quiet_since=after(1)).verdict is Verdict.UNCHANGED


def test_alerts_of_others_have_to_be_silent_for_themselves() -> None:
    """The measure says nothing about them."""
    assert looked(90, WELL, all_measured=False).verdict is Verdict.WAIT
    assert looked(90, WELL, all_measured=False, quiet_since=after(30)).verdict is Verdict.RECOVERED


def test_every_measure_has_to_be_back() -> None:
    """The last one counts."""
    late = structs.replace(WELL, calm_since=after(50))
    assert looked(100, WELL, late).verdict is Verdict.WAIT
    assert looked(110, WELL, late).verdict is Verdict.RECOVERED
    assert looked(110, WELL, FIRES).verdict is Verdict.WAIT


def test_who_is_calm_at_the_deadline_gets_the_time_to_prove_it() -> None:
    """The alert still fires, for the poller has not seen enough of it yet."""
    calm = structs.replace(FIRES, calm_since=after(580))
    found = looked(610, calm, firing=1)
    assert (found.verdict, found.check_at) == (Verdict.WAIT, after(625))
    assert "back inside for 30 s, of 1 min needed" in found.message
    assert looked(610, FIRES, firing=1).verdict is Verdict.UNCHANGED
    assert looked(610, calm, firing=1, facts=facts(workload(available=2))).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize("measure", [WELL, FIRES, structs.replace(FIRES, calm_since=after(1))])
def test_unknown_is_never_recovered_nor_worse(measure: Measure) -> None:
    """People are called at the deadline, for nobody knows."""
    unseen = structs.replace(measure, unknown="timeout")
    risen = structs.replace(unseen, level=Level.CRITICAL, level_at=after(10))
    for one in (unseen, risen):
        found = looked(90, one, firing=1)
        assert found.verdict is Verdict.WAIT
        assert "cpu-usage is unknown: timeout" in found.message
        assert looked(600, one).verdict is Verdict.UNKNOWN


def test_critical_since_the_action_is_worse() -> None:
    """When half of the time is over and the rollout complete; adding pods did no harm, so they are not taken back."""
    risen = structs.replace(FIRES, level=Level.CRITICAL, level_at=after(30), value=91.5)
    found = looked(300, risen, firing=1)
    assert (found.verdict, found.harmed) == (Verdict.WORSE, False)
    assert found.message == "cpu-usage has become critical since: 91.5"
    assert looked(300, risen, firing=1, facts=facts(workload(available=2))).verdict is Verdict.WAIT
    before = structs.replace(risen, level_at=after(-1))
    assert looked(300, before, firing=1).verdict is Verdict.WAIT


def test_a_measure_is_given_time_to_follow() -> None:
    """It looks back over minutes: what is critical when the new pods have just become ready may be of before them."""
    risen = structs.replace(FIRES, level=Level.CRITICAL, level_at=after(30), value=91.5)
    assert looked(299, risen, firing=1).verdict is Verdict.WAIT
    inside = structs.replace(risen, value=61.0, calm_since=after(310))
    assert looked(320, inside, firing=1).verdict is Verdict.WAIT


def test_fewer_pods_than_before_are_the_actions_own_doing() -> None:
    """And so is a rollout that is stuck: what can be taken back is."""
    found = looked(600, FIRES, firing=1, ready_before=5)
    assert (found.verdict, found.harmed) == (Verdict.WORSE, True)
    stuck = looked(40, FIRES, firing=1, facts=facts(workload(available=2, progress="ProgressDeadlineExceeded")))
    assert (stuck.verdict, stuck.harmed) == (Verdict.WORSE, True)
