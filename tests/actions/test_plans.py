"""What each action plans, and when it declines."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.actions.catalogue import draft
from remediator.model.facts import WorkloadFacts
from remediator.model.owners import Budget
from remediator.model.plan import CannotPlan, CaptureEvidence, Notify, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rung
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, facts, rule, workload

STATEFULSET = structs.replace(BACKSTAGE, kind=Kind.STATEFULSET)
DAEMONSET = structs.replace(BACKSTAGE, kind=Kind.DAEMONSET)


def planned(action: str, load: WorkloadFacts, **parameters: Any) -> Plan | CannotPlan:
    """Plan an action on a workload."""
    return capped(action, load, Policy(), **parameters)


def capped(action: str, load: WorkloadFacts, policy: Policy, **parameters: Any) -> Plan | CannotPlan:
    """Plan an action on a workload under a policy."""
    return draft(Rung(action=action, parameters=parameters), load.target, facts(load), rule(), policy)


def declined(result: Plan | CannotPlan) -> CannotPlan:
    """Return the refusal, which must be one."""
    assert isinstance(result, CannotPlan)
    return result


# ------------------------------------------------------------------------------------------------------------- restart


@pytest.mark.parametrize("target", [BACKSTAGE, STATEFULSET, DAEMONSET])
def test_a_restart_is_nothing_but_the_mark(target: Any) -> None:
    """The template keeps every field; the executor's mark on it makes the pods roll."""
    assert planned("restart", workload(target)) == Plan(
        action="restart",
        target=target,
        summary=f"restart {target}: replace its 3 pods one after the other",
        steps=(PatchObject(target=target, patch={}, mark_template=True),),
        changes=True,
        disruptive=True,
    )


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"paused": True}, "paused", "is paused, a restart would not roll out; resume it"),
        ({"strategy": "Recreate"}, "strategy", "all its pods would end before a new one starts"),
        ({"strategy": "OnDelete"}, "strategy", "its pods would stay as they are until somebody deletes them"),
        ({"deleting": True}, "deleting", "is being deleted"),
        ({"replicas": 0}, "no_pods", "wants 0 pods, there is nothing to restart"),
        ({"replicas": 1}, "single", "the rule may say allow_single: true"),
    ],
)
def test_a_restart_that_would_not_roll_gently_is_declined(changes: dict[str, Any], reason: str, words: str) -> None:
    """With the reason, and what would change it."""
    refusal = declined(planned("restart", workload(**changes)))
    assert refusal.reason == reason
    assert words in refusal.message
    assert "deployment/backstage in backstage" in refusal.message


def test_a_single_pod_under_recreate_is_restarted_if_the_rule_says_so() -> None:
    """Its only pod ends either way; with more than one, Recreate stays an outage that nobody has asked for."""
    one = planned("restart", workload(replicas=1, strategy="Recreate"), allow_single=True)
    assert isinstance(one, Plan)
    assert one.summary.endswith("replace its only pod")
    assert declined(planned("restart", workload(replicas=1, strategy="Recreate"))).reason == "strategy"
    assert (
        declined(planned("restart", workload(replicas=2, strategy="Recreate"), allow_single=True)).reason == "strategy"
    )
    assert (
        declined(planned("restart", workload(replicas=1, strategy="OnDelete"), allow_single=True)).reason == "strategy"
    )


NOBODY = Budget(name="pdb", desired=2, healthy=2, allowed=0)


@pytest.mark.parametrize(
    ("available", "budget", "refused"),
    [
        (2, NOBODY, True),
        (1, structs.replace(NOBODY, healthy=1), True),
        (0, structs.replace(NOBODY, healthy=0), False),
        (3, structs.replace(NOBODY, healthy=3, allowed=1), False),
        (2, structs.replace(NOBODY, desired=0), False),
    ],
)
def test_a_restart_minds_disruption_budgets(available: int, budget: Budget, refused: bool) -> None:
    """None of the pods may go that are up; where none is up there is nothing to lose; the rule may know better."""
    load = workload(available=available)
    plenty = structs.replace(NOBODY, name="other", desired=1, healthy=9, allowed=8)
    seen = facts(load, budgets=(plenty, budget))

    def restart(**parameters: Any) -> Plan | CannotPlan:
        return draft(Rung(action="restart", parameters=parameters), load.target, seen, rule(), Policy())

    if refused:
        refusal = declined(restart())
        assert refusal.reason == "budget"
        assert "PodDisruptionBudget pdb needs 2 pods" in refusal.message
    else:
        assert isinstance(restart(), Plan)
    assert isinstance(restart(allow_disruption=True), Plan)


def test_a_single_pod_is_restarted_if_the_rule_says_so() -> None:
    """As the runbook does with its database; nothing else is waived by it."""
    assert isinstance(planned("restart", workload(replicas=1), allow_single=True), Plan)
    assert declined(planned("restart", workload(replicas=0), allow_single=True)).reason == "no_pods"
    assert declined(planned("restart", workload(replicas=1, paused=True), allow_single=True)).reason == "paused"


# --------------------------------------------------------------------------------------------------------------- scale


@pytest.mark.parametrize(
    ("replicas", "parameters", "most", "expected"),
    [
        (2, {"to": 3}, 20, 3),
        (3, {"to": 20}, 20, 7),
        (10, {"to": 20}, 20, 20),
        (3, {"to": 6}, 5, 5),
        (3, {"step": 1, "max": 10}, 20, 4),
        (9, {"step": 5, "max": 10}, 20, 10),
        (3, {"step": 9, "max": 100}, 20, 7),
        (19, {"step": 9, "max": 100}, 20, 20),
        (1, {"to": 2}, 20, 2),
    ],
)
def test_a_scale_up_is_absolute(replicas: int, parameters: dict[str, int], most: int, expected: int) -> None:
    """The number is settled now, under the caps of rule, policy and one step; the undo is the old number."""
    plan = capped("scale", workload(replicas=replicas), Policy(max_replicas=most), **parameters)
    assert isinstance(plan, Plan)
    assert plan.steps == (
        PatchObject(target=BACKSTAGE, patch={"spec": {"replicas": expected}}, expected={"spec.replicas": expected}),
    )
    assert plan.undo == (
        PatchObject(target=BACKSTAGE, patch={"spec": {"replicas": replicas}}, expected={"spec.replicas": replicas}),
    )
    assert (plan.changes, plan.disruptive) == (True, False)
    assert plan.summary.startswith(f"scale deployment/backstage in backstage from {replicas} to {expected} pods")
    asked = parameters.get("to", replicas + parameters.get("step", 0))
    assert (f"(asked for {asked}, cut" in plan.summary) == (expected < asked)


@pytest.mark.parametrize(
    ("replicas", "parameters", "reason"),
    [
        (3, {"to": 3}, "already"),
        (4, {"to": 3}, "already"),
        (10, {"step": 1, "max": 10}, "at_cap"),
        (12, {"step": 1, "max": 10}, "at_cap"),
        (20, {"to": 30}, "at_cap"),
        (25, {"to": 30}, "at_cap"),
        (0, {"to": 3}, "no_pods"),
    ],
)
def test_a_scale_up_that_adds_nothing_is_declined(replicas: int, parameters: dict[str, int], reason: str) -> None:
    """Never down, never above the cap, and what was switched off stays off."""
    refusal = declined(planned("scale", workload(replicas=replicas), **parameters))
    assert refusal.reason == reason
    assert refusal.numbers["replicas"] == replicas


def test_a_declined_scale_up_says_the_numbers() -> None:
    """So that the rule's author can see which one was in the way."""
    refusal = declined(planned("scale", workload(replicas=10), step=2, max=10))
    assert refusal.message == "deployment/backstage in backstage wants 10 pods and may have at most 10"
    assert refusal.numbers == {"replicas": 10, "wanted": 12, "cap": 10, "largest_step_to": 20}
    already = declined(planned("scale", workload(replicas=5), to=3))
    assert already.message == "deployment/backstage in backstage already wants 5 pods, the rule asks for 3"


def test_what_cannot_be_scaled_is_not() -> None:
    """A DaemonSet has a pod on each node, and what is ending needs no more pods."""
    assert declined(planned("scale", workload(DAEMONSET), to=5)).reason == "wrong_kind"
    assert declined(planned("scale", workload(deleting=True), to=5)).reason == "deleting"
    assert isinstance(planned("scale", workload(STATEFULSET), to=5), Plan)


# --------------------------------------------------------------------------------------------- investigate and notify


def test_looking_is_one_reading() -> None:
    """With as many lines of log as the rule asks for; it changes nothing."""
    plan = planned("investigate", workload(), log_lines=50)
    assert isinstance(plan, Plan)
    assert plan.steps == (CaptureEvidence(target=BACKSTAGE, log_lines=50),)
    assert (plan.changes, plan.disruptive, plan.undo) == (False, False, ())


def test_telling_says_rule_target_and_state() -> None:
    """And the rule author's own words, as they are."""
    plan = planned("notify", workload(ready=1))
    assert isinstance(plan, Plan)
    told = "P1 service-unavailable: deployment/backstage in backstage, 1 of 3 ready"
    assert plan.steps == (Notify(message=told, urgent=False),)
    more = planned("notify", workload(ready=1), message="See 100% of the runbook.", urgent=True)
    assert isinstance(more, Plan)
    assert more.steps == (Notify(message=f"{told}. See 100% of the runbook.", urgent=True),)
