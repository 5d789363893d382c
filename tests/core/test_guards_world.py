"""The guards that look beyond one target: pauses, freezes, the platform, storms, shares, and what attempts taught."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.freezes import ends_at
from remediator.core.guardrails import (
    blast_cluster,
    blast_namespace,
    brake,
    frozen,
    masking,
    not_opted_in,
    paused,
    quarantine,
    recently_deployed,
    self_protection,
    stateful_stop,
    storm,
)
from remediator.model.action import ActionState, PastAction
from remediator.model.case import Case, PlatformAlert
from remediator.model.decision import HoldReason, Refusal
from remediator.model.freeze import Freeze
from remediator.model.pause import PauseScope
from remediator.model.policy import Policy
from remediator.model.target import Kind, Target
from tests.core.given import (
    BACKSTAGE,
    NOW,
    after,
    ago,
    case,
    facts,
    freeze,
    history,
    past,
    pause,
    restart_plan,
    rule,
    scale_plan,
    touching,
    workload,
)


def no(refusal: Refusal | None, reason: HoldReason) -> Refusal:
    """Return the refusal, which must be there and for that reason."""
    assert refusal is not None
    assert refusal.reason is reason
    return refusal


# ----------------------------------------------------------------------------------------------------------- the pause


@pytest.mark.parametrize(
    ("scope", "key", "stops"),
    [
        (PauseScope.GLOBAL, "", True),
        (PauseScope.NAMESPACE, "backstage", True),
        (PauseScope.NAMESPACE, "back", False),
        (PauseScope.RULE, "service-unavailable", True),
        (PauseScope.RULE, "another", False),
        (PauseScope.TARGET, BACKSTAGE.key, True),
        (PauseScope.TARGET, "deployment/backstage/other", False),
    ],
)
def test_a_pause_stops_its_scope(scope: PauseScope, key: str, *, stops: bool) -> None:
    """Everything, a namespace, a rule, a target; names are compared whole."""
    refusal = paused.check(history(case(), pauses=(pause(scope=scope, key=key),)))
    assert (refusal is not None) == stops


@pytest.mark.parametrize(("until_s", "stops"), [(1, True), (0, False), (-1, False)])
def test_a_pause_ends_by_itself(until_s: float, *, stops: bool) -> None:
    """At the very moment that was said."""
    refusal = paused.check(history(case(), pauses=(pause(until=after(until_s)),)))
    assert (refusal is not None) == stops


def test_the_longest_pause_is_told() -> None:
    """One without an end outlasts all; it is asked again, for somebody will lift it."""
    short, long, endless = pause(number=1), pause(number=2, until=after(7200)), pause(number=3, until=None)
    refusal = no(paused.check(history(case(), pauses=(short, long))), HoldReason.PAUSED)
    assert (refusal.numbers["pause"], refusal.retry_at) == (2, after(7200))
    assert refusal.message == "everything is paused for another 2 h, says ann: migration"
    refusal = no(paused.check(history(case(), pauses=(endless, long))), HoldReason.PAUSED)
    assert (refusal.numbers["pause"], refusal.retry_at) == (3, after(60))
    assert "until it is resumed" in refusal.message


# --------------------------------------------------------------------------------------------------------- the freezes


@pytest.mark.parametrize(
    ("changes", "left_s"),
    [
        ({}, 3600),
        ({"length_s": 3601}, 1),
        ({"length_s": 3600}, None),
        ({"cron": "0 3 * * *"}, 7200),
        ({"cron": "1 3 * * *"}, None),
        ({"cron": "0 2 * * 6"}, None),
        ({"cron": "0 22 * * 3", "length_s": 2 * 86400}, 2 * 86400 - 29 * 3600),
        ({"timezone": "Europe/Berlin"}, None),
        ({"timezone": "Europe/Berlin", "cron": "0 3 * * *"}, 3600),
        ({"cron": "", "begins": ago(10), "ends": after(5)}, 5),
        ({"cron": "", "begins": NOW, "ends": after(5)}, 5),
        ({"cron": "", "begins": ago(10), "ends": NOW}, None),
        ({"namespaces": ("backstage",)}, 3600),
        ({"namespaces": ("dev-portal",)}, None),
    ],
)
def test_a_freeze_holds_in_its_time_and_place(changes: dict[str, object], left_s: float | None) -> None:
    """It is Friday, three in the morning in UTC and four in Berlin."""
    refusal = frozen.check(case(freezes=(freeze(**changes),)))
    if left_s is None:
        assert refusal is None
    else:
        assert no(refusal, HoldReason.FROZEN).retry_at == after(left_s)


def test_the_freeze_that_ends_last_is_told() -> None:
    """Of several in force."""
    refusal = no(frozen.check(case(freezes=(freeze(), freeze(name="release", length_s=9000)))), HoldReason.FROZEN)
    assert refusal.message == "changes are frozen by 'release' for another 1 h 30 min: batch jobs"


@given(
    st.integers(0, 3 * 366 * 86400).map(lambda seconds: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    st.integers(0, 23),
    st.integers(1, 30 * 3600),
)
def test_a_nightly_freeze_at_any_time_of_any_year(now: datetime, zone: str, hour: int, length_s: int) -> None:
    """In force exactly where one of the last beginnings, found the slow way, is less than its length ago."""
    found = ends_at(Freeze(name="n", cron=f"0 {hour} * * *", timezone=zone, length_s=length_s), now)
    here = ZoneInfo(zone)
    nights = (now.astimezone(here).date() - timedelta(days=back) for back in range(4))
    begins = [datetime(day.year, day.month, day.day, hour, tzinfo=here).astimezone(UTC) for day in nights]
    if any(_odd(begin, here) for begin in begins):
        return  # an hour that the clocks skip or repeat: the next test
    ends = [
        begin + timedelta(seconds=length_s) for begin in begins if begin <= now < begin + timedelta(seconds=length_s)
    ]
    assert found == (max(ends) if ends else None)


def _odd(begin: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the clocks are changed within some hours of the moment."""
    hours = timedelta(hours=3)
    return (begin - hours).astimezone(zone).utcoffset() != (begin + hours).astimezone(zone).utcoffset()


@pytest.mark.parametrize(
    ("cron", "length_s", "zone", "begun"),
    [
        ("30 2 * * *", 7200, "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ("0 * * * *", 600, "Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("30 0 * * *", 3600, "America/Havana", "2026-11-01T04:30:00Z"),
        ("30 22 * * FRI", 200_000, "Europe/London", "2026-10-23T21:30:00Z"),
    ],
)
def test_a_freeze_has_no_hole_in_the_hour_that_comes_twice(cron: str, length_s: int, zone: str, begun: str) -> None:
    """Clocks are put back within the freeze: the wall shows a time before its beginning again, and it goes on."""
    nightly = Freeze(name="n", cron=cron, timezone=zone, length_s=length_s)
    began = datetime.fromisoformat(begun)
    ends = began + timedelta(seconds=length_s)
    for minutes in range(0, length_s // 60, 5):
        assert ends_at(nightly, began + timedelta(minutes=minutes)) == ends, minutes
    assert ends_at(nightly, ends) is None


def test_a_freeze_in_the_night_in_which_the_clocks_change() -> None:
    """Two o'clock does not exist on 30 March 2025 in Berlin; the freeze holds all the same."""
    nightly = Freeze(name="n", cron="30 2 * * *", timezone="Europe/Berlin", length_s=7200)
    assert ends_at(nightly, datetime(2025, 3, 30, 1, 30, tzinfo=UTC)) is not None
    assert ends_at(nightly, datetime(2025, 3, 30, 0, 59, tzinfo=UTC)) is None


# ----------------------------------------------------------------------------------------------------------- the brake


@pytest.mark.parametrize(
    ("alerts", "pulled"),
    [
        ([PlatformAlert(alertname="KubeAPIDown")], True),
        ([PlatformAlert(alertname="KubeAPIErrorBudgetBurn", namespace="default")], True),
        ([PlatformAlert(alertname="KubeNodeNotReady")], True),
        ([PlatformAlert(alertname="SomethingElse", count=99)], False),
        ([PlatformAlert(alertname="TargetDown", count=2)], False),
        ([PlatformAlert(alertname="TargetDown", count=3)], True),
        ([PlatformAlert(alertname="TargetDown", namespace=n) for n in ("a", "b", "c")], True),
        ([PlatformAlert(alertname="KubeQuotaExceeded", namespace="backstage")], True),
        ([PlatformAlert(alertname="KubeQuotaExceeded", namespace="dev-portal")], False),
    ],
)
def test_the_platform_comes_first(alerts: list[PlatformAlert], *, pulled: bool) -> None:
    """Some alerts stop everything, some their namespace, some only when there are several."""
    refusal = brake.check(history(case(), platform=tuple(alerts)))
    assert (refusal is not None) == pulled
    if refusal is not None:
        assert refusal.retry_at == after(60)
        assert alerts[0].alertname in refusal.message


# ----------------------------------------------------------------------------------------------------------- the storm


@pytest.mark.parametrize(
    ("onsets", "cluster", "left_s"),
    [
        ([0] * 9, None, None),
        ([0] * 10, None, 300),
        ([119] + [0] * 9, None, 300),
        ([120] + [0] * 9, None, None),
        ([299] * 10, None, 1),
        ([300] * 10, None, None),
        ([200] * 10 + [10] * 3, None, 100),
        ([0] * 5, 20, 300),
        ([0] * 4, 5, None),
        ([0] * 8, 40, 300),
        ([0] * 7, 40, None),
        ([0] * 9, 1000, None),
    ],
)
def test_a_storm_begins_and_ends(onsets: list[float], cluster: int | None, left_s: float | None) -> None:
    """Ten new incidents within two minutes, or a fifth of a small cluster; then until five minutes have been calm."""
    the_case = touching(case(), namespace=None, cluster=cluster, others=0)
    refusal = storm.check(history(the_case, onsets=tuple(ago(one) for one in onsets)))
    assert (None if refusal is None else refusal.retry_at) == (None if left_s is None else after(left_s))


def test_the_share_can_be_lifted() -> None:
    """At a hundred percent only the number counts."""
    small = touching(case(policy=Policy(storm_percent=100)), namespace=None, cluster=5, others=0)
    assert storm.check(history(small, onsets=(NOW,) * 9)) is None
    assert storm.check(history(small, onsets=(NOW,) * 10)) is not None


@given(st.lists(st.integers(0, 600), max_size=40), st.integers(2, 12))
def test_the_last_trip_is_found_as_by_looking_everywhere(seconds: list[int], limit: int) -> None:
    """The moment of an onset that is the last of ``limit`` within the window, the latest such moment."""
    onsets = [ago(one) for one in seconds]
    slow = [
        one
        for one in onsets
        if sum(1 for other in onsets if timedelta(0) <= one - other < timedelta(seconds=120)) >= limit
    ]
    assert storm.last_trip(onsets, limit, 120) == (max(slow) if slow else None)


# ---------------------------------------------------------------------------------------------------------- the shares


@pytest.mark.parametrize(
    ("workloads", "others", "refused"),
    [(None, 1, False), (None, 2, True), (1, 2, True), (5, 1, False), (8, 2, True), (9, 2, False), (9, 3, True)],
)
def test_a_share_of_a_namespace(workloads: int | None, others: int, *, refused: bool) -> None:
    """A third of them within ten minutes, two at least; unknown is the least, not the most."""
    the_case = touching(case(), namespace=workloads, cluster=1000, others=others, seconds=500)
    refusal = blast_namespace.check(the_case)
    assert (refusal is not None) == refused
    assert blast_cluster.check(the_case) is None
    if refusal is not None:
        assert refusal.reason is HoldReason.BLAST_NAMESPACE
        assert refusal.retry_at == after(100)


def test_what_was_touched_already_may_be_touched_again() -> None:
    """A target that counts already adds nothing, and neither does what left the window."""
    again = touching(case(), namespace=6, cluster=10)
    touched = again.history.touched[0]
    own = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="other-0", uid="uid-9")
    assert touched.target_key == own.key
    assert blast_namespace.check(history(case(plan=restart_plan(own)), touched=again.history.touched)) is None
    assert blast_cluster.check(touching(case(), namespace=6, cluster=10, seconds=600)) is None


def test_other_namespaces_count_in_the_cluster_only() -> None:
    """Twenty percent of all, wherever they are."""
    far = tuple(
        type(one)(target_key=f"deployment/far/{n}", namespace="far", admitted_at=ago(n))
        for n, one in enumerate(touching(case(), namespace=1, cluster=1, others=2).history.touched)
    )
    the_case = history(touching(case(), namespace=3, cluster=14, others=0), touched=far)
    assert blast_namespace.check(the_case) is None
    refusal = no(blast_cluster.check(the_case), HoldReason.BLAST_CLUSTER)
    assert refusal.numbers == {"touched": 2, "allowed": 2, "workloads": 14, "percent": 20, "left_s": 599}
    assert "at most 2 are (20 % of 14 workloads)" in refusal.message


# ------------------------------------------------------------------------------------------------- what attempts taught


def ended(*states: ActionState, every_s: float = 3600) -> tuple[PastAction, ...]:
    """Return attempts that ended so, the newest first, one each ``every_s`` seconds."""
    count = len(states)
    return tuple(
        past(count - n, state, admitted_s=(n + 1) * every_s, ended_s=(n + 1) * every_s - 60)
        for n, state in enumerate(states)
    )


UNCHANGED, RECOVERED, WORSE = ActionState.UNCHANGED, ActionState.RECOVERED, ActionState.WORSE


@pytest.mark.parametrize(
    ("attempts", "refused"),
    [
        (ended(UNCHANGED, WORSE), False),
        (ended(UNCHANGED, WORSE, ActionState.UNKNOWN), True),
        (ended(UNCHANGED, RECOVERED, WORSE, RECOVERED, UNCHANGED), True),
        (ended(UNCHANGED, UNCHANGED, UNCHANGED, every_s=28800), False),
        (ended(ActionState.REFUSED, ActionState.EXPIRED, ActionState.REJECTED, UNCHANGED), False),
    ],
)
def test_quarantine_after_three_failures_in_a_day(attempts: tuple[PastAction, ...], *, refused: bool) -> None:
    """Whatever helped in between; what never reached the target is no attempt. People are told."""
    refusal = quarantine.check(history(case(), target=attempts))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert (refusal.reason, refusal.retry_at) == (HoldReason.QUARANTINE, None)


@pytest.mark.parametrize(
    ("attempts", "plan", "refused"),
    [
        (ended(RECOVERED, RECOVERED, RECOVERED), restart_plan(), True),
        (ended(RECOVERED, RECOVERED, RECOVERED), scale_plan(), False),
        (ended(RECOVERED, RECOVERED), restart_plan(), False),
        (ended(RECOVERED, RECOVERED, RECOVERED, every_s=7200), restart_plan(), False),
    ],
)
def test_a_remedy_that_masks(attempts: tuple[PastAction, ...], plan: object, *, refused: bool) -> None:
    """The same action, three times in six hours; another one may help more."""
    refusal = masking.check(history(case(plan=plan), target=attempts))
    assert (refusal is not None) == refused
    if refusal is not None:
        assert (refusal.reason, refusal.retry_at) == (HoldReason.MASKING, None)


@pytest.mark.parametrize("kept_by", ["kind", "rule", "nobody"])
@pytest.mark.parametrize(("states", "stops"), [((UNCHANGED,), True), ((RECOVERED, UNCHANGED), False), ((), False)])
def test_what_keeps_data_gets_one_attempt(kept_by: str, states: tuple[ActionState, ...], *, stops: bool) -> None:
    """A StatefulSet, or what its rule calls stateful; a later recovery ends it."""
    target = Target(kind=Kind.STATEFULSET if kept_by == "kind" else Kind.DEPLOYMENT, namespace="n", name="db", uid="u")
    stateful = rule(target=type(rule().target)(namespaces=("n",), kinds=(target.kind,), stateful=kept_by == "rule"))
    refusal = stateful_stop.check(history(case(plan=restart_plan(target), rule=stateful), target=ended(*states)))
    assert (refusal is not None) == (stops and kept_by != "nobody")
    if refusal is not None:
        assert refusal.retry_at is None


def test_what_keeps_data_is_let_go_after_a_day() -> None:
    """What failed earlier was for people, who have gone on since."""
    target = Target(kind=Kind.STATEFULSET, namespace="n", name="db", uid="u")
    stateful = rule(target=type(rule().target)(namespaces=("n",), kinds=(target.kind,)))
    old = ended(UNCHANGED, every_s=90_000)
    assert stateful_stop.check(history(case(plan=restart_plan(target), rule=stateful), target=old)) is None


def rolled(age_s: float, **changes: object) -> Case:
    """Return the case of a workload that is a day old and was rolled out so many seconds ago."""
    load = workload(rollout_started_at=ago(age_s), created_at=ago(86400), revision="7")
    return case(facts=facts(load), **changes)


@pytest.mark.parametrize(("age_s", "refused"), [(0, True), (1799, True), (1800, False)])
def test_after_a_deployment_people_decide(age_s: float, *, refused: bool) -> None:
    """Half an hour; adding pods ends none and may go on."""
    refusal = recently_deployed.check(rolled(age_s))
    assert (refusal is not None) == refused
    assert recently_deployed.check(rolled(age_s, plan=scale_plan())) is None
    if refusal is not None:
        assert refusal.retry_at is None
        assert "revision 7" in refusal.message


@pytest.mark.parametrize(
    ("admitted_s", "ended_s", "ours"), [(610, 500, True), (602, None, True), (900, 700, False), (590, 500, False)]
)
def test_our_own_rollouts_are_no_deployment(admitted_s: float, ended_s: float | None, *, ours: bool) -> None:
    """A rollout that began during one of our actions was asked for by it."""
    mine = past(1, ActionState.UNCHANGED, admitted_s=admitted_s, ended_s=ended_s)
    assert (recently_deployed.check(history(rolled(600), target=(mine,))) is None) == ours


def test_the_first_rollout_is_no_deployment() -> None:
    """There is nothing to go back to."""
    load = workload(rollout_started_at=ago(600), created_at=ago(601))
    assert recently_deployed.check(case(facts=facts(load))) is None


# ------------------------------------------------------------------------------------------------------ ours, asked for


@pytest.mark.parametrize(
    ("own", "refused"),
    [((), False), (("deployment/backstage/backstage",), True), (("*/backstage/*",), True), (("statefulset/*",), False)],
)
def test_remediator_does_not_operate_on_itself(own: tuple[str, ...], *, refused: bool) -> None:
    """Nor on its database: whatever the operator lists as its own."""
    assert (self_protection.check(case(policy=Policy(own=own))) is not None) == refused


@pytest.mark.parametrize(
    ("required", "value", "refused"),
    [(False, None, False), (True, None, True), (True, "true", False), (True, " True ", False), (True, "yes", True)],
)
def test_only_where_it_was_asked_for(*, required: bool, value: str | None, refused: bool) -> None:
    """Where the policy wants it, the annotation has to say true."""
    load = workload(annotations={} if value is None else {"remediator.io/opt-in": value})
    refusal = not_opted_in.check(case(policy=Policy(require_opt_in=required), facts=facts(load)))
    assert (refusal is not None) == refused
