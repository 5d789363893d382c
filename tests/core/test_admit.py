"""Admission of a batch: each candidate sees those before it, and every limit holds inside the batch too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from remediator.actions.catalogue import draft
from remediator.core.admit import Law, admit, needed_scopes, outcome
from remediator.model.case import AdmissionBatch, Assessed, Ruling, Window
from remediator.model.decision import Act, Ask, Hold, HoldReason
from remediator.model.incident import Cause, Incident, IncidentState
from remediator.model.policy import Policy
from remediator.model.rule import Limits, Mode, RateLimit, Rule, Rung, Severity
from remediator.model.target import Target
from tests.core import given as g

WIDE = Policy(
    spacing_s=0,
    open_per_namespace=1000,
    open_per_cluster=1000,
    cluster_burst=RateLimit(count=1000, window_s=600),
    cluster_hourly=RateLimit(count=1000, window_s=3600),
    blast_namespace_percent=100,
    blast_cluster_percent=100,
    storm=RateLimit(count=1000, window_s=120),
    storm_percent=100,
)


def rule(**changes: Any) -> Rule:
    """Return an enforcing rule that restarts at once."""
    return g.rule(**{"ladder": (Rung(action="restart", parameters={}),), "evidence": False, **changes})


def item(number: int, name: str = "backstage", rule_name: str = "service-unavailable", **changes: Any) -> Assessed:
    """Return an assessed candidate for the Deployment of that name."""
    target = structs.replace(g.BACKSTAGE, name=name, uid=f"uid-{name}")
    candidate = g.candidate(id=number, rule=rule_name, fingerprint=f"{number:016x}", **changes)
    return Assessed(candidate=candidate, facts=g.facts(g.workload(target)))


def law(*rules: Rule, policy: Policy = WIDE) -> Law:
    """Return the law of these rules."""
    by_name = {one.name: one for one in rules}
    return Law(rules=by_name.get, draft=draft, policy=policy)


def batch(*items: Assessed, under: Law, **changes: Any) -> AdmissionBatch:
    """Return a batch in which all alerts fire and nothing was done before."""
    scopes = needed_scopes(items, under.rules, under.policy)
    base = AdmissionBatch(
        now=g.NOW,
        items=items,
        incidents={},
        past={},
        windows=dict.fromkeys(scopes, Window(count=0)),
        open_by_namespace={},
        open_in_cluster=0,
        last_in_cluster=None,
        firing={one.candidate.id: True for one in items},
    )
    return structs.replace(base, **changes)


def reasons(ruling: Ruling) -> set[HoldReason]:
    """Return why a ruling holds; nothing if it acts."""
    return {refusal.reason for refusal in ruling.decision.refusals} if isinstance(ruling.decision, Hold) else set()


def incident(rule_name: str = "service-unavailable", state: IncidentState = IncidentState.OPEN) -> Incident:
    """Return an open incident of backstage."""
    return Incident(
        id=7,
        target_key=g.BACKSTAGE.key,
        target=g.BACKSTAGE,
        severity=Severity.P1,
        state=state,
        rule=rule_name,
        title="BackstageDown",
        opened_at=g.ago(60),
    )


def test_a_candidate_that_nothing_stands_against_acts() -> None:
    """The plain case."""
    under = law(rule())
    (ruling,) = admit(batch(item(1), under=under), under)
    assert isinstance(ruling.decision, Act)
    assert outcome(ruling.decision) == "act"


def test_three_pods_of_one_workload_make_one_action() -> None:
    """Other alerts of the same rule and target join the incident that the first one opens."""
    under = law(rule())
    rulings = admit(batch(item(1), item(2), item(3), under=under), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["act", "hold", "hold"]
    assert reasons(rulings[1]) == {HoldReason.IN_PROGRESS}


def test_two_rules_for_one_target_make_one_action_and_the_higher_priority_wins() -> None:
    """The loser is told who won, by which action, and is asked again later."""
    under = law(rule(), rule(name="other", priority=5))
    rulings = admit(batch(item(1), item(2, rule_name="other"), under=under, last_action=41), under)
    assert [ruling.assessed.candidate.id for ruling in rulings] == [2, 1]
    assert [outcome(ruling.decision) for ruling in rulings] == ["act", "hold"]
    lost = rulings[1].decision
    assert isinstance(lost, Hold)
    assert lost.refusals[0].message == (
        "rule other comes before rule service-unavailable for deployment/backstage in backstage: it will restart it "
        "(action 42), and one thing is done at a time"
    )
    assert lost.refusals[0].numbers == {"action": 42, "rule": "other", "state": "admitted", "age_s": 0.0}
    assert lost.retry_at == g.after(15)


SCALES = (Rung(action="scale", parameters={"to": 6}),)
LOOKS = (Rung(action="investigate", parameters={}),)


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        ({}, {"ladder": SCALES}, "other"),
        ({}, {"ladder": LOOKS}, "other"),
        ({"ladder": SCALES}, {"ladder": LOOKS}, "other"),
        ({"priority": 1}, {"ladder": SCALES}, "service-unavailable"),
        ({"severity": Severity.P1}, {"ladder": SCALES, "severity": Severity.P2}, "service-unavailable"),
        ({"severity": Severity.P2, "priority": 9}, {"severity": Severity.P1}, "other"),
        ({}, {}, "service-unavailable"),
    ],
)
def test_who_comes_first(one: dict[str, Any], other: dict[str, Any], first: str) -> None:
    """The more severe, then by priority, then what disrupts less, then the older."""
    under = law(rule(**one), rule(**{"name": "other", **other}))
    rulings = admit(batch(item(1), item(2, rule_name="other"), under=under), under)
    assert rulings[0].assessed.candidate.rule == first
    assert outcome(rulings[0].decision) == "act"


def test_a_winner_that_asks_is_named_too() -> None:
    """The other rule does not act on what a person is asked about."""
    under = law(rule(), rule(name="other", mode=Mode.ASK, priority=5))
    rulings = admit(batch(item(1), item(2, rule_name="other"), under=under, last_action=6), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["ask", "hold"]
    assert isinstance(rulings[1].decision, Hold)
    assert "rule other comes before" in rulings[1].decision.refusals[0].message
    assert "asks people to restart it (action 7)" in rulings[1].decision.refusals[0].message


def test_actions_of_a_batch_are_numbered_as_they_will_be_stored() -> None:
    """What is observed or only looks draws a number too; what is held does not."""
    under = law(
        rule(name="looks", ladder=LOOKS, severity=Severity.P1),
        rule(name="observes", mode=Mode.OBSERVE, severity=Severity.P2),
        rule(name="acts", severity=Severity.P3),
        rule(name="waits", severity=Severity.P4),
    )
    items = [item(n, rule_name=name) for n, name in enumerate(("waits", "acts", "observes", "looks"), 1)]
    rulings = admit(batch(*items, under=under, last_action=10), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["act", "observe", "act", "hold"]
    assert isinstance(rulings[3].decision, Hold)
    assert rulings[3].decision.refusals[0].numbers["action"] == 13


@given(st.integers(0, 12), st.integers(1, 30))
def test_a_storm_leaves_room_for_a_few_looks(known: int, targets: int) -> None:
    """Those of the window and those of the batch together; the rest is held with the numbers, and comes back."""
    stormy = structs.replace(
        WIDE, storm=RateLimit(count=1, window_s=120), storm_evidence=RateLimit(count=10, window_s=120)
    )
    under = law(rule(ladder=LOOKS), policy=stormy)
    items = [item(n, f"app-{n}") for n in range(1, targets + 1)]
    base = batch(*items, under=under)
    seen = {scope: Window(count=known if scope.kind == "look" else 0) for scope in base.windows}
    rulings = admit(structs.replace(base, windows=seen), under)
    looked = [ruling for ruling in rulings if isinstance(ruling.decision, Act)]
    assert len(looked) == min(targets, max(0, 10 - known))
    held = [ruling for ruling in rulings if ruling not in looked]
    assert all(reasons(ruling) == {HoldReason.STORM_EVIDENCE} for ruling in held)
    assert all(isinstance(one.decision, Hold) and one.decision.retry_at is not None for one in held)


def test_without_a_storm_everything_is_looked_at() -> None:
    """The bound is the storm's."""
    under = law(rule(ladder=LOOKS), policy=structs.replace(WIDE, storm_evidence=RateLimit(count=1, window_s=120)))
    rulings = admit(batch(*(item(n, f"app-{n}") for n in range(1, 30)), under=under), under)
    assert {outcome(ruling.decision) for ruling in rulings} == {"act"}


def test_the_more_severe_goes_first() -> None:
    """A P1 that came later is decided before a P3."""
    under = law(rule(severity=Severity.P3), rule(name="urgent", severity=Severity.P1))
    rulings = admit(batch(item(1), item(2, "other", rule_name="urgent"), under=under), under)
    assert [ruling.assessed.candidate.id for ruling in rulings] == [2, 1]


def test_a_candidate_without_its_rule_is_held() -> None:
    """The rule was taken away between match and admit."""
    under = law()
    (ruling,) = admit(batch(item(1), under=under), under)
    assert reasons(ruling) == {HoldReason.RULE_GONE}
    assert ruling.rule is None


def test_a_rule_that_another_replica_knows_is_waited_for_once() -> None:
    """While rules are rolled out this replica may not have it yet; after that it is gone."""
    under = law()
    first = batch(item(1), under=under)
    (ruling,) = admit(first, under)
    assert isinstance(ruling.decision, Hold)
    assert ruling.decision.retry_at == first.now + timedelta(minutes=5)
    (ruling,) = admit(structs.replace(first, waited={1: ("cooldown",)}), under)
    assert isinstance(ruling.decision, Hold)
    assert ruling.decision.retry_at is not None
    (ruling,) = admit(structs.replace(first, waited={1: (HoldReason.RULE_GONE.value,)}), under)
    assert isinstance(ruling.decision, Hold)
    assert ruling.decision.retry_at is None


def test_an_alert_that_is_over_is_held() -> None:
    """And so is one of which nothing is known."""
    under = law(rule())
    for firing in ({1: False}, {}):
        (ruling,) = admit(batch(item(1), under=under, firing=firing), under)
        assert reasons(ruling) == {HoldReason.NOT_FIRING}


@pytest.mark.parametrize(
    ("state", "reason"),
    [(IncidentState.OPEN, HoldReason.IN_PROGRESS), (IncidentState.ESCALATED, HoldReason.LADDER_SPENT)],
)
def test_an_alert_joins_the_open_incident_of_its_rule(state: IncidentState, reason: HoldReason) -> None:
    """A second ladder is not begun beside the first, nor after people were called."""
    under = law(rule())
    working = {7: frozenset({"service-unavailable"})} if state is IncidentState.OPEN else {}
    given_now = batch(item(1), under=under, incidents={g.BACKSTAGE.key: incident(state=state)}, working=working)
    (ruling,) = admit(given_now, under)
    assert reasons(ruling) == {reason}


def test_an_open_incident_that_nobody_works_on_is_driven_on() -> None:
    """Its alert fell silent before anything was done, and fires again: somebody must act on it."""
    under = law(rule())
    (ruling,) = admit(batch(item(1), under=under, incidents={g.BACKSTAGE.key: incident()}), under)
    assert isinstance(ruling.decision, Act)
    assert ruling.assessed.incident == incident()


def test_a_no_holds_for_the_whole_incident() -> None:
    """A person is not asked again whenever the alert flaps; another rule may still ask."""
    under = law(rule(), rule(name="other"))
    open_one = {g.BACKSTAGE.key: incident()}
    rejected = {7: frozenset({"service-unavailable"})}
    rulings = admit(
        batch(item(1), item(2, rule_name="other"), under=under, incidents=open_one, rejected=rejected), under
    )
    assert reasons(rulings[0]) == {HoldReason.REJECTED}
    assert isinstance(rulings[1].decision, Act)


def test_a_question_holds_the_target_for_those_that_come_after() -> None:
    """In one batch too, a person is asked one thing about one target."""
    under = law(rule(mode=Mode.ASK), rule(name="other"))
    rulings = admit(batch(item(1), item(2, rule_name="other"), under=under), under)
    assert outcome(rulings[0].decision) == "ask"
    assert HoldReason.AWAITING_APPROVAL in reasons(rulings[1])


def test_another_rule_may_act_in_an_open_incident() -> None:
    """The incident is the target's; the first rule may only be observing."""
    under = law(rule())
    open_one = incident(rule_name="watching")
    (ruling,) = admit(batch(item(1), under=under, incidents={g.BACKSTAGE.key: open_one}), under)
    assert isinstance(ruling.decision, Act)
    assert ruling.assessed.incident == open_one


def test_the_candidate_that_drives_an_incident_goes_on() -> None:
    """A held candidate that opened the incident, and the next rung, are not stopped by their own incident."""
    under = law(rule())
    driving = structs.replace(item(1, incident=7, tries=1), incident=incident())
    next_rung = structs.replace(item(2, cause=Cause.NEXT_RUNG, incident=7), incident=incident())
    for one in (driving, next_rung):
        (ruling,) = admit(batch(one, under=under), under)
        assert isinstance(ruling.decision, Act)


def test_a_rung_above_the_ladder_is_held() -> None:
    """The ladder may have been shortened meanwhile."""
    under = law(rule())
    (ruling,) = admit(batch(item(1, rung=3, cause=Cause.NEXT_RUNG), under=under), under)
    assert reasons(ruling) == {HoldReason.LADDER_SPENT}


def test_an_observed_decision_is_not_counted() -> None:
    """A rule that only observes takes nothing from the limits of those that act."""
    watching = rule(mode=Mode.OBSERVE, severity=Severity.P1)
    acting = rule(name="acting", severity=Severity.P2)
    under = law(watching, acting)
    rulings = admit(batch(item(1), item(2, rule_name="acting"), under=under), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["observe", "act"]


def test_what_asks_and_what_is_approved() -> None:
    """Mode ask waits for a person; with the approval it acts."""
    under = law(rule(mode=Mode.ASK))
    (asked,) = admit(batch(item(1), under=under), under)
    plan = asked.decision.plan.summary if isinstance(asked.decision, Ask) else ""
    yes = item(1, cause=Cause.APPROVED, approved_by="ada", approved_plan=plan)
    (approved,) = admit(batch(yes, under=under), under)
    assert outcome(asked.decision) == "ask"
    assert isinstance(approved.decision, Act)


def test_a_looser_rule_does_not_empty_a_tighter_ones_window() -> None:
    """Two rules count one target under different limits: an admission is one more in both windows."""
    loose = rule(name="loose", severity=Severity.P1, limits=Limits(per_namespace=RateLimit(count=9, window_s=3600)))
    tight = rule(name="tight", severity=Severity.P2, limits=Limits(per_namespace=RateLimit(count=1, window_s=3600)))
    under = law(loose, tight)
    rulings = admit(batch(item(1, "one", "loose"), item(2, "two", "tight"), under=under), under)
    assert HoldReason.LIMIT_NAMESPACE in reasons(rulings[1])


@given(
    names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20),
    limit=st.integers(1, 5),
    busy=st.integers(1, 5),
)
def test_no_limit_is_exceeded_inside_a_batch(names: list[str], limit: int, busy: int) -> None:
    """However many candidates come at once: limits, concurrency and one action a target hold."""
    policy = structs.replace(WIDE, cluster_burst=RateLimit(count=limit, window_s=600), open_per_cluster=busy)
    under = law(rule(), policy=policy)
    items = tuple(item(number, name) for number, name in enumerate(names, 1))
    acts = [ruling for ruling in admit(batch(*items, under=under), under) if isinstance(ruling.decision, Act)]
    targets = [target_of(ruling) for ruling in acts]
    assert len(acts) == min(limit, busy, len(set(names)))
    assert len(targets) == len(set(targets))


def test_spacing_holds_inside_a_batch() -> None:
    """Two actions of one batch would come at once; the second waits."""
    under = law(rule(), policy=structs.replace(WIDE, spacing_s=10))
    rulings = admit(batch(item(1, "one"), item(2, "two"), under=under), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["act", "hold"]
    assert reasons(rulings[1]) == {HoldReason.SPACING}


def test_a_share_holds_inside_a_batch() -> None:
    """What the batch has admitted was touched, too."""
    under = law(rule(), policy=structs.replace(WIDE, blast_namespace_percent=34))
    rulings = admit(batch(*(item(n, f"app-{n}") for n in range(1, 5)), under=under), under)
    assert [outcome(ruling.decision) for ruling in rulings] == ["act", "act", "hold", "hold"]
    assert reasons(rulings[2]) == {HoldReason.BLAST_NAMESPACE}


@pytest.mark.parametrize(
    ("before", "alerts", "targets", "storms"), [(0, 10, 10, True), (0, 12, 9, False), (8, 4, 2, True)]
)
def test_a_storm_shows_in_its_first_batch(before: int, alerts: int, targets: int, *, storms: bool) -> None:
    """Distinct targets that have no incident yet count with those that began before; nothing is done to any of them."""
    under = law(rule(), policy=structs.replace(WIDE, storm=RateLimit(count=10, window_s=120)))
    items = tuple(item(n, f"app-{n % targets}") for n in range(1, alerts + 1))
    given_batch = structs.replace(batch(*items, under=under), onsets=tuple(g.ago(60) for _ in range(before)))
    rulings = admit(given_batch, under)
    assert any(HoldReason.STORM in reasons(one) for one in rulings if isinstance(one.decision, Hold)) == storms
    assert any(isinstance(one.decision, Act) for one in rulings) != storms


def test_alerts_of_known_incidents_are_no_new_storm() -> None:
    """A next rung, and an alert that joins an incident, begin nothing."""
    under = law(rule(), policy=structs.replace(WIDE, storm=RateLimit(count=2, window_s=120)))
    known = structs.replace(incident("other"), target_key="deployment/backstage/app", opened_at=g.ago(4000))
    one = structs.replace(batch(item(1, "app"), item(2, "new"), under=under), incidents={known.target_key: known})
    assert all(isinstance(ruling.decision, Act) for ruling in admit(one, under))


def target_of(ruling: Ruling) -> Target:
    """Return the target of a ruling that acts."""
    assert isinstance(ruling.decision, Act)
    return ruling.decision.plan.target


@pytest.mark.parametrize("problem", ["cluster_unreachable", "target_missing"])
def test_a_candidate_without_a_target_is_held_and_stands_in_nobodys_way(problem: str) -> None:
    """It says why the target cannot be found, and is asked again where that may change; its neighbour acts."""
    under = law(rule())
    passing = problem == "cluster_unreachable"
    nowhere = g.facts(workload=None, problem=problem, detail="no answer", retryable=passing)
    one = structs.replace(item(1), facts=nowhere)
    held, acts = admit(batch(one, item(2), under=under), under)
    assert isinstance(held.decision, Hold)
    assert reasons(held) == {HoldReason(problem)}
    assert (held.decision.retry_at is not None) is passing
    assert held.assessed.incident is None
    assert isinstance(acts.decision, Act)
