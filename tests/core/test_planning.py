"""From a candidate to a plan."""

from __future__ import annotations

from msgspec import structs

from remediator.actions.catalogue import draft
from remediator.core.decide import decide
from remediator.core.planning import climbed, plan
from remediator.model.database import DatabaseView
from remediator.model.decision import Ask, HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.plan import CaptureEvidence, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule, Rung, TargetSpec
from remediator.model.target import Kind
from tests.actions.databases import about, database
from tests.core.given import BACKSTAGE, NOW, after, candidate, case, facts, rule, workload


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


LIMITS = Rung(action="raise_connections", parameters={"to": 80})
MAXIMUM = Rung(action="raise_max_connections", parameters={"to": 150, "without_asking": True})
RESTART = Rung(action="restart", parameters={"allow_single": True})
NOTIFY = Rung(action="notify", parameters={})
FULL = about(database(used=190))


def climbing(world: Facts, *rungs: Rung) -> Plan | Refusal:
    """Plan the first of these rungs, or what comes after it."""
    return made(candidate(rung=0), rule(ladder=rungs), world)


def test_a_rung_with_nothing_to_do_leaves_it_to_the_next() -> None:
    """Limits help no server that is full: its maximum is planned at once, and it is said what was passed."""
    result = climbing(FULL, LIMITS, MAXIMUM, NOTIFY)
    assert isinstance(result, Plan)
    assert result.action == "raise_max_connections"
    assert [(one.action, one.reason, one.unknown) for one in result.passed] == [
        ("raise_connections", "server_full", False)
    ]
    assert not result.asks
    assert climbed(candidate(rung=0), result).rung == 1
    two = climbing(facts(), LIMITS, MAXIMUM, RESTART)
    assert isinstance(two, Plan)
    assert (two.action, [one.reason for one in two.passed]) == ("restart", ["no_database", "no_database"])
    assert climbed(candidate(rung=0), two).rung == 2


def test_what_follows_something_unknown_asks_first() -> None:
    """Nobody can know whether limits would have done: the restart is for a person to say."""
    result = climbing(about(database=DatabaseView(problem="it does not answer")), LIMITS, RESTART)
    assert isinstance(result, Plan)
    assert (result.action, result.asks, result.passed[0].unknown) == ("restart", True, True)
    decision = decide(case(plan=result))
    assert isinstance(decision, Ask)
    assert decision.because == "nobody can know whether raise_connections would have done"


def test_where_no_rung_can_change_anything_people_hear_all_of_it() -> None:
    """Telling people is no way to pass on to: they are told why nothing can be done."""
    unknown = about(database(used=190, memory=None), load={"containers": ()})
    refusal = refused(climbing(unknown, LIMITS, MAXIMUM, NOTIFY), HoldReason.CANNOT_PLAN)
    assert "max_connections itself is what is used up" in refusal.message
    assert "has no container postgres" in refusal.message
    assert (refusal.numbers["cannot"], refusal.numbers["action"]) == ("server_full", "raise_connections")
    assert climbed(candidate(rung=0), refusal).rung == 0


def test_other_rungs_end_where_they_cannot() -> None:
    """A scale at its cap is for people to look at, not for the next rung."""
    capped = Rung(action="scale", parameters={"to": 1})
    assert isinstance(climbing(facts(), capped, RESTART), Refusal)


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
