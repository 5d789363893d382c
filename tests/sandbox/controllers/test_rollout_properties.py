"""What holds for every rollout, whatever its numbers: found by Hypothesis under virtual time."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.objects import is_ready
from remediator.sandbox.controllers.rolling import Size, bounds, new_size, old_sizes, proportional
from remediator.sandbox.resources import DEPLOYMENTS, REPLICA_SETS
from tests.sandbox.controllers.stage import SPACE, Stage

_SHARES = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda number: f"{number}%"))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("restart"), st.integers(0, 99)),
        st.tuples(st.just("scale"), st.integers(0, 8)),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.35, 1.0, 5.0])),
    ),
    max_size=8,
)
_SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rolling(replicas: int, surge: int | str, unavailable: int | str) -> Stage:
    """Return a stage with a settled Deployment of those numbers."""
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": limits}}
    stage = Stage(scenario.deployment(SPACE, "backstage", replicas=replicas, spec=spec))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    return stage


@_SLOW
@given(replicas=st.integers(1, 8), surge=_SHARES, unavailable=_SHARES)
def test_a_healthy_rollout_stays_within_its_bounds(replicas: int, surge: int | str, unavailable: int | str) -> None:
    """Never more than replicas + maxSurge pods, never fewer ready than replicas - maxUnavailable, and it ends."""
    stage = rolling(replicas, surge, unavailable)
    limits = bounds(replicas, surge, unavailable)
    seen: list[tuple[int, int]] = []

    def note(_: Any) -> None:
        pods = stage.pods()
        seen.append((len(pods), sum(1 for pod in pods if is_ready(pod))))

    stop = stage.store.listen(note)
    stage.restart(DEPLOYMENTS, "backstage")
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stop()
    assert max(count for count, _ in seen) <= replicas + limits.surge
    assert min(ready for _, ready in seen) >= replicas - limits.unavailable


@_SLOW
@given(replicas=st.integers(0, 6), steps=_STEPS)
def test_a_deployment_always_comes_to_rest(replicas: int, steps: list[tuple[str, Any]]) -> None:
    """Whatever is asked of it, in whatever order: in the end it runs as its spec says, by its newest ReplicaSet."""
    stage = rolling(replicas, "25%", "25%")
    for what, value in steps:
        match what:
            case "restart":
                stage.restart(DEPLOYMENTS, "backstage", f"2026-01-01T00:00:{value:02}Z")
            case "scale":
                stage.spec(DEPLOYMENTS, "backstage", replicas=value)
            case "pause":
                stage.spec(DEPLOYMENTS, "backstage", paused=value)
            case _:
                stage.advance(value)
    stage.spec(DEPLOYMENTS, "backstage", paused=False)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.advance(5)
    wanted = stage.deployment()["spec"]["replicas"]
    assert [item["spec"]["replicas"] for item in stage.sets() if item["spec"]["replicas"]] == [wanted][
        : int(wanted > 0)
    ]
    assert len(stage.pods(going=True)) == wanted
    assert all(item["status"]["replicas"] == item["spec"]["replicas"] for item in stage.store.list(REPLICA_SETS, SPACE))


@given(replicas=st.integers(1, 50), surge=_SHARES, unavailable=_SHARES)
def test_bounds_let_a_rollout_move(replicas: int, surge: int | str, unavailable: int | str) -> None:
    """Percentages are rounded up for the surge and down for the rest; one of the two is never zero."""
    limits = bounds(replicas, surge, unavailable)
    assert limits.surge + limits.unavailable > 0
    assert limits.unavailable <= replicas
    if isinstance(surge, str):
        assert limits.surge == math.ceil(int(surge[:-1]) * replicas / 100)


@given(
    replicas=st.integers(1, 30),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    old=st.lists(st.integers(0, 10).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))), max_size=4),
    new=st.integers(0, 30).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))),
)
def test_the_arithmetic_keeps_its_promises(
    replicas: int, surge: int, unavailable: int, old: list[tuple[int, int]], new: tuple[int, int]
) -> None:
    """Sizes never grow where they should shrink, and never take the last pods that must serve."""
    limits = bounds(replicas, surge, unavailable)
    sizes = [Size(*item) for item in old]
    after = old_sizes(replicas, limits, Size(*new), sizes)
    assert all(0 <= small <= item.wanted for small, item in zip(after, sizes, strict=True))
    everyone = new[0] + sum(item.wanted for item in sizes)
    grown = new_size(replicas, limits, new[0], everyone)
    assert grown <= replicas
    assert grown - new[0] <= max(0, replicas + limits.surge - everyone)
    serving = new[1] + sum(min(small, item.available) for small, item in zip(after, sizes, strict=True))
    before = new[1] + sum(item.available for item in sizes)
    assert serving >= min(before, replicas - limits.unavailable)


@given(
    replicas=st.integers(0, 30),
    surge=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    noted=st.integers(1, 60),
)
def test_a_shared_scale_adds_up(replicas: int, surge: int, sizes: list[int], noted: int) -> None:
    """The ReplicaSets together get what is wanted plus the surge, none below zero."""
    largest_first = [Size(size, size, noted) for size in sorted(sizes, reverse=True)]
    limits = bounds(replicas, surge, 0)
    after = proportional(replicas, limits, largest_first)
    assert min(after) >= 0
    assert sum(after) == (replicas + limits.surge if replicas else 0)
