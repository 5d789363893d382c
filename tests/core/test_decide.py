"""The decision: all guards, then the mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remediator.core.decide import decide, effective_mode, hold
from remediator.core.guardrails import GUARDS
from remediator.model.action import ActionState, PastAction
from remediator.model.case import Case, PlatformAlert, Window
from remediator.model.decision import Act, Ask, Hold, HoldReason, Observe, Refusal
from remediator.model.policy import Policy
from remediator.model.rule import Mode
from remediator.model.target import Kind, Target
from tests.core.given import (
    NOW,
    after,
    ago,
    candidate,
    case,
    facts,
    freeze,
    history,
    look_plan,
    past,
    pause,
    restart_plan,
    rule,
    touching,
    window,
    workload,
)

MODES = list(Mode)


@pytest.mark.parametrize("approved_by", ["", "ada"])
@pytest.mark.parametrize("ceiling", MODES)
@pytest.mark.parametrize("of_rule", MODES)
def test_the_lower_mode_decides(of_rule: Mode, ceiling: Mode, approved_by: str) -> None:
    """Observe writes nothing, ask waits for a yes, enforce acts; the ceiling lowers and never raises."""
    answered = candidate(approved_by=approved_by, approved_plan=restart_plan().summary if approved_by else "")
    decision = decide(case(rule=rule(mode=of_rule), policy=Policy(ceiling=ceiling), candidate=answered))
    lower = MODES[min(MODES.index(of_rule), MODES.index(ceiling))]
    assert effective_mode(rule(mode=of_rule), Policy(ceiling=ceiling)) is lower
    if lower is Mode.OBSERVE:
        assert isinstance(decision, Observe)
    elif lower is Mode.ASK and not approved_by:
        assert isinstance(decision, Ask)
    else:
        assert isinstance(decision, Act)


def test_it_is_said_who_lowered_the_mode() -> None:
    """The rule, or the ceiling."""
    by_rule = decide(case(rule=rule(mode=Mode.OBSERVE)))
    by_ceiling = decide(case(policy=Policy(ceiling=Mode.ASK)))
    assert isinstance(by_rule, Observe)
    assert by_rule.because == "rule service-unavailable is in mode observe"
    assert isinstance(by_ceiling, Ask)
    assert by_ceiling.because == "the ceiling is ask; rule service-unavailable is in mode enforce"


@pytest.mark.parametrize("ceiling", MODES)
def test_looking_is_done_in_every_mode(ceiling: Mode) -> None:
    """A plan that changes nothing is what observing is for."""
    assert decide(case(plan=look_plan(), policy=Policy(ceiling=ceiling))) == Act(plan=look_plan())


def test_a_yes_to_another_plan_is_asked_for_again() -> None:
    """Somebody said yes to a restart of three pods; what would be done now has other words."""
    answered = candidate(approved_by="ada", approved_plan="restart something else")
    assert isinstance(decide(case(rule=rule(mode=Mode.ASK), candidate=answered)), Ask)


def test_an_approval_does_not_open_a_guard() -> None:
    """A person's yes was about the plan, not about the limits."""
    answered = case(rule=rule(mode=Mode.ASK), candidate=candidate(approved_by="ada"))
    decision = decide(history(answered, last_in_cluster=ago(1)))
    assert isinstance(decision, Hold)
    assert [refusal.reason for refusal in decision.refusals] == [HoldReason.SPACING]


def test_a_hold_is_asked_again_at_the_latest_time_of_its_reasons() -> None:
    """Before that, one of the reasons would still hold."""
    decision = decide(history(case(), last_in_cluster=ago(1), open_in_namespace=1))
    assert isinstance(decision, Hold)
    assert decision.retry_at == after(15)


def test_a_hold_with_a_reason_that_time_does_not_change_is_not_asked_again() -> None:
    """Then a person is told instead."""
    decision = decide(history(case(policy=Policy(protected_namespaces=("backstage",))), last_in_cluster=ago(1)))
    assert isinstance(decision, Hold)
    assert len(decision.refusals) == 2
    assert decision.retry_at is None
    assert hold(()).retry_at is None
    refusal = Refusal(reason=HoldReason.SPACING, message="", retry_at=NOW)
    assert hold((refusal,)).retry_at == NOW


def _opted_out() -> Case:
    return case(facts=facts(workload(annotations={"remediator.io/opt-out": "true"})))


def _attempts(state: ActionState) -> tuple[PastAction, ...]:
    """Return three restarts that ended so, long enough ago for any cooldown."""
    return tuple(past(n, state, admitted_s=15000 + n * 900, ended_s=14900 + n * 900) for n in (3, 2, 1))


def _stateful() -> Case:
    """Return the restart of a database that a restart did not help before."""
    target = Target(kind=Kind.STATEFULSET, namespace="backstage", name="postgres", uid="uid-2")
    failed = past(1, ActionState.UNCHANGED, admitted_s=40000, ended_s=39000, target_key=target.key)
    return history(case(plan=restart_plan(target)), target=(failed,))


def _looked_enough() -> Case:
    """A storm in which ten targets were looked at."""
    stormy = history(case(plan=look_plan()), onsets=tuple(ago(60 + n) for n in range(10)))
    return window(stormy, "look", Window(count=10, oldest_at=ago(60)))


ONLY: dict[str, Callable[[], Case]] = {
    "paused": lambda: history(case(), pauses=(pause(),)),
    "frozen": lambda: case(freezes=(freeze(),)),
    "brake": lambda: history(case(), platform=(PlatformAlert(alertname="KubeAPIDown"),)),
    "storm": lambda: history(case(), onsets=tuple(ago(60 + n) for n in range(10))),
    "storm_evidence": _looked_enough,
    "self_protection": lambda: case(policy=Policy(own=("deployment/backstage/backstage",))),
    "protected": lambda: case(policy=Policy(protected=("deployment/backstage/*",))),
    "opted_out": _opted_out,
    "not_opted_in": lambda: case(policy=Policy(require_opt_in=True)),
    "not_firing": lambda: history(case(), alert_firing=False),
    "target_unknown": lambda: case(facts=facts(workload=None, problem="cluster_unreachable")),
    "target_busy": lambda: history(case(), target=(past(1, ActionState.VERIFYING, admitted_s=20),)),
    "namespace_busy": lambda: history(case(), open_in_namespace=1),
    "cluster_busy": lambda: history(case(), open_in_cluster=3),
    "stateful_stop": _stateful,
    "quarantine": lambda: history(case(), target=_attempts(ActionState.UNCHANGED)),
    "masking": lambda: history(case(), target=_attempts(ActionState.RECOVERED)),
    "cooldown": lambda: history(case(), target=(past(1, ActionState.RECOVERED, admitted_s=300, ended_s=100),)),
    "limit_target": lambda: window(case(), "target", Window(count=3, oldest_at=ago(60))),
    "limit_rule": lambda: window(case(), "rule", Window(count=20, oldest_at=ago(60))),
    "limit_namespace": lambda: window(case(), "namespace", Window(count=10, oldest_at=ago(60))),
    "limit_cluster": lambda: window(case(), "cluster", Window(count=6, oldest_at=ago(60)), 1),
    "blast_namespace": lambda: touching(case(), namespace=6, cluster=100),
    "blast_cluster": lambda: touching(case(), namespace=100, cluster=10),
    "spacing": lambda: history(case(), last_in_cluster=ago(9)),
    "min_healthy": lambda: case(facts=facts(workload(ready=1))),
    "rollout_in_progress": lambda: case(facts=facts(workload(current=4))),
    "recently_deployed": lambda: case(facts=facts(workload(rollout_started_at=ago(600), revision="7"))),
    "stale_facts": lambda: case(facts=facts(read_at=ago(121))),
}


def test_every_guard_has_a_case_of_its_own() -> None:
    """A new guard needs one here, or the next test would not notice its absence."""
    assert set(ONLY) == {guard.name for guard in GUARDS}


@pytest.mark.parametrize("name", ONLY)
def test_without_a_guard_its_case_is_acted_on(name: str) -> None:
    """Each guard is the only thing between its case and an action: taken away, the decision changes."""
    the_case = ONLY[name]()
    with_it = decide(the_case)
    assert isinstance(with_it, Hold)
    assert len(with_it.refusals) == 1
    others = tuple(guard for guard in GUARDS if guard.name != name)
    assert isinstance(decide(the_case, others), Act)
