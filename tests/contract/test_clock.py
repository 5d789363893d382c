"""What every clock promises: the machine's, and the one that tests move by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.adapters.clock import SystemClock
from remediator.ports.clock import Clock
from tests.fakes.clock import StillClock


@pytest.fixture(params=[StillClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Each clock in turn."""
    made: Clock = request.param()
    return made


def test_the_time_is_aware_and_in_utc(clock: Clock) -> None:
    """It is compared with the database's."""
    assert clock.now().utcoffset() == timedelta(0)


async def test_a_sleep_takes_as_long_as_asked_by_both_hands(clock: Clock) -> None:
    """At least; neither runs backwards."""
    before, began = clock.now(), clock.monotonic()
    await clock.sleep(0.02)
    assert clock.monotonic() - began >= 0.019
    assert clock.now() - before >= timedelta(seconds=0.019)


async def test_no_time_and_less_pass_at_once(clock: Clock) -> None:
    """A wait that was computed too late is no wait, and others get their turn."""
    began = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() - began < 1.0
