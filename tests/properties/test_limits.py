"""Limits under virtual time: whatever comes, and whenever, no window is ever above its limit.

A stream of cases goes through the decision; what is admitted becomes history, which is counted by the slowest and
plainest means there are. The record is then checked from the outside, without the guards' help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.decide import decide
from remediator.core.guardrails import scopes
from remediator.core.guardrails.cooldown import FAILED
from remediator.model.action import ActionState, PastAction
from remediator.model.case import Case, History, Scope, Window
from remediator.model.decision import Act, Hold, HoldReason
from remediator.model.policy import Policy
from remediator.model.rule import Limits, RateLimit, Rule
from remediator.model.target import Kind, Target
from tests.core.given import BACKSTAGE, NOW, case, facts, restart_plan, rule, workload

TARGETS = [
    Target(kind=Kind.DEPLOYMENT, namespace=namespace, name=name, uid=f"{namespace}-{name}")
    for namespace, name in (("a", "web"), ("a", "api"), ("b", "web"), ("b", "db"), ("c", "queue"))
]
POLICY = Policy(
    open_per_namespace=1,
    open_per_cluster=2,
    cluster_burst=RateLimit(count=3, window_s=300),
    cluster_hourly=RateLimit(count=9, window_s=3600),
    cooldown_cap_s=400,
    cooldown_reset_s=1000,
)
RULES = [
    rule(
        name=name,
        limits=Limits(
            cooldown_s=cooldown,
            per_target=RateLimit(count=2, window_s=900),
            per_rule=RateLimit(count=6, window_s=3600),
            per_namespace=RateLimit(count=4, window_s=1800),
            per_cluster=RateLimit(count=8, window_s=2400),
        ),
    )
    for name, cooldown in (("first", 60), ("second", 90))
]
TIMED = {
    HoldReason.COOLDOWN,
    HoldReason.SPACING,
    HoldReason.LIMIT_TARGET,
    HoldReason.LIMIT_RULE,
    HoldReason.LIMIT_NAMESPACE,
    HoldReason.LIMIT_CLUSTER,
}
ENDS = [ActionState.RECOVERED, *sorted(FAILED), ActionState.REFUSED]


@dataclass
class World:
    """All that was ever admitted, with the state it will end in."""

    done: list[PastAction] = field(default_factory=list)
    policy: Policy = POLICY

    def at(self, now: datetime) -> list[PastAction]:
        """Return the record as it looks at a moment: what has not ended is still being verified."""
        return [
            one
            if one.ended_at is not None and one.ended_at <= now
            else structs.replace(one, state=ActionState.VERIFYING, ended_at=None)
            for one in self.done
        ]

    def count(self, scope: Scope, now: datetime) -> Window:
        """Count a window by looking at everything."""
        since = now - timedelta(seconds=scope.limit.window_s)
        inside = [one.admitted_at for one in self.done if since < one.admitted_at <= now and covers(scope, one)]
        return Window(count=len(inside), oldest_at=min(inside, default=None))

    def case(self, now: datetime, target: Target, by: Rule) -> Case:
        """Return the case of one rule that wants to restart one target."""
        record = self.at(now)
        still_open = [one for one in record if one.state.open]
        return case(
            now=now,
            rule=by,
            policy=self.policy,
            plan=restart_plan(target),
            facts=facts(workload(target), read_at=now),
            history=History(
                target=tuple(one for one in reversed(record) if one.target_key == target.key),
                windows={scope: self.count(scope, now) for scope in scopes(by, target, self.policy)},
                open_in_namespace=sum(one.namespace == target.namespace for one in still_open),
                open_in_cluster=len(still_open),
                last_in_cluster=max((one.admitted_at for one in self.done), default=None),
            ),
        )

    def admit(self, now: datetime, target: Target, by: Rule, end: ActionState, takes_s: int) -> None:
        """Write down an admitted action and its future."""
        self.done.append(
            PastAction(
                number=len(self.done) + 1,
                action="restart",
                rule=by.name,
                target_key=target.key,
                namespace=target.namespace,
                state=end,
                admitted_at=now,
                ended_at=now + timedelta(seconds=takes_s),
            )
        )


def covers(scope: Scope, one: PastAction) -> bool:
    """Tell whether an action counts in a scope."""
    return (
        scope.key == {"target": one.target_key, "rule": one.rule, "namespace": one.namespace, "cluster": ""}[scope.kind]
    )


EVENT = st.tuples(
    st.integers(0, 400),
    st.integers(0, len(TARGETS) - 1),
    st.integers(0, len(RULES) - 1),
    st.sampled_from(ENDS),
    st.integers(1, 200),
)
STREAM = st.lists(EVENT, min_size=1, max_size=60)
Stream = list[tuple[int, int, int, ActionState, int]]


def play(stream: Stream) -> World:
    """Send a stream through the decision; check each hold's time on the way."""
    world, now = World(), NOW
    for wait_s, target_number, rule_number, end, takes_s in stream:
        target, by = TARGETS[target_number], RULES[rule_number]
        now += timedelta(seconds=wait_s)
        decision = decide(world.case(now, target, by))
        if isinstance(decision, Act):
            world.admit(now, target, by, end, takes_s)
        else:
            assert isinstance(decision, Hold)
            assert decision.refusals
            check_times(world, decision, target, by)
    return world


def check_times(world: World, held: Hold, target: Target, by: Rule) -> None:
    """Check that a reason with a time is gone at that time, if nothing else happens, and not a moment before.

    Only a cooldown may be over earlier than it said: when failures are forgotten while it is waited for.
    """
    for refusal in held.refusals:
        if refusal.reason not in TIMED:
            continue
        assert refusal.retry_at is not None
        assert refusal.reason not in reasons(world, refusal.retry_at, target, by)
        if refusal.reason is not HoldReason.COOLDOWN:
            assert refusal.reason in reasons(world, refusal.retry_at - timedelta(milliseconds=1), target, by)


def reasons(world: World, now: datetime, target: Target, by: Rule) -> set[HoldReason]:
    """Return the reasons against acting at a moment, all that was begun being over by then as planned."""
    decision = decide(world.case(now, target, by))
    return {refusal.reason for refusal in decision.refusals} if isinstance(decision, Hold) else set()


@settings(max_examples=60)
@given(STREAM)
def test_no_window_is_ever_above_its_limit(stream: Stream) -> None:
    """Counted at every admission, for every limit there is."""
    world = play(stream)
    by_name = {one.name: one for one in RULES}
    by_key = {one.key: one for one in TARGETS}
    for one in world.done:
        for scope in scopes(by_name[one.rule], by_key[one.target_key], POLICY):
            assert world.count(scope, one.admitted_at).count <= scope.limit.count


@settings(max_examples=60)
@given(STREAM)
def test_actions_keep_their_distance(stream: Stream) -> None:
    """Spacing over the cluster, cooldown on a target (doubled after a failure), and few open ones at a time."""
    world = play(stream)
    for earlier, later in zip(world.done, world.done[1:], strict=False):
        assert (later.admitted_at - earlier.admitted_at).total_seconds() >= POLICY.spacing_s
    for number, one in enumerate(world.done):
        still_open = [other for other in world.done[:number] if ends(other) > one.admitted_at]
        assert len(still_open) < POLICY.open_per_cluster
        assert one.namespace not in {other.namespace for other in still_open}
        before = [other for other in world.done[:number] if other.target_key == one.target_key]
        reached = [other for other in before if other.state is not ActionState.REFUSED]
        if reached:
            rested = (one.admitted_at - ends(reached[-1])).total_seconds()
            cooldown = next(each.limits.cooldown_s for each in RULES if each.name == one.rule)
            assert rested >= (2 * cooldown if reached[-1].state in FAILED else cooldown)


def ends(one: PastAction) -> datetime:
    """Return when an action of the record ends."""
    assert one.ended_at is not None
    return one.ended_at


@settings(max_examples=30)
@given(st.sampled_from(TARGETS), st.sampled_from(RULES))
def test_the_first_of_all_is_never_held(target: Target, by: Rule) -> None:
    """The other properties do not hold because nothing is ever admitted."""
    assert isinstance(decide(World().case(NOW, target, by)), Act)


def test_an_alert_that_never_clears_is_acted_on_more_and_more_rarely() -> None:
    """One target asked about every minute for half a day, and nothing helps: 20 min, 40, 80, then every two hours."""
    patient = Policy(quarantine=RateLimit(count=1000, window_s=86400))
    world, target, by = World(policy=patient), BACKSTAGE, rule()
    for minute in range(12 * 60):
        now = NOW + timedelta(minutes=minute)
        if isinstance(decide(world.case(now, target, by)), Act):
            world.admit(now, target, by, ActionState.UNCHANGED, 300)
    pairs = zip(world.done, world.done[1:], strict=False)
    rests = [(later.admitted_at - ends(earlier)).total_seconds() / 60 for earlier, later in pairs]
    assert rests == [20, 40, 80, 120, 120, 120, 120]
