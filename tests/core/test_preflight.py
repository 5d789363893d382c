"""The last look before the write."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.core.preflight import recheck
from remediator.model.action import Action
from remediator.model.decision import HoldReason
from remediator.model.facts import Facts
from remediator.model.owners import Lever, LeverKind, Scaler, Surroundings
from remediator.model.plan import PatchObject
from remediator.model.policy import Policy
from remediator.model.rule import Mode, Rule, TargetSpec
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, action, after, facts, look_plan, rule, scale_plan, workload


@pytest.mark.parametrize("plan", [None, scale_plan(), look_plan()])
def test_what_is_as_it_was_goes_ahead(plan: Any) -> None:
    """Nothing is refused on an unchanged object."""
    assert recheck(action(plan), facts(), rule(), Policy()) is None


@pytest.mark.parametrize(
    ("live", "reason", "words"),
    [
        (facts(workload(structs.replace(BACKSTAGE, uid="uid-2"))), HoldReason.TARGET_NOT_FOUND, "uid uid-2, was uid-1"),
        (facts(workload(structs.replace(BACKSTAGE, uid=""))), HoldReason.TARGET_NOT_FOUND, "uid unknown, was uid-1"),
        (facts(workload(structs.replace(BACKSTAGE, name="other"))), HoldReason.TARGET_NOT_FOUND, "not the object"),
        (facts(workload(annotations={"remediator.io/opt-out": "true"})), HoldReason.OPTED_OUT, "annotation"),
        (facts(workload(ready=1)), HoldReason.MIN_HEALTHY, "1 of 3 pods"),
        (facts(workload(current=4)), HoldReason.ROLLOUT_IN_PROGRESS, "rolling out"),
        (facts(workload(paused=True)), HoldReason.CANNOT_PLAN, "was paused"),
        (facts(workload(deleting=True)), HoldReason.CANNOT_PLAN, "is being deleted"),
        (facts(workload(replicas=0)), HoldReason.CANNOT_PLAN, "switched off"),
        (facts(workload=None, problem="cluster_unreachable"), HoldReason.CLUSTER_UNREACHABLE, "could not be read"),
        (facts(problem="target_not_found"), HoldReason.TARGET_NOT_FOUND, "not in the cluster"),
    ],
)
def test_a_restart_is_refused_on_what_the_object_is_now(live: Facts, reason: HoldReason, words: str) -> None:
    """Whatever was decided some seconds ago."""
    refusal = recheck(action(), live, rule(), Policy())
    assert refusal is not None
    assert refusal.reason is reason
    assert words in refusal.message


@pytest.mark.parametrize(
    ("by", "policy", "reason"),
    [
        (rule(mode=Mode.OBSERVE), Policy(), HoldReason.RULE_GONE),
        (rule(), Policy(ceiling=Mode.OBSERVE), HoldReason.RULE_GONE),
        (rule(mode=Mode.ASK), Policy(), HoldReason.AWAITING_APPROVAL),
        (rule(), Policy(ceiling=Mode.ASK), HoldReason.AWAITING_APPROVAL),
        (rule(), Policy(protected=("deployment/backstage/*",)), HoldReason.PROTECTED),
        (
            rule(target=TargetSpec(namespaces=("dev-portal",), kinds=(Kind.DEPLOYMENT,))),
            Policy(),
            HoldReason.TARGET_NOT_ALLOWED,
        ),
    ],
)
def test_an_operator_who_was_quicker_is_obeyed(by: Rule, policy: Policy, reason: HoldReason) -> None:
    """A rule lowered or narrowed, or a target protected, after the admission and before the write."""
    refusal = recheck(action(), facts(), by, policy)
    assert refusal is not None
    assert refusal.reason is reason


def test_modes_that_were_admitted_so_go_ahead() -> None:
    """A dry run of observe mode, and what a person approved in ask mode."""
    assert recheck(action(mode=Mode.OBSERVE), facts(), rule(mode=Mode.OBSERVE), Policy()) is None
    for by, policy in ((rule(mode=Mode.ASK), Policy()), (rule(), Policy(ceiling=Mode.ASK))):
        assert recheck(action(), facts(), by, policy, approved=True) is None


def test_a_yes_is_not_above_the_operator() -> None:
    """What a person approved is refused all the same once everything is lowered to observe."""
    for by, policy in ((rule(mode=Mode.OBSERVE), Policy()), (rule(), Policy(ceiling=Mode.OBSERVE))):
        refusal = recheck(action(), facts(), by, policy, approved=True)
        assert refusal is not None
        assert refusal.reason is HoldReason.RULE_GONE


@pytest.mark.parametrize(
    ("now", "wanted", "words"),
    [
        (5, 6, None),
        (6, 6, "already wants 6 pods, the plan was 6"),
        (7, 6, "already wants 7 pods, the plan was 6"),
        (2, 6, None),
        (1, 6, "wants only 1 pods now, 6 would be too big a step"),
        (1, 5, None),
        (8, 16, None),
        (7, 15, "too big a step"),
    ],
)
def test_an_absolute_number_must_still_make_sense(now: int, wanted: int, words: str | None) -> None:
    """Somebody scaled meanwhile: never down, never more than one step up."""
    refusal = recheck(action(scale_plan(wanted)), facts(workload(replicas=now)), rule(), Policy())
    assert (refusal is None) == (words is None)
    if refusal is not None and words is not None:
        assert refusal.reason is HoldReason.CANNOT_PLAN
        assert words in refusal.message
        assert refusal.numbers["replicas"] == now


def test_adding_pods_goes_ahead_where_a_restart_would_not() -> None:
    """Few ready pods, a rollout and a pause concern what makes pods end."""
    sick = facts(workload(ready=0, updated=1, paused=True))
    assert recheck(action(scale_plan()), sick, rule(), Policy()) is None


def test_a_look_is_never_refused() -> None:
    """It changes nothing, so nothing can be wrong with it."""
    gone = facts(workload=None, problem="target_not_found")
    looking: Action = action(look_plan())
    assert recheck(looking, gone, rule(), Policy(ceiling=Mode.OBSERVE)) is None


def test_refusals_that_pass_say_when() -> None:
    """The time of the look is the time of the facts."""
    refusal = recheck(action(), facts(workload(ready=1), read_at=after(7)), rule(), Policy())
    assert refusal is not None
    assert refusal.retry_at == after(67)


HPA = Lever(kind=LeverKind.AUTOSCALER, namespace="backstage", name="web", uid="hpa")


@pytest.mark.parametrize(
    ("field", "wanted", "least", "most", "words"),
    [
        ("minReplicas", 5, 2, 8, None),
        ("minReplicas", 5, 5, 8, "has spec.minReplicas 5 at horizontalpodautoscaler/web, the plan was 5"),
        ("minReplicas", 5, 7, 8, "has spec.minReplicas 7"),
        ("minReplicas", 5, 2, 4, "may have at most 4 pods by horizontalpodautoscaler/web, the plan was at least 5"),
        ("minReplicas", 3, 2, 8, "already wants 3 pods, the plan was 3"),
        ("minReplicas", 8, 2, 9, "wants only 3 pods now, 8 would be too big a step"),
        ("minReplicaCount", 5, None, 8, None),
        ("minReplicaCount", 5, 6, 8, "has spec.minReplicaCount 6"),
        ("maxReplicas", 5, 2, 3, None),
        ("maxReplicas", 5, 2, 5, "has spec.maxReplicas 5"),
        ("maxReplicas", 5, 2, 6, "has spec.maxReplicas 6"),
        ("maxReplicaCount", 8, 2, 3, "too big a step"),
    ],
)
def test_a_bound_must_still_raise_something(
    field: str, wanted: int, least: int | None, most: int, words: str | None
) -> None:
    """The workload and its autoscaler are both looked at as they are now; nobody's higher bound is lowered."""
    expected = {f"spec.{field}": wanted}
    step = PatchObject(target=BACKSTAGE, patch={"spec": {field: wanted}}, expected=expected, through=HPA)
    plan = structs.replace(scale_plan(), steps=(step,))
    around = Surroundings(scaler=Scaler(lever=HPA, minimum=least, maximum=most))
    refusal = recheck(action(plan), facts(around=around), rule(), Policy())
    assert (refusal is None) == (words is None)
    assert words is None or (refusal is not None and words in refusal.message)
