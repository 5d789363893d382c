"""What follows from what Alertmanager has, and above all what does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from remediator.core.reconcile import DATE_TICK_S, Findings, fingerprints, reconcile
from remediator.model.sighting import Disposition, PeerAnswer, Sighting
from remediator.model.signal import Status
from tests.core.views import NOW, PRINT, TERMS, ago, answer, holding, sighting, state, view

RESOLVED = Status.RESOLVED
BROKEN = answer(problem="timeout: no answer")


def silenced(**changes: Any) -> Sighting:
    """Return the alert under a silence."""
    return sighting(disposition=Disposition.SILENCED, by=("5e1f",), **changes)


def test_what_fires_there_and_is_unknown_here_is_news() -> None:
    """As of when it was known to fire: when Prometheus last told of it, with a second for the clock's coarseness."""
    found = reconcile(view(answer(sighting())), holding(), TERMS)
    (signal,) = found.fires
    assert signal.fingerprint == PRINT
    assert signal.confirmed_at == ago(30 + DATE_TICK_S)
    assert found.whole


def test_what_fires_here_and_there_is_no_news() -> None:
    """Nothing to say."""
    found = reconcile(view(answer(sighting())), holding(state()), TERMS)
    assert found == Findings(fires=(), ended=(), absent={}, hushed=(), audible=(), whole=True)


def test_one_alertmanager_that_has_it_is_enough() -> None:
    """The other does not answer; that somebody has seen it fire counts all the same."""
    found = reconcile(view(BROKEN, answer(sighting())), holding(), TERMS)
    assert [one.fingerprint for one in found.fires] == [PRINT]
    assert not found.whole


def test_both_have_it_once() -> None:
    """The same alert in two Alertmanagers is one; the later word of Prometheus counts."""
    stale = sighting(updated_ago_s=200.0)
    for peers in ((answer(sighting()), answer(stale)), (answer(stale), answer(sighting()))):
        (signal,) = reconcile(view(*peers), holding(), TERMS).fires
        assert signal.confirmed_at == ago(30 + DATE_TICK_S)


@pytest.mark.parametrize(
    ("there", "peer"),
    [
        (sighting(since_s=10.0), {}),
        (sighting(disposition=Disposition.UNPROCESSED), {}),
        (sighting(), {"up_for_s": 20.0}),
        (sighting(), {"settled": False}),
        (sighting(receivers=("others",)), {}),
    ],
    ids=["too young", "undecided", "just started", "not settled", "routed elsewhere"],
)
def test_what_is_not_taken_without_a_webhook(there: Sighting, peer: dict[str, Any]) -> None:
    """Inhibitions may be on their way, or it is none of our business; it is there all the same, and so not over."""
    terms = structs_terms(receivers=frozenset({"remediator"}))
    looked = view(answer(there, **peer))
    assert reconcile(looked, holding(), terms).fires == ()
    found = reconcile(looked, holding(state(), absent_since=ago(120)), terms)
    assert (found.ended, found.absent) == ((), {})


def test_what_fires_on_after_its_end_was_told_is_news() -> None:
    """Prometheus has told of it 30 s ago, and we were told of its end a minute ago."""
    found = reconcile(view(answer(sighting())), holding(state(RESOLVED, ended_s=60)), TERMS)
    assert len(found.fires) == 1


@pytest.mark.parametrize("ended_s", [30, 5])
def test_an_alertmanager_that_has_not_heard_of_the_end_yet_proves_nothing(ended_s: int) -> None:
    """What it has of Prometheus is older than the end that the other Alertmanager has told us of."""
    assert reconcile(view(answer(sighting())), holding(state(RESOLVED, ended_s=ended_s)), TERMS).fires == ()


def test_the_next_episode_is_news_at_once() -> None:
    """It began after the end."""
    there = sighting(since_s=40.0, updated_ago_s=40.0)
    assert len(reconcile(view(answer(there)), holding(state(RESOLVED, ended_s=45)), TERMS).fires) == 1


def test_what_is_gone_is_over_at_the_second_look() -> None:
    """Missing now for the first time: noted. Missing at two looks in a row: over, since the first of them."""
    first = reconcile(view(answer()), holding(state()), TERMS)
    assert (first.ended, first.absent) == ((), {PRINT: NOW})
    second = reconcile(view(answer()), holding(state(), absent_since=ago(60)), TERMS)
    (signal,) = second.ended
    assert second.absent == {}
    assert (signal.status, signal.ends_at, signal.starts_at) == (RESOLVED, ago(60), ago(600))
    assert signal.confirmed_at == NOW


def test_two_looks_close_together_are_one() -> None:
    """A look in a hurry does not make the second."""
    found = reconcile(view(answer()), holding(state(), absent_since=ago(20)), TERMS)
    assert (found.ended, found.absent) == ((), {PRINT: ago(20)})


@pytest.mark.parametrize(
    "peers",
    [
        (),
        (BROKEN,),
        (answer(), BROKEN),
        (answer(up_for_s=200.0),),
        (answer(), answer(up_for_s=200.0)),
        (answer(settled=False),),
        (answer(whole=False),),
        (answer(unreadable=frozenset({PRINT})),),
    ],
    ids=[
        *("nobody", "no answer", "one of two", "just started", "one just started", "not settled", "cut off"),
        "unreadable",
    ],
)
def test_unknown_is_never_healthy(peers: tuple[PeerAnswer, ...]) -> None:
    """Nothing ends, and the row of looks is broken: the next whole one is the first again."""
    found = reconcile(view(*peers), holding(state(), absent_since=ago(3600)), TERMS)
    assert (found.ended, found.absent, found.audible) == ((), {}, ())


@pytest.mark.parametrize("news", [{"told_at": ago(10)}, {}])
def test_news_after_the_first_look_begins_the_row_anew(news: dict[str, Any]) -> None:
    """A webhook of an Alertmanager that is not among those asked, or a new episode."""
    held = state() if news else state(changed_at=ago(10))
    found = reconcile(view(answer()), holding(held, absent_since=ago(60), **news), TERMS)
    assert (found.ended, found.absent) == ((), {PRINT: NOW})


def test_news_that_came_while_we_asked_wins() -> None:
    """The answer may be from before it."""
    found = reconcile(view(answer()), holding(state(changed_at=NOW), absent_since=ago(60)), TERMS)
    assert (found.ended, found.absent) == ((), {})


def test_an_alert_that_began_in_the_future_ends_all_the_same() -> None:
    """Its sender's clock is an hour ahead."""
    ahead = state(starts_at=NOW + timedelta(hours=1), changed_at=ago(600))
    (signal,) = reconcile(view(answer()), holding(ahead, absent_since=ago(60)), TERMS).ended
    assert signal.ends_at == ahead.starts_at


def test_an_alert_that_is_over_here_is_not_missed_there() -> None:
    """Nothing to end."""
    found = reconcile(view(answer()), holding(state(RESOLVED)), TERMS)
    assert (found.ended, found.absent) == ((), {})


def test_what_is_silenced_is_known_and_marked() -> None:
    """It fires, so we know of it; it is silenced, so nothing will be done."""
    found = reconcile(view(answer(silenced())), holding(), TERMS)
    assert [one.fingerprint for one in found.fires] == [PRINT]
    (hush,) = found.hushed
    assert (hush.how, hush.by, hush.since) == ("silenced", ("5e1f",), NOW)


def test_one_alertmanager_that_silences_is_enough() -> None:
    """Silences travel between them; until they have arrived everywhere, not acting is the safe side."""
    for peers in ((answer(sighting()), answer(silenced())), (answer(silenced()), answer(sighting()))):
        found = reconcile(view(*peers), holding(state(), hushed=(PRINT,)), TERMS)
        assert ([one.how for one in found.hushed], found.audible) == (["silenced"], ())


def test_silences_of_alerts_that_are_not_ours_are_not_kept() -> None:
    """Unless we know the alert: then its route has changed since."""
    foreign = silenced(receivers=("others",))
    terms = structs_terms(receivers=frozenset({"remediator"}))
    assert reconcile(view(answer(foreign)), holding(), terms).hushed == ()
    assert len(reconcile(view(answer(foreign)), holding(state()), terms).hushed) == 1


@pytest.mark.parametrize(
    ("peers", "audible"),
    [
        ((answer(sighting()),), (PRINT,)),
        ((answer(),), (PRINT,)),
        ((answer(sighting(), up_for_s=10.0),), ()),
        ((answer(sighting(disposition=Disposition.UNPROCESSED)),), ()),
        ((BROKEN,), ()),
        ((answer(), BROKEN), ()),
        ((answer(silenced()),), ()),
    ],
    ids=["active", "gone", "active after a start", "undecided", "no answer", "half an answer", "still silenced"],
)
def test_a_silence_is_over_when_somebody_says_so(peers: tuple[PeerAnswer, ...], audible: tuple[str, ...]) -> None:
    """An Alertmanager that was just started may not know its silences yet."""
    assert reconcile(view(*peers), holding(state(), hushed=(PRINT,)), TERMS).audible == audible


def test_the_alerts_of_a_view_are_those_of_all() -> None:
    """Which we then look up."""
    other = sighting(fingerprint="0" * 16)
    assert fingerprints(view(answer(sighting()), answer(other, sighting()))) == {PRINT, "0" * 16}


def structs_terms(**changes: Any) -> Any:
    """Return other terms."""
    given = {name: getattr(TERMS, name) for name in ("receivers", "grace_s", "settle_s", "apart_s")}
    return type(TERMS)(**{**given, **changes})


def test_merging_keeps_the_longest_firing() -> None:
    """One has begun to count later; and the receivers of both count."""
    young = structs.replace(sighting(since_s=10.0), receivers=("others",))
    found = reconcile(view(answer(young), answer(sighting())), holding(), TERMS)
    assert len(found.fires) == 1
