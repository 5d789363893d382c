"""Reads that a write may rest on: each once, for a while, and not too many."""

from __future__ import annotations

from msgspec import structs

from remediator.adapters.kubernetes.recent import LARGEST, MOST, OLDEST_S, RecentReads
from remediator.model.target import Kind, Target
from tests.fakes.clock import StillClock

TARGET = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="web", uid="u-1")


def kept(*, ahead: float = 0.0) -> RecentReads:
    """Return reads with one in them, made so many seconds ago."""
    clock = StillClock()
    reads = RecentReads(clock)
    reads.keep(TARGET, b"{}")
    clock.ahead += ahead
    return reads


def test_a_read_serves_one_write() -> None:
    """What comes after that write reads anew."""
    reads = kept(ahead=1.0)
    found = reads.take(TARGET, 2.0)
    assert found is not None
    assert (found.body, found.at) == (b"{}", StillClock().now())
    assert reads.take(TARGET, 2.0) is None


def test_a_read_that_is_too_old_is_not_used() -> None:
    """Nor is any by whoever wants none."""
    assert kept(ahead=2.0).take(TARGET, 2.0) is None
    assert kept().take(TARGET, 0.0) is None


def test_a_read_of_another_object_is_not_used() -> None:
    """It has the name and another uid."""
    reads = kept()
    assert reads.take(structs.replace(TARGET, uid="u-2"), 2.0) is None
    assert reads.take(structs.replace(TARGET, uid=""), 2.0) is None
    assert reads.take(TARGET, 2.0) is not None


def test_the_latest_read_counts() -> None:
    """An older one of the same object is gone."""
    reads = kept()
    reads.keep(TARGET, b"[]")
    found = reads.take(TARGET, 2.0)
    assert found is not None
    assert found.body == b"[]"


def test_memory_is_bounded() -> None:
    """The oldest make way, those past their time go, and large ones are never kept."""
    clock = StillClock()
    reads = RecentReads(clock)
    many = [structs.replace(TARGET, uid=f"u-{number}") for number in range(MOST + 1)]
    for target in many:
        reads.keep(target, b"{}")
    assert reads.take(many[0], 2.0) is None
    assert reads.take(many[1], 2.0) is not None
    clock.ahead += OLDEST_S + 1
    reads.keep(TARGET, b"{}")
    assert reads.take(many[-1], OLDEST_S * 2) is None
    assert reads.take(TARGET, 2.0) is not None
    reads.keep(TARGET, b" " * (LARGEST + 1))
    assert reads.take(TARGET, 2.0) is None
