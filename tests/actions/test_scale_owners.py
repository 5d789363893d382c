"""A scale chooses what it writes to: the workload, its autoscaler, KEDA's ScaledObject; or says who is against it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec import structs

from remediator.actions.catalogue import draft, needs_surroundings, parse
from remediator.model.errors import ConfigError
from remediator.model.facts import PodFacts
from remediator.model.owners import Keeper, Lever, LeverKind, Room, Scaler, Surroundings
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rung
from tests.core.given import facts, rule, workload

ARGO = Keeper(tool="Argo CD application", name="portal")
HPA = Lever(kind=LeverKind.AUTOSCALER, namespace="backstage", name="web", uid="hpa")
KEDA = Lever(kind=LeverKind.SCALED_OBJECT, namespace="backstage", name="web", uid="so")


def planned(around: Surroundings | None, replicas: int = 3, most: int = 20, **parameters: Any) -> Plan | CannotPlan:
    """Plan a scale of a workload in its surroundings."""
    load = workload(replicas=replicas)
    seen = facts(load, around=around)
    rung = Rung(action="scale", parameters=parameters or {"step": 2, "max": 10})
    return draft(rung, load.target, seen, rule(), Policy(max_replicas=most))


def scaler(least: int | None, most: int, lever: Lever = HPA, **changes: Any) -> Surroundings:
    """Return surroundings with something that scales the workload."""
    return Surroundings(scaler=structs.replace(Scaler(lever=lever, minimum=least, maximum=most), **changes))


def written(plan: Plan | CannotPlan) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return what is written to, what is written, and what an undo would write."""
    assert isinstance(plan, Plan), plan
    (step,), (back,) = plan.steps, plan.undo
    assert isinstance(step, PatchObject)
    assert isinstance(back, PatchObject)
    assert (plan.lever, step.target, back.through) == (step.through, plan.target, step.through)
    assert step.expected == {f"spec.{field}": value for field, value in step.patch["spec"].items()}
    return str(step.through or step.target), step.patch["spec"], back.patch["spec"]


def declined(plan: Plan | CannotPlan) -> CannotPlan:
    """Return the refusal."""
    assert isinstance(plan, CannotPlan), plan
    return plan


@pytest.mark.parametrize(
    ("around", "replicas", "what", "value", "before"),
    [
        (Surroundings(), 3, "deployment/backstage in backstage", {"replicas": 5}, {"replicas": 3}),
        (scaler(2, 8), 3, "horizontalpodautoscaler/web", {"minReplicas": 5}, {"minReplicas": 2}),
        (scaler(2, 4), 3, "horizontalpodautoscaler/web", {"minReplicas": 4}, {"minReplicas": 2}),
        (scaler(2, 3), 3, "horizontalpodautoscaler/web", {"maxReplicas": 5}, {"maxReplicas": 3}),
        (scaler(3, 3), 3, "horizontalpodautoscaler/web", {"maxReplicas": 5}, {"maxReplicas": 3}),
        (scaler(2, 9), 9, "horizontalpodautoscaler/web", {"maxReplicas": 10}, {"maxReplicas": 9}),
        (scaler(1, 8, KEDA), 3, "scaledobject/web", {"minReplicaCount": 5}, {"minReplicaCount": 1}),
        (scaler(None, 8, KEDA), 3, "scaledobject/web", {"minReplicaCount": 5}, {"minReplicaCount": None}),
        (scaler(None, 3, KEDA), 3, "scaledobject/web", {"maxReplicaCount": 5}, {"maxReplicaCount": 3}),
    ],
)
def test_what_decides_is_told(
    around: Surroundings, replicas: int, what: str, value: dict[str, int], before: dict[str, int | None]
) -> None:
    """The fewest pods where there is room below the most; the most, up to the rule's, where it has come to its end."""
    assert written(planned(around, replicas)) == (what, value, before)


def test_what_is_written_to_is_said() -> None:
    """The ledger names the object and the field, and says when less is done than asked for."""
    plan = planned(scaler(2, 4))
    assert isinstance(plan, Plan)
    assert plan.summary == (
        "raise minReplicas of horizontalpodautoscaler/web from 2 to 4: it scales deployment/backstage in backstage, "
        "now 3 (asked for 5, cut to what one step or the cap allows)"
    )


@pytest.mark.parametrize(
    ("around", "parameters", "reason", "said"),
    [
        (None, {}, "owner_unknown", "nobody has looked who else scales"),
        (Surroundings(unknown=("allow x", "allow y")), {}, "owner_unknown", "decides about .*: allow x; allow y"),
        (scaler(6, 8), {}, "already", "asks for at least 6 pods"),
        (scaler(2, 8, paused=True), {}, "scaler_paused", "was told to leave .* alone: resume it"),
        (Surroundings(keeper=ARGO), {}, "kept_in_git", "Argo CD application portal keeps deployment/backstage"),
        (scaler(2, 8, keeper=ARGO), {}, "kept_in_git", "keeps horizontalpodautoscaler/web .* ignore /spec/minReplicas"),
        (scaler(2, 3, keeper=ARGO), {}, "kept_in_git", "ignore /spec/maxReplicas"),
        (scaler(1, 8, KEDA, keeper=ARGO), {}, "kept_in_git", "ignore /spec/minReplicaCount"),
        (Surroundings(rooms=(Room(quota="q", key="requests.cpu", pods=0),)), {}, "quota", "quota q leaves no requests"),
    ],
)
def test_who_is_against_it(around: Surroundings | None, parameters: dict[str, Any], reason: str, said: str) -> None:
    """Each refusal has a word of its own, and says what to do."""
    plan = planned(around, **parameters)
    refusal = declined(plan)
    assert refusal.reason == reason
    assert re.search(said, refusal.message), refusal.message


@pytest.mark.parametrize("ignores", ["/spec/replicas", "/spec"])
def test_what_git_does_not_compare_may_be_changed(ignores: str) -> None:
    """The field itself is ignored, or what it is in."""
    around = Surroundings(keeper=structs.replace(ARGO, ignores=(ignores,)))
    assert written(planned(around))[1] == {"replicas": 5}
    assert declined(planned(Surroundings(keeper=structs.replace(ARGO, ignores=("/spec/rep",))))).reason == "kept_in_git"


def test_the_rule_may_know_better_about_git() -> None:
    """allow_gitops: the number is not in Git, as whoever wrote the rule knows."""
    for around in (Surroundings(keeper=ARGO), scaler(2, 8, keeper=ARGO)):
        assert isinstance(planned(around, step=2, max=10, allow_gitops=True), Plan)


@pytest.mark.parametrize(
    ("around", "said", "seconds"),
    [
        (Surroundings(), None, None),
        (Surroundings(), "90s", 90),
        (Surroundings(), "30m", 1800),
        (Surroundings(), "2d", 172_800),
        (scaler(2, 8), None, 3600),
        (scaler(2, 3), None, 3600),
        (scaler(2, 8), "2h", 7200),
    ],
)
def test_what_is_lent_says_until_when(around: Surroundings, said: str | None, seconds: int | None) -> None:
    """Pods where the rule says so; the bounds of an autoscaler always."""
    parameters: dict[str, Any] = {"step": 2, "max": 10} | ({"return_after": said} if said else {})
    plan = planned(around, **parameters)
    assert isinstance(plan, Plan)
    assert plan.return_after_s == seconds


@pytest.mark.parametrize("span", ["", "0s", "1", "h", "1w", "-1h", "1.5h", "100000s", 60])
def test_a_length_of_time_is_written_so(span: object) -> None:
    """A number and its unit; anything else is a fault of the rule."""
    with pytest.raises(ConfigError, match="return_after"):
        parse("scale", {"to": 3, "return_after": span})


def test_a_quota_cuts_the_step() -> None:
    """As many as the tightest limit leaves."""
    around = Surroundings(
        rooms=(Room(quota="q", key="pods", pods=9), Room(quota="q", key="requests.cpu", pods=1)), scaler=None
    )
    plan = planned(around)
    assert written(plan)[1] == {"replicas": 4}
    assert "asked for 5, cut" in getattr(plan, "summary", "")


def test_pods_without_a_node_are_a_sign() -> None:
    """More of them would wait as well; one that starts is none."""
    waiting = PodFacts(name="web-1", phase="Pending", ready=False)
    starting = PodFacts(name="web-2", phase="Pending", ready=False, node="node-1")
    load = workload()
    rung = Rung(action="scale", parameters={"to": 5})
    seen = facts(load, pods=(starting, waiting))
    refusal = declined(draft(rung, load.target, seen, rule(), Policy()))
    assert (refusal.reason, refusal.numbers) == ("no_node", {"waiting": 1})
    assert isinstance(draft(rung, load.target, facts(load, pods=(starting,)), rule(), Policy()), Plan)


def test_only_a_scale_must_know() -> None:
    """The reads are made for the rungs that need them."""
    ladder = rule()
    assert [needs_surroundings(ladder, number) for number in range(-1, 4)] == [False, False, False, True, False]
