"""Order and duplicates: however news comes, an episode begins once, and asking sets right what is wrong.

An alert has a true history of episodes. Of that, notifications are made: with starts that move within an episode, told
by two Alertmanagers, repeated after minutes or days, and in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.reconcile import Terms, reconcile
from remediator.core.signals import BEGINS, Change, Transition, transition
from remediator.model.sighting import Disposition, Holdings, KnownAlert, PeerAnswer, Sighting, View
from remediator.model.signal import AlertState, Signal, Status, StoredSignal

T0 = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON_S = 3600
DAY_S = 86400
TERMS = Terms(receivers=frozenset(), grace_s=30.0, settle_s=300.0, apart_s=30.0)
PRINT = "f" * 16


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after the beginning."""
    return T0 + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Truth:
    """One episode: from when to when the alert really fired (None: it still does)."""

    begins: int
    ends: int | None


@dataclass(frozen=True)
class Told:
    """One notification. ``begins`` may lie a little off the true begin, as with two Prometheus."""

    begins: int
    ends: int | None


@dataclass
class Desk:
    """What we hold of the alert, and what has become of it so far."""

    state: AlertState | None = None
    absent_since: datetime | None = None
    number: int = 0
    steps: tuple[Transition, ...] = ()

    def take(self, signal: Signal, now: float) -> Change:
        """Judge a signal that comes now."""
        self.number += 1
        step = transition(
            StoredSignal(id=self.number, signal=signal, received_at=at(now), last_seen_at=at(now)), self.state
        )
        self.state, self.steps = step.state, (*self.steps, step)
        return step.change

    def hear(self, told: Told, now: float) -> Change:
        """Take a notification; what it says of the end lies not after now, the intake sees to that."""
        over = told.ends is not None
        ends_at = at(min(told.ends, now)) if told.ends is not None else None
        return self.take(a_signal(told.begins, Status.RESOLVED if over else Status.FIRING, ends_at), now)

    def look(self, fires_since: int | None, now: float) -> None:
        """Ask an Alertmanager that knows the truth, and take what follows from it."""
        seen = (sighting(fires_since, now),) if fires_since is not None else ()
        peer = PeerAnswer(peer="am", sightings=seen, up_for_s=DAY_S, settled=True)
        known = {PRINT: KnownAlert(state=self.state, absent_since=self.absent_since)} if self.state else {}
        found = reconcile(View(source="am", asked_at=at(now), answers=(peer,)), Holdings(alerts=known), TERMS)
        self.absent_since = found.absent.get(PRINT)
        for signal in (*found.fires, *found.ended):
            self.take(signal, now)

    def count(self, *changes: Change) -> int:
        """Return how many signals changed the alert so."""
        return sum(1 for step in self.steps if step.change in changes)


def a_signal(begins: int, status: Status, ends_at: datetime | None) -> Signal:
    """Return a signal of the alert."""
    return Signal(
        source="am",
        fingerprint=PRINT,
        status=status,
        labels={"alertname": "BackstageDown"},
        annotations={},
        starts_at=at(begins),
        ends_at=ends_at,
    )


def sighting(begins: int, now: float) -> Sighting:
    """Return the alert as an Alertmanager has it to which Prometheus speaks every few seconds."""
    return Sighting(
        signal=a_signal(begins, Status.FIRING, None),
        disposition=Disposition.ACTIVE,
        by=(),
        receivers=(),
        updated_ago_s=5.0,
        firing_for_s=now - begins,
    )


@st.composite
def histories(draw: st.DrawFn, *, most: int = 3) -> tuple[Truth, ...]:
    """Return a true history: episodes after each other, at least two minutes apart; the last may go on."""
    episodes: list[Truth] = []
    begins = draw(st.integers(600, 900))
    for number in range(draw(st.integers(1, most))):
        if number:
            begins = (episodes[-1].ends or 0) + draw(st.integers(120, 600))
        episodes.append(Truth(begins, begins + draw(st.integers(60, 400))))
    if draw(st.booleans()):
        episodes[-1] = Truth(episodes[-1].begins, None)
    return tuple(episodes)


@st.composite
def notifications(draw: st.DrawFn, episode: Truth) -> tuple[Told, ...]:
    """Return what is told of one episode: at least once that it fires, and the end, if it has one, once or twice."""
    moved = st.integers(0, 30).map(lambda by: episode.begins + by)
    told = [Told(begins, None) for begins in draw(st.lists(moved, min_size=1, max_size=4))]
    if episode.ends is not None:
        told += [Told(begins, episode.ends) for begins in draw(st.lists(moved, min_size=1, max_size=2))]
    return tuple(told)


@st.composite
def stories(draw: st.DrawFn, *, most: int) -> tuple[tuple[Truth, ...], tuple[Told, ...]]:
    """Return a history and all that is told of it, in any order, each piece as often as the draw likes."""
    history = draw(histories(most=most))
    told = [one for episode in history for one in draw(notifications(episode))]
    again = draw(st.lists(st.sampled_from(told), max_size=4))
    return history, tuple(draw(st.permutations([*told, *again])))


ARRIVALS = st.lists(st.sampled_from([1, 1, 1, 60, 600, 8 * DAY_S]), min_size=40, max_size=40)


@settings(max_examples=200)
@given(stories(most=1), ARRIVALS)
def test_one_episode_begins_at_most_once(story: tuple[tuple[Truth, ...], tuple[Told, ...]], waits: list[int]) -> None:
    """Firing and resolved in any order, moved starts, replays after seconds, ten minutes or eight days."""
    (episode,), told = story
    desk, now = Desk(), float(HORIZON_S)
    for one, wait in zip(told, waits, strict=False):
        now += wait
        desk.hear(one, now)
    assert desk.count(*BEGINS) <= 1
    assert desk.count(Change.REOPENED) == 0
    assert desk.state is not None
    assert desk.state.status is (Status.FIRING if episode.ends is None else Status.RESOLVED)


@settings(max_examples=200)
@given(stories(most=3), ARRIVALS)
def test_episodes_begin_at_most_as_often_as_they_were(
    story: tuple[tuple[Truth, ...], tuple[Told, ...]], waits: list[int]
) -> None:
    """News of several episodes in any order: none begins twice, and what came late does not begin at all."""
    history, told = story
    desk, now = Desk(), float(HORIZON_S)
    for one, wait in zip(told, waits, strict=False):
        now += wait
        desk.hear(one, now)
    assert desk.count(*BEGINS) <= len(history)


@settings(max_examples=200)
@given(stories(most=3), ARRIVALS, st.data())
def test_looking_three_times_sets_right_whatever_was_told(
    story: tuple[tuple[Truth, ...], tuple[Told, ...]], waits: list[int], data: st.DataObject
) -> None:
    """However much was lost, doubled or made up: then we believe what is true, and go on believing it."""
    history, told = story
    lies = data.draw(
        st.lists(
            st.builds(Told, st.integers(0, HORIZON_S), st.one_of(st.none(), st.integers(0, HORIZON_S))), max_size=4
        )
    )
    heard = data.draw(st.permutations([*data.draw(st.lists(st.sampled_from(told))), *lies]))
    desk, now = Desk(), float(HORIZON_S)
    for one, wait in zip(heard, waits, strict=False):
        now += wait
        if one.ends is None or one.ends >= one.begins:
            desk.hear(one, now)
    truth = history[-1].begins if history[-1].ends is None else None
    for _ in range(3):
        now += 60
        desk.look(truth, now)
    before = desk.number
    fires = desk.state is not None and desk.state.status is Status.FIRING
    assert fires is (truth is not None)
    for _ in range(3):
        now += 60
        desk.look(truth, now)
    assert desk.number == before


@settings(max_examples=200)
@given(stories(most=1), ARRIVALS, st.lists(st.booleans(), min_size=40, max_size=40))
def test_looks_between_true_notifications_begin_nothing_twice(
    story: tuple[tuple[Truth, ...], tuple[Told, ...]], waits: list[int], looks: list[bool]
) -> None:
    """Two ways to hear of the same episode: it begins once, though starts differ and the order is any."""
    (episode,), told = story
    desk, now = Desk(), float(HORIZON_S)
    fires = episode.begins if episode.ends is None else None
    for one, wait, look in zip(told, waits, looks, strict=False):
        now += wait
        desk.hear(one, now)
        if look:
            now += 60
            desk.look(fires, now)
    assert desk.count(*BEGINS) <= 1


@settings(max_examples=200)
@given(histories(most=1), st.integers(0, 20), st.integers(1, 500))
def test_a_stale_look_does_not_open_what_has_ended(history: tuple[Truth, ...], replays: int, late_s: int) -> None:
    """A replica that was stopped brings what it saw before the end: too late."""
    (episode,) = history
    ends = episode.ends or episode.begins + 100
    desk = Desk()
    desk.hear(Told(episode.begins, None), ends - 20)
    old = structs.replace(a_signal(episode.begins, Status.FIRING, None), confirmed_at=at(ends - 10))
    desk.hear(Told(episode.begins, ends), ends + 1)
    for number in range(replays + 1):
        assert desk.take(old, ends + late_s + number) is Change.LATE
