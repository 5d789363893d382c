"""Order and duplicates: whatever order signals come in, one episode opens once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.signals import Change, fold, transition
from remediator.model.signal import AlertState, Signal, Status, StoredSignal

T0 = datetime(2025, 3, 14, 3, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def firing(starts: float, number: int = 1) -> StoredSignal:
    """Return a firing signal of an episode that began at ``starts``."""
    return stored(number, Status.FIRING, starts, None)


def confirmed(starts: float, at_s: float, number: int = 3) -> StoredSignal:
    """Return a firing signal that was asked for, and was so ``at_s`` seconds after T0."""
    posted = stored(number, Status.FIRING, starts, None)
    asked = structs.replace(posted.signal, confirmed_at=at(at_s))
    return structs.replace(posted, signal=asked, last_seen_at=max(posted.last_seen_at, at(at_s)))


def resolved(starts: float, ends: float, number: int = 2) -> StoredSignal:
    """Return a resolved signal."""
    return stored(number, Status.RESOLVED, starts, ends)


def stored(number: int, status: Status, starts: float, ends: float | None) -> StoredSignal:
    """Return a stored signal, received at the latest time that it speaks of."""
    signal = Signal(
        source="alertmanager",
        fingerprint="f" * 16,
        status=status,
        labels={"alertname": "BackstageDown"},
        annotations={},
        starts_at=at(starts),
        ends_at=None if ends is None else at(ends),
    )
    received = at(max(starts, ends or 0) + 1)
    return StoredSignal(id=number, signal=signal, received_at=received, last_seen_at=received)


def changes(*signals: StoredSignal) -> list[Change]:
    """Return what each signal changes, in order."""
    return [step.change for step in fold(signals, {})]


def test_a_first_firing_signal_opens() -> None:
    """Nothing was known of the alert."""
    step = transition(firing(0), None)
    assert step.change is Change.OPENED
    assert step.state.status is Status.FIRING
    assert step.state.labels == {"alertname": "BackstageDown"}


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ((firing(0), firing(0)), [Change.OPENED, Change.CONTINUES]),
        ((firing(10), firing(0)), [Change.OPENED, Change.CONTINUES]),
        ((firing(0), resolved(0, 60)), [Change.OPENED, Change.RESOLVED]),
        ((resolved(0, 60), firing(0)), [Change.RESOLVED, Change.LATE]),
        ((firing(0), resolved(0, 60), firing(0)), [Change.OPENED, Change.RESOLVED, Change.LATE]),
        ((firing(0), resolved(0, 60), firing(60)), [Change.OPENED, Change.RESOLVED, Change.LATE]),
        ((firing(0), resolved(0, 60), firing(61)), [Change.OPENED, Change.RESOLVED, Change.OPENED]),
        ((firing(0), resolved(0, 60), resolved(0, 90)), [Change.OPENED, Change.RESOLVED, Change.REPEATED]),
        ((firing(0), firing(100), resolved(0, 60)), [Change.OPENED, Change.CONTINUES, Change.LATE]),
        ((firing(100), firing(0), resolved(0, 60)), [Change.OPENED, Change.CONTINUES, Change.LATE]),
        # What we asked for is no old story: it fires, whatever was said of its end before that.
        ((resolved(0, 60), confirmed(0, 70)), [Change.RESOLVED, Change.REOPENED]),
        ((resolved(0, 60), confirmed(0, 55)), [Change.RESOLVED, Change.LATE]),
        # The end was told at 61, a second after it: a look from before that does not know of it.
        ((resolved(0, 60), confirmed(0, 61)), [Change.RESOLVED, Change.LATE]),
        ((resolved(0, 60), confirmed(0, 70), firing(0)), [Change.RESOLVED, Change.REOPENED, Change.CONTINUES]),
        ((resolved(0, 60), confirmed(0, 70), resolved(0, 60)), [Change.RESOLVED, Change.REOPENED, Change.LATE]),
        ((resolved(0, 60), confirmed(0, 70), resolved(0, 80)), [Change.RESOLVED, Change.REOPENED, Change.RESOLVED]),
        ((confirmed(0, 10), firing(0)), [Change.OPENED, Change.CONTINUES]),
        # A second Alertmanager told a later end, after the one that we learned first.
        ((resolved(0, 60), resolved(0, 90), confirmed(0, 80)), [Change.RESOLVED, Change.REPEATED, Change.LATE]),
    ],
)
def test_sequences(signals: tuple[StoredSignal, ...], expected: list[Change]) -> None:
    """The table of what may come after what."""
    assert changes(*signals) == expected


def test_every_order_of_one_episode_opens_at_most_once_and_ends_resolved() -> None:
    """Firing, repeated firing and resolved, in every order."""
    episode = (firing(0, 1), firing(0, 2), resolved(0, 60, 3))
    for order in permutations(episode):
        steps = fold(order, {})
        assert sum(1 for step in steps if step.change is Change.OPENED) <= 1
        assert steps[-1].state.status is Status.RESOLVED


def test_a_resolved_signal_without_end_counts_as_ended_when_it_came() -> None:
    """Bodies of other senders may lack endsAt; then the time of receipt stands in."""
    bare = stored(1, Status.RESOLVED, 5, None)
    assert transition(bare, None).state.ends_at == bare.received_at


def test_a_tombstone_keeps_its_latest_end() -> None:
    """A replayed earlier end must not move the tombstone back."""
    steps = fold((firing(0), resolved(0, 90), resolved(0, 60), firing(70)), {})
    assert steps[-1].change is Change.LATE


@pytest.mark.parametrize("again", [confirmed(0, 200), resolved(0, 250)])
def test_what_is_told_again_counts_from_when_it_was_told_last(again: StoredSignal) -> None:
    """Its row is as old as its first telling; we learned of the change just now."""
    before = (firing(0), resolved(0, 60)) if again.signal.status is Status.FIRING else (firing(0),)
    told = structs.replace(again, received_at=at(1), last_seen_at=at(300))
    step = fold((*before, told), {})[-1]
    assert step.change in (Change.REOPENED, Change.RESOLVED)
    assert step.state.changed_at == at(300)


def test_the_state_of_before_is_respected() -> None:
    """What the database knows counts as much as what the batch holds."""
    known = AlertState(
        source="alertmanager",
        fingerprint="f" * 16,
        status=Status.RESOLVED,
        starts_at=at(0),
        ends_at=at(60),
        changed_at=at(61),
    )
    assert fold((firing(30),), {("alertmanager", "f" * 16): known})[0].change is Change.LATE


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_no_two_openings_of_one_episode(facts: list[tuple[bool, int, int]]) -> None:
    """Between two openings there is always a resolution, and each opening begins after the end before it."""
    signals = [
        firing(start, number) if fires else resolved(start, start + length, number)
        for number, (fires, start, length) in enumerate(facts)
    ]
    open_now, last_end = False, None
    for step in fold(signals, {}):
        if step.change is Change.OPENED:
            assert not open_now
            assert last_end is None or step.stored.signal.starts_at > last_end
            open_now = True
        if step.change is Change.RESOLVED:
            open_now, last_end = False, step.state.ends_at
