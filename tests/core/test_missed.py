"""What fired and ended while nobody listened: only what nobody has heard of."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from remediator.core import missed
from remediator.model.sighting import Episode, Gap, KnownAlert
from remediator.model.signal import AlertState, Status
from tests.core.views import NOW, ago, state

LABELS = {"alertname": "BackstageDown", "namespace": "backstage"}


def episode(**changes: Any) -> Episode:
    """Return an episode of ten minutes that ended five minutes ago."""
    plain = Episode(fingerprint="0" * 16, labels=LABELS, began_at=ago(900), ended_at=ago(300), over=True)
    return structs.replace(plain, **changes)


def known(*states: AlertState) -> tuple[KnownAlert, ...]:
    """Return what we hold."""
    return tuple(KnownAlert(state=one) for one in states)


def test_an_episode_that_nobody_has_heard_of_was_missed() -> None:
    """And no other."""
    assert missed.missed([episode()], (), ago(1000)) == (episode(),)


@pytest.mark.parametrize(
    "one", [episode(over=False), episode(ended_at=ago(1100), began_at=ago(1200))], ids=["goes on", "before the gap"]
)
def test_what_was_not_missed(one: Episode) -> None:
    """What fires on is Alertmanager's to tell; what ended before the gap was told."""
    assert missed.missed([one], (), ago(1000)) == ()


@pytest.mark.parametrize(
    ("held", "heard"),
    [
        (state(Status.FIRING, began_s=900, labels=LABELS), True),
        (state(Status.FIRING, began_s=900, labels=LABELS | {"cluster": "prod"}), True),
        (state(Status.RESOLVED, began_s=900, ended_s=300, labels=LABELS), True),
        (state(Status.RESOLVED, began_s=5000, ended_s=4000, labels=LABELS), False),
        (state(Status.FIRING, began_s=-60, labels=LABELS), False),
        (state(Status.FIRING, began_s=900, labels={"alertname": "BackstageDown"}), False),
        (state(Status.FIRING, began_s=900, labels=LABELS | {"namespace": "dev-portal"}), False),
    ],
    ids=["fires", "with an external label", "ended", "ended long before", "a later one", "fewer labels", "another"],
)
def test_what_we_have_heard_of(held: AlertState, heard: bool) -> None:
    """The same labels, more perhaps, and times that touch."""
    assert (missed.missed([episode()], known(held), ago(1000)) == ()) is heard


def test_people_are_told_in_one_sentence() -> None:
    """With the time, the number and the names; twenty of them at most."""
    gap = Gap(id=1, from_at=ago(1000), to_at=ago(100))
    assert missed.message(gap, [episode()]) == (
        "nobody listened for 15 min from 2026-03-14 02:43:20 UTC; 1 alert fired and ended in that time:"
        " BackstageDown (backstage); nothing was done about them"
    )
    many = [episode(labels={"alertname": f"A{number}"}) for number in range(25)]
    assert " A19 and 5 more; " in missed.message(gap, many)


def test_the_ledger_says_when_and_how_long() -> None:
    """About, for there is a sample only now and then."""
    assert missed.summary(episode()) == (
        "BackstageDown (backstage) fired for about 10 min from 02:45:00 UTC while nobody listened, says Prometheus; it"
        " is over, and nothing was done"
    )
    assert missed.name_of({}) == "(alert without a name)"
    assert NOW - timedelta(seconds=900) == episode().began_at
