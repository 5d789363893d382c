"""What is silenced or inhibited is left alone, whatever else might be said of it; and it is looked at again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import structs

from remediator.core import record
from remediator.core.admit import admit
from remediator.core.hush import JOINED_RETRY_S, RETRY_S
from remediator.model.decision import Act, Hold, HoldReason
from remediator.model.facts import Facts
from remediator.model.incident import Cause
from remediator.model.policy import Policy
from remediator.model.rule import RateLimit
from remediator.model.sighting import Hush
from tests.core import given as g
from tests.core.test_admit import WIDE, batch, item, law, reasons, rule


def hush(how: str = "silenced") -> Hush:
    """Return a silence of two minutes."""
    since = g.NOW - timedelta(minutes=2)
    return Hush(source="am", fingerprint="0" * 16, how=how, by=("5e1f",), since=since)


@pytest.mark.parametrize(
    ("how", "words"), [("silenced", "silenced by the silence 5e1f"), ("inhibited", "inhibited by the alert 5e1f")]
)
def test_nothing_is_done_about_it(how: str, words: str) -> None:
    """With who did it, and for how long; no incident is made of it, and nobody is called."""
    under = law(rule())
    (ruling,) = admit(batch(item(1), under=under, hushed={1: hush(how)}), under)
    assert reasons(ruling) == {HoldReason(how)}
    assert isinstance(ruling.decision, Hold)
    (refusal,) = ruling.decision.refusals
    assert refusal.message == f"the alert is {words} in Alertmanager, for 2 min by now; nothing is done about it"
    assert ruling.decision.retry_at == g.NOW + timedelta(seconds=RETRY_S)
    assert not record.opens_incident(ruling.decision)
    assert not record.needs_people(ruling.decision)


def test_a_ladder_waits_and_looks_again_sooner() -> None:
    """Another alert, that nobody has silenced, may join its incident."""
    under = law(rule())
    climbing = item(1, cause=Cause.NEXT_RUNG, incident=7, rung=0)
    (ruling,) = admit(batch(climbing, under=under, hushed={1: hush()}), under)
    assert isinstance(ruling.decision, Hold)
    assert ruling.decision.retry_at == g.NOW + timedelta(seconds=JOINED_RETRY_S)


def test_an_alert_whose_target_is_not_found_is_left_alone_too() -> None:
    """Else people would be called for what people have silenced."""
    under = law(rule())
    lost = structs.replace(item(1), facts=Facts(read_at=g.NOW, problem="target_not_found"))
    (ruling,) = admit(batch(lost, under=under, hushed={1: hush()}), under)
    assert reasons(ruling) == {HoldReason.SILENCED}


def test_what_is_over_is_over() -> None:
    """Not held for a silence that does not matter any more."""
    under = law(rule())
    (ruling,) = admit(batch(item(1), under=under, hushed={1: hush()}, firing={1: False}), under)
    assert reasons(ruling) == {HoldReason.NOT_FIRING}


def test_silenced_alerts_make_no_storm() -> None:
    """Ten of them wait and are asked about again and again; the one that nobody has silenced is acted on."""
    policy = structs.replace(WIDE, storm=RateLimit(count=3, window_s=120))
    assert isinstance(policy, Policy)
    under = law(rule(), policy=policy)
    items = [item(number, name=f"app-{number}") for number in range(1, 11)]
    rulings = admit(batch(*items, under=under, hushed={number: hush() for number in range(2, 11)}), under)
    acted = [one.assessed.candidate.id for one in rulings if isinstance(one.decision, Act)]
    assert acted == [1]
