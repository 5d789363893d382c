"""From a candidate to a plan."""

from __future__ import annotations

from msgspec import structs

from remediator.actions.catalogue import draft
from remediator.core.planning import plan
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.plan import CaptureEvidence, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule, Rung, TargetSpec
from remediator.model.target import Kind
from tests.core.given import BACKSTAGE, NOW, after, candidate, facts, rule, workload


def made(of: Candidate | None = None, by: Rule | None = None, on: Facts | None = None) -> Plan | Refusal:
    """Plan with the real actions."""
    return plan(of or candidate(rung=1), by or rule(), on or facts(), Policy(), draft)


def refused(result: Plan | Refusal, reason: HoldReason) -> Refusal:
    """Return the refusal, which must be for that reason."""
    assert isinstance(result, Refusal)
    assert result.reason is reason
    return result


def test_evidence_comes_before_a_restart() -> None:
    """What is seen is kept before pods end."""
    result = made()
    assert isinstance(result, Plan)
    assert result.steps == (
        CaptureEvidence(target=BACKSTAGE),
        PatchObject(target=BACKSTAGE, patch={}, mark_template=True),
    )


def test_a_rule_may_do_without_evidence() -> None:
    """Then the restart stands alone."""
    result = made(by=rule(evidence=False))
    assert isinstance(result, Plan)
    assert len(result.steps) == 1


def test_what_ends_no_pods_needs_no_evidence() -> None:
    """Scaling up and looking are planned as they are."""
    scaled, looked = made(candidate(rung=2)), made(candidate(rung=0))
    assert isinstance(scaled, Plan)
    assert [type(step) for step in scaled.steps] == [PatchObject]
    assert isinstance(looked, Plan)
    assert [type(step) for step in looked.steps] == [CaptureEvidence]


def test_above_the_ladder_there_is_nothing_to_plan() -> None:
    """All that was tried is named."""
    for rung in (3, 99, -1):
        refusal = refused(made(candidate(rung=rung)), HoldReason.LADDER_SPENT)
        assert refusal.numbers == {"rung": rung, "rungs": 3}
        assert "(investigate, restart, scale)" in refusal.message
        assert refusal.retry_at is None


def test_unknown_facts_are_not_planned_on() -> None:
    """Nor are facts that carry a problem beside a workload."""
    refusal = refused(
        made(on=facts(workload=None, problem="cluster_unreachable", retryable=True)), HoldReason.CLUSTER_UNREACHABLE
    )
    assert refusal.retry_at == after(15)
    gone = facts(problem="target_not_found", detail="deployment/backstage")
    assert refused(made(on=gone), HoldReason.TARGET_NOT_FOUND).retry_at is None
    refused(made(on=Facts(read_at=NOW)), HoldReason.CLUSTER_UNREACHABLE)


def test_a_target_outside_the_rule_is_refused_again() -> None:
    """The reader has looked already; planning trusts nobody."""
    elsewhere = structs.replace(BACKSTAGE, namespace="kube-system")
    refusal = refused(made(on=facts(workload(elsewhere))), HoldReason.TARGET_NOT_ALLOWED)
    assert "namespace kube-system is not among backstage" in refusal.message
    only = rule(target=TargetSpec(namespaces=("backstage",), kinds=(Kind.STATEFULSET,)))
    assert "Deployment is not among StatefulSet" in refused(made(by=only), HoldReason.TARGET_NOT_ALLOWED).message
    named = rule(target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,), name="postgres"))
    assert "about postgres only" in refused(made(by=named), HoldReason.TARGET_NOT_ALLOWED).message
    right = rule(target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,), name="backstage"))
    assert isinstance(made(by=right), Plan)


def test_an_action_that_makes_no_sense_is_a_refusal_with_its_numbers() -> None:
    """CannotPlan becomes a reason for the ledger."""
    refusal = refused(made(on=facts(workload(replicas=1))), HoldReason.CANNOT_PLAN)
    assert refusal.numbers == {"replicas": 1, "cannot": "single", "action": "restart"}
    kind = structs.replace(BACKSTAGE, kind=Kind.DAEMONSET)
    scale = rule(ladder=(Rung(action="scale", parameters={"to": 5}),))
    wrong = refused(made(candidate(), scale, facts(workload(kind))), HoldReason.CANNOT_PLAN)
    assert wrong.numbers["cannot"] == "wrong_kind"
    assert (
        wrong.message == "scale works on Deployment, StatefulSet, and daemonset/backstage in backstage is a DaemonSet"
    )
