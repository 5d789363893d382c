"""Each guard at its boundaries, with its numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.core.guardrails import (
    GUARDS,
    cluster_busy,
    cooldown,
    limit_cluster,
    limit_namespace,
    limit_rule,
    limit_target,
    min_healthy,
    namespace_busy,
    not_firing,
    opted_out,
    protected,
    refusals,
    rollout_in_progress,
    scopes,
    spacing,
    stale_facts,
    target_busy,
    target_unknown,
)
from remediator.model.action import ActionState
from remediator.model.case import Case, History, PlatformAlert, Window
from remediator.model.decision import HoldReason, Refusal
from remediator.model.errors import InvariantBroken
from remediator.model.policy import Policy
from remediator.model.rule import Limits, RateLimit
from remediator.model.target import Kind, Target
from tests.core.given import (
    BACKSTAGE,
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
    scale_plan,
    touching,
    window,
    workload,
)


def no(refusal: Refusal | None, reason: HoldReason) -> Refusal:
    """Return the refusal, which must be there and for that reason."""
    assert refusal is not None
    assert refusal.reason is reason
    return refusal


def test_nothing_stands_in_the_way_of_a_healthy_case() -> None:
    """The case that the other tests change is let through by every guard."""
    assert refusals(case()) == ()


# ------------------------------------------------------------------------------------------------ protected, opted out


@pytest.mark.parametrize(
    ("target", "policy", "entry"),
    [
        (Target(kind=Kind.DEPLOYMENT, namespace="kube-system", name="coredns", uid="u"), Policy(), "kube-system"),
        (BACKSTAGE, Policy(protected=("deployment/backstage/backstage",)), "deployment/backstage/backstage"),
        (BACKSTAGE, Policy(protected=("deployment/back*/*",)), "deployment/back*/*"),
        (BACKSTAGE, Policy(protected=("Deployment/backstage/*",)), "Deployment/backstage/*"),
        (BACKSTAGE, Policy(protected_namespaces=("back*",)), "back*"),
    ],
)
def test_protected_targets_are_refused(target: Target, policy: Policy, entry: str) -> None:
    """Names, patterns and namespaces protect; the entry that did it is named, and no time is given."""
    refusal = no(protected.check(case(plan=restart_plan(target), policy=policy)), HoldReason.PROTECTED)
    assert entry in refusal.message
    assert entry in refusal.numbers["entry"]
    assert refusal.retry_at is None


@pytest.mark.parametrize("pattern", ["deployment/monitoring/*", "statefulset/backstage/backstage", "backstage", ""])
def test_other_patterns_do_not_protect(pattern: str) -> None:
    """A pattern must cover the whole key."""
    assert protected.check(case(policy=Policy(protected=(pattern,), protected_namespaces=()))) is None


@pytest.mark.parametrize(
    ("value", "out"), [("true", True), ("True", True), ("yes", True), ("false", False), (" ", False)]
)
def test_owners_may_opt_out(value: str, *, out: bool) -> None:
    """Any value but false and nothing counts as a no."""
    refusal = opted_out.check(case(facts=facts(workload(annotations={"remediator.io/opt-out": value}))))
    assert (refusal is not None) == out
    if refusal is not None:
        assert refusal.reason is HoldReason.OPTED_OUT
        assert refusal.retry_at is None
        assert "deployment/backstage in backstage carries the annotation remediator.io/opt-out" in refusal.message


def test_a_long_opt_out_value_is_cut() -> None:
    """What somebody wrote into an annotation is data; the ledger keeps a bounded piece of it."""
    long = facts(workload(annotations={"remediator.io/opt-out": "x" * 1000}))
    assert no(opted_out.check(case(facts=long)), HoldReason.OPTED_OUT).numbers["value"] == "x" * 40


# -------------------------------------------------------------------------------------------------- firing and unknown


def test_an_alert_that_is_over_is_not_acted_on() -> None:
    """No alert, no action; time does not bring it back."""
    refusal = no(not_firing.check(history(case(), alert_firing=False)), HoldReason.NOT_FIRING)
    assert refusal.retry_at is None


@pytest.mark.parametrize(
    ("problem", "retryable", "reason", "wait_s"),
    [
        ("target_missing", False, HoldReason.TARGET_MISSING, None),
        ("target_ambiguous", False, HoldReason.TARGET_AMBIGUOUS, None),
        ("target_not_found", False, HoldReason.TARGET_NOT_FOUND, None),
        ("target_not_found", True, HoldReason.TARGET_NOT_FOUND, 15),
        ("target_not_allowed", False, HoldReason.TARGET_NOT_ALLOWED, None),
        ("cluster_unreachable", False, HoldReason.CLUSTER_UNREACHABLE, 15),
        ("", False, HoldReason.CLUSTER_UNREACHABLE, 15),
        ("a word from the future", False, HoldReason.CLUSTER_UNREACHABLE, 15),
    ],
)
def test_unknown_is_never_healthy(problem: str, *, retryable: bool, reason: HoldReason, wait_s: int | None) -> None:
    """Facts without a workload are refused with their reason; only what may pass is asked again."""
    unread = facts(workload=None, problem=problem, detail="said the server", retryable=retryable)
    refusal = no(target_unknown.check(case(facts=unread)), reason)
    assert refusal.message.endswith(": said the server")
    assert refusal.numbers == {"problem": problem or "nothing was read"}
    assert refusal.retry_at == (None if wait_s is None else after(wait_s))


def test_a_problem_outweighs_a_workload() -> None:
    """Facts that carry both a workload and a problem are not trusted."""
    no(target_unknown.check(case(facts=facts(problem="cluster_unreachable"))), HoldReason.CLUSTER_UNREACHABLE)


def test_guards_that_look_at_the_workload_leave_unknown_facts_to_the_one_for_them() -> None:
    """With nothing read there is one reason, and it is that nothing was read."""
    unread = case(facts=facts(workload=None, problem="cluster_unreachable"))
    assert [refusal.reason for refusal in refusals(unread)] == [HoldReason.CLUSTER_UNREACHABLE]


# ---------------------------------------------------------------------------------------------------------------- busy


@pytest.mark.parametrize(
    "state",
    [
        ActionState.ADMITTED,
        ActionState.CLAIMED,
        ActionState.DISPATCHED,
        ActionState.IN_DOUBT,
        ActionState.VERIFYING,
    ],
)
def test_one_open_action_a_target(state: ActionState) -> None:
    """An open action is named with its state and age."""
    refusal = no(target_busy.check(history(case(), target=(past(42, state, admitted_s=90),))), HoldReason.TARGET_BUSY)
    assert refusal.message == (
        f"action 42 (restart by rule service-unavailable, {state}) has worked on deployment/backstage in backstage for "
        "1 min 30 s"
    )
    assert refusal.numbers == {"action": 42, "rule": "service-unavailable", "state": state.value, "age_s": 90.0}
    assert refusal.retry_at == after(15)


@pytest.mark.parametrize("state", [state for state in ActionState if not state.open and state != "awaiting_approval"])
def test_ended_actions_do_not_hold_a_target(state: ActionState) -> None:
    """Only open ones do."""
    assert target_busy.check(history(case(), target=(past(42, state, admitted_s=90, ended_s=5),))) is None


def test_a_question_is_asked_once() -> None:
    """While a person is asked, the same target is not asked about again, except by the answer itself."""
    asked = history(case(), target=(past(9, ActionState.AWAITING_APPROVAL, admitted_s=600),))
    refusal = no(target_busy.check(asked), HoldReason.AWAITING_APPROVAL)
    assert refusal.numbers == {"action": 9, "rule": "service-unavailable", "age_s": 600.0}
    assert "has waited 10 min for a person's yes" in refusal.message
    assert refusal.retry_at is None
    answered = history(case(candidate=candidate(approved_by="ada")), target=asked.history.target)
    assert target_busy.check(answered) is None


@pytest.mark.parametrize(
    ("count", "limit", "refused"), [(0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (5, 2, True)]
)
def test_open_actions_in_a_namespace(count: int, limit: int, *, refused: bool) -> None:
    """As many as the policy says, and not one more."""
    refusal = namespace_busy.check(history(case(policy=Policy(open_per_namespace=limit)), open_in_namespace=count))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason is HoldReason.NAMESPACE_BUSY
        assert refusal.numbers == {"open": count, "limit": limit}
        assert refusal.message == f"{count} of at most {limit} actions are open in namespace backstage"
        assert refusal.retry_at == after(15)


@pytest.mark.parametrize(("count", "refused"), [(2, False), (3, True), (4, True)])
def test_open_actions_in_the_cluster(count: int, *, refused: bool) -> None:
    """Three by default."""
    refusal = cluster_busy.check(history(case(), open_in_cluster=count))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason is HoldReason.CLUSTER_BUSY
        assert refusal.numbers == {"open": count, "limit": 3}
        assert refusal.retry_at == after(15)


# ------------------------------------------------------------------------------------------------------------ cooldown


def cooled(*earlier: Any, **changes: Any) -> Refusal | None:
    """Ask the cooldown about a case with that history."""
    return cooldown.check(history(case(**changes), target=earlier))


def test_cooldown_at_its_last_second() -> None:
    """Ten minutes after the end of the last attempt, to the second."""
    refusal = no(cooled(past(42, ActionState.RECOVERED, admitted_s=400, ended_s=188)), HoldReason.COOLDOWN)
    assert refusal.numbers == {"left_s": 412.0, "cooldown_s": 600, "failed": 0, "action": 42}
    assert refusal.retry_at == after(412)
    assert refusal.message == (
        "cooldown of deployment/backstage in backstage: 6 min 52 s of 10 min left, "
        "started by action 42 (restart, recovered)"
    )
    assert no(cooled(past(1, ActionState.DONE, admitted_s=700, ended_s=599)), HoldReason.COOLDOWN).retry_at == after(1)
    assert cooled(past(1, ActionState.RECOVERED, admitted_s=700, ended_s=600)) is None


@pytest.mark.parametrize("state", [ActionState.UNCHANGED, ActionState.WORSE, ActionState.UNKNOWN])
def test_failures_double_the_cooldown(state: ActionState) -> None:
    """What did not help, or may not have, is tried again later: 20 min, 40 min, 80 min, then the cap."""
    refusal = no(cooled(past(3, state, admitted_s=1300, ended_s=1199)), HoldReason.COOLDOWN)
    assert (refusal.numbers["cooldown_s"], refusal.numbers["failed"]) == (1200, 1)
    assert "doubled by 1 failed before" in refusal.message
    assert cooled(past(3, state, admitted_s=1300, ended_s=1200)) is None
    two = (past(4, state, admitted_s=400, ended_s=100), past(3, state, admitted_s=3000, ended_s=2900))
    assert no(cooled(*two), HoldReason.COOLDOWN).numbers["cooldown_s"] == 2400


@pytest.mark.parametrize(
    ("base", "failures", "expected"),
    [
        (600, 0, 600),
        (600, 1, 1200),
        (600, 3, 4800),
        (600, 4, 7200),
        (600, 50, 7200),
        (1, 10**9, 7200),
        (9000, 0, 9000),
        (9000, 3, 9000),
        (0, 5, 0),
    ],
)
def test_cooldown_is_capped_but_never_below_the_rule(base: int, failures: int, expected: int) -> None:
    """Doubling stops at the policy's two hours; a rule that wants more than that keeps it."""
    assert cooldown.cooldown_s(base, failures, Policy()) == expected


def test_failures_are_forgotten_after_a_clean_time() -> None:
    """Three hours without a failure, and the next failure is the first again; a success between does not reset."""
    policy = Policy()
    old = past(1, ActionState.WORSE, admitted_s=10900, ended_s=10801)
    assert cooldown.failures_in_a_row((old,), NOW, policy) == 0
    just = past(1, ActionState.WORSE, admitted_s=10900, ended_s=10799)
    assert cooldown.failures_in_a_row((just,), NOW, policy) == 1
    assert cooldown.failures_in_a_row((past(1, ActionState.WORSE, admitted_s=10800, ended_s=10800),), NOW, policy) == 0
    between = past(2, ActionState.RECOVERED, admitted_s=5000, ended_s=4900)
    newer = past(3, ActionState.UNCHANGED, admitted_s=700, ended_s=650)
    assert cooldown.failures_in_a_row((newer, between, just), NOW, policy) == 2
    broken_chain = past(1, ActionState.WORSE, admitted_s=12000, ended_s=11600)
    assert cooldown.failures_in_a_row((newer, broken_chain), NOW, policy) == 1


@pytest.mark.parametrize(
    "state",
    [
        ActionState.REFUSED,
        ActionState.EXPIRED,
        ActionState.OBSERVED,
        ActionState.REJECTED,
        ActionState.AWAITING_APPROVAL,
    ],
)
def test_what_never_reached_the_target_starts_no_cooldown(state: ActionState) -> None:
    """A refused write did nothing to the workload."""
    assert cooled(past(1, state, admitted_s=10, ended_s=5)) is None


def test_a_ladder_climbs_through_its_own_cooldown() -> None:
    """The next rung of the same incident need not wait; another incident's, the first rung and other rules must."""
    lower = past(1, ActionState.UNCHANGED, admitted_s=700, ended_s=5, incident=7)
    assert cooled(lower, candidate=candidate(rung=2, incident=7)) is None
    no(cooled(lower, candidate=candidate(rung=2, incident=8)), HoldReason.COOLDOWN)
    no(cooled(lower, candidate=candidate(rung=0, incident=7)), HoldReason.COOLDOWN)
    no(cooled(lower, candidate=candidate(rung=2, incident=None)), HoldReason.COOLDOWN)
    stranger = past(2, ActionState.RECOVERED, admitted_s=300, ended_s=200, incident=6)
    assert (
        no(cooled(lower, stranger, candidate=candidate(rung=2, incident=7)), HoldReason.COOLDOWN).numbers["action"] == 2
    )


def test_the_rule_sets_its_cooldown() -> None:
    """A rule may be shorter; the end counts where it is known, the beginning otherwise."""
    quick = rule(limits=Limits(cooldown_s=60))
    assert no(cooled(past(1, ActionState.DONE, admitted_s=59), rule=quick), HoldReason.COOLDOWN).retry_at == after(1)
    assert cooled(past(1, ActionState.DONE, admitted_s=60), rule=quick) is None


# -------------------------------------------------------------------------------------------------------------- limits

LIMITS = [
    ("target", 0, limit_target.check, HoldReason.LIMIT_TARGET, (3, 3600), "deployment/backstage in backstage"),
    ("rule", 0, limit_rule.check, HoldReason.LIMIT_RULE, (20, 3600), "rule service-unavailable"),
    ("namespace", 0, limit_namespace.check, HoldReason.LIMIT_NAMESPACE, (10, 3600), "namespace backstage"),
    ("cluster", 0, limit_cluster.check, HoldReason.LIMIT_CLUSTER, (20, 3600), "the cluster"),
    ("cluster", 1, limit_cluster.check, HoldReason.LIMIT_CLUSTER, (6, 600), "the cluster"),
]


@pytest.mark.parametrize(("kind", "nth", "check", "reason", "most", "who"), LIMITS)
def test_limits_at_their_last_place(
    kind: str, nth: int, check: Any, reason: HoldReason, most: tuple[int, int], who: str
) -> None:
    """The last place is given away, the next is refused until the oldest leaves the window."""
    limit, window_s = most
    assert check(window(case(), kind, Window(count=limit - 1, oldest_at=ago(100)), nth)) is None
    refusal = no(check(window(case(), kind, Window(count=limit, oldest_at=ago(100)), nth)), reason)
    assert refusal.numbers["count"] == limit
    assert refusal.numbers["limit"] == limit
    assert refusal.numbers["window_s"] == window_s
    assert refusal.retry_at == after(window_s - 100)
    assert refusal.message.startswith(f"{who} had {limit} of at most {limit} actions in ")


def test_the_default_scopes() -> None:
    """Five windows are counted by default: the rule's and the policy's hourly limit of the cluster are one."""
    counted = [(scope.kind, scope.key, str(scope.limit)) for scope in scopes(rule(), BACKSTAGE, Policy())]
    assert counted == [
        ("target", "deployment/backstage/backstage", "3/3600s"),
        ("rule", "service-unavailable", "20/3600s"),
        ("namespace", "backstage", "10/3600s"),
        ("cluster", "", "20/3600s"),
        ("cluster", "", "6/600s"),
    ]
    own = rule(limits=Limits(per_cluster=RateLimit(count=2, window_s=60)))
    assert len(scopes(own, BACKSTAGE, Policy())) == 6


def test_of_several_full_windows_the_last_to_free_is_named() -> None:
    """Asking again before both have room would be in vain."""
    full = window(case(), "cluster", Window(count=20, oldest_at=ago(3000)), 0)
    full = window(full, "cluster", Window(count=6, oldest_at=ago(10)), 1)
    refusal = no(limit_cluster.check(full), HoldReason.LIMIT_CLUSTER)
    assert refusal.numbers["limit"] == 20
    assert refusal.retry_at == after(600)


@pytest.mark.parametrize(("oldest", "wait_s"), [(None, 3600), (ago(3600), 1), (ago(9999), 1)])
def test_a_full_window_always_says_when(oldest: Any, wait_s: int) -> None:
    """Also when its oldest action is not known, or should have left already; never in the past."""
    refusal = no(
        limit_target.check(window(case(), "target", Window(count=3, oldest_at=oldest))), HoldReason.LIMIT_TARGET
    )
    assert refusal.retry_at == after(wait_s)


@pytest.mark.parametrize("check", [limit_target.check, limit_rule.check, limit_namespace.check, limit_cluster.check])
def test_a_window_that_was_not_counted_is_a_bug(check: Any) -> None:
    """It is never read as zero."""
    with pytest.raises(InvariantBroken, match="was not counted"):
        check(history(case(), windows={}))


# ------------------------------------------------------------------------------------- spacing, health, rollout, age


def test_spacing_to_the_second() -> None:
    """Ten seconds between two beginnings, anywhere in the cluster."""
    assert spacing.check(case()) is None
    refusal = no(spacing.check(history(case(), last_in_cluster=ago(4))), HoldReason.SPACING)
    assert refusal.numbers == {"left_s": 6.0, "spacing_s": 10}
    assert refusal.retry_at == after(6)
    assert refusal.message == "an action was begun 4 s ago; changes keep 10 s apart, the next may start in 6 s"
    assert spacing.check(history(case(), last_in_cluster=ago(9.999))) is not None
    assert spacing.check(history(case(), last_in_cluster=ago(10))) is None


@pytest.mark.parametrize(
    ("ready", "replicas", "of_rule", "refused"),
    [
        (3, 3, None, False),
        (2, 3, None, False),
        (1, 3, None, True),
        (0, 3, None, True),
        (1, 2, None, True),
        (51, 100, None, False),
        (50, 100, None, True),
        (101, 200, None, True),
        (102, 200, None, False),
        (0, 3, 0, False),
        (1, 3, 33, False),
        (1, 3, 34, True),
        (2, 3, 100, True),
        (4, 3, 100, False),
        (0, 0, None, False),
    ],
)
def test_minimum_healthy(ready: int, replicas: int, of_rule: int | None, *, refused: bool) -> None:
    """At least 51 percent of the wanted pods, nobody rounds; a rule may ask for less or more, and for nothing."""
    load = workload(replicas=replicas, ready=ready)
    refusal = min_healthy.check(case(facts=facts(load), rule=rule(min_healthy_percent=of_rule)))
    assert (refusal is not None) == refused
    if refusal is not None:
        percent = 51 if of_rule is None else of_rule
        assert refusal.reason is HoldReason.MIN_HEALTHY
        assert refusal.numbers["ready"] == ready
        assert refusal.numbers["replicas"] == replicas
        assert refusal.numbers["min_percent"] == percent
        assert refusal.numbers["percent"] == int(ready / replicas * 100)
        assert f"{ready} of {replicas} pods" in refusal.message
        assert f"at least {percent} %" in refusal.message
        assert refusal.retry_at == after(60)


def test_adding_pods_needs_no_healthy_ones() -> None:
    """Scaling up ends no pod, so neither few healthy ones nor a rollout stand in its way."""
    sick = facts(workload(replicas=3, ready=0, updated=1))
    assert min_healthy.check(case(plan=scale_plan(), facts=sick)) is None
    assert rollout_in_progress.check(case(plan=scale_plan(), facts=sick)) is None
    assert refusals(case(plan=scale_plan(), facts=sick)) == ()


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),
        ({"updated": 2}, True),
        ({"current": 4}, True),
        ({"generation": 5}, True),
        ({"available": 0, "ready": 2}, False),
    ],
)
def test_no_restart_on_top_of_a_rollout(changes: dict[str, Any], *, refused: bool) -> None:
    """A rollout under way is waited for; unavailable pods alone are none."""
    refusal = rollout_in_progress.check(case(facts=facts(workload(**changes))))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason is HoldReason.ROLLOUT_IN_PROGRESS
        assert refusal.retry_at == after(30)
        assert refusal.numbers["updated"] == changes.get("updated", 3)


def test_a_stuck_rollout_is_a_persons() -> None:
    """The controller gave up: waiting does not help, and neither does another rollout."""
    stuck = facts(workload(updated=1, progress="ProgressDeadlineExceeded"))
    refusal = no(rollout_in_progress.check(case(facts=stuck)), HoldReason.ROLLOUT_IN_PROGRESS)
    assert refusal.retry_at is None
    assert "is stuck (1 of 3 pods updated, progress deadline exceeded)" in refusal.message
    complete = facts(workload(progress="ProgressDeadlineExceeded"))
    assert rollout_in_progress.check(case(facts=complete)) is None


@pytest.mark.parametrize(("age", "refused"), [(0, False), (120, False), (120.001, True), (-120, False), (-121, True)])
def test_facts_have_a_shelf_life(age: float, *, refused: bool) -> None:
    """120 seconds, into the past and, for clocks that are wrong, into the future."""
    refusal = stale_facts.check(case(facts=facts(read_at=ago(age))))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason is HoldReason.STALE_FACTS
        assert refusal.retry_at == NOW
        assert refusal.numbers == {"age_s": age, "shelf_life_s": 120}
        assert ("set the clocks right" in refusal.message) == (age < 0)


# ------------------------------------------------------------------------------------------------------- which, and all


def worst_case(**changes: Any) -> Case:
    """Return a case that every guard but the one about unknown targets refuses."""
    bad = case(
        policy=Policy(
            protected_namespaces=("backstage",),
            own=("deployment/*",),
            require_opt_in=True,
            quarantine=RateLimit(count=1, window_s=3600),
            masking=RateLimit(count=1, window_s=3600),
        ),
        rule=rule(target=structs.replace(rule().target, stateful=True)),
        facts=facts(
            workload(ready=0, updated=1, annotations={"remediator.io/opt-out": "true"}, rollout_started_at=ago(1000)),
            read_at=ago(500),
        ),
        freezes=(freeze(),),
        **changes,
    )
    return history(
        touching(bad, namespace=3, cluster=3),
        target=(
            past(3, ActionState.VERIFYING, admitted_s=5),
            past(2, ActionState.WORSE, admitted_s=300, ended_s=200),
            past(1, ActionState.RECOVERED, admitted_s=800, ended_s=700),
        ),
        onsets=tuple(ago(60) for _ in range(10)),
        platform=(PlatformAlert(alertname="KubeAPIDown"),),
        pauses=(pause(),),
        windows=dict.fromkeys(bad.history.windows, Window(count=99, oldest_at=ago(60))),
        open_in_namespace=1,
        open_in_cluster=3,
        last_in_cluster=ago(5),
        alert_firing=False,
    )


def test_every_reason_is_told_in_order() -> None:
    """All guards are asked; the order is that of the tuple."""
    assert [refusal.reason.value for refusal in refusals(worst_case())] == [
        guard.name for guard in GUARDS if guard.name not in {"target_unknown", "storm_evidence"}
    ]


def test_looking_and_telling_are_asked_two_questions_only() -> None:
    """A plan that changes nothing needs a firing alert and a known target, nothing else but room in a storm."""
    assert [refusal.reason for refusal in refusals(worst_case(plan=look_plan()))] == [
        HoldReason.STORM_EVIDENCE,
        HoldReason.NOT_FIRING,
    ]
    unread = case(plan=look_plan(), facts=facts(workload=None, problem="target_not_found"))
    assert [refusal.reason for refusal in refusals(unread)] == [HoldReason.TARGET_NOT_FOUND]
    assert refusals(case(plan=look_plan(), history=History())) == ()
