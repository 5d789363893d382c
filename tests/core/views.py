"""What Alertmanagers answer, for the tests of what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from remediator.core.reconcile import Terms
from remediator.model.sighting import Disposition, Holdings, KnownAlert, PeerAnswer, Sighting, View
from remediator.model.signal import AlertState, Signal, Status

NOW = datetime(2026, 3, 14, 3, 0, 0, tzinfo=UTC)
TERMS = Terms(receivers=frozenset(), grace_s=30.0, settle_s=300.0, apart_s=30.0)
PRINT = "f" * 16


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds before now."""
    return NOW - timedelta(seconds=seconds)


def sighting(fingerprint: str = PRINT, since_s: float = 600.0, **changes: Any) -> Sighting:
    """Return an active alert that has been firing for so long, of which Prometheus told half a minute ago."""
    signal = Signal(
        source="am",
        fingerprint=fingerprint,
        status=Status.FIRING,
        labels={"alertname": "BackstageDown"},
        annotations={},
        starts_at=ago(since_s),
    )
    plain = Sighting(
        signal=signal,
        disposition=Disposition.ACTIVE,
        by=(),
        receivers=("remediator",),
        updated_ago_s=30.0,
        firing_for_s=since_s,
    )
    return structs.replace(plain, **changes)


def answer(*sightings: Sighting, **changes: Any) -> PeerAnswer:
    """Return the answer of an Alertmanager that has been running for a day."""
    plain = PeerAnswer(peer="http://am-0:9093", sightings=sightings, up_for_s=86400.0, settled=True)
    return structs.replace(plain, **changes)


def view(*answers: PeerAnswer) -> View:
    """Return what all of them answered now."""
    return View(source="am", asked_at=NOW, answers=answers)


def state(status: Status = Status.FIRING, began_s: float = 600.0, ended_s: float = 60.0, **changes: Any) -> AlertState:
    """Return what we believe of the alert: that it fires, or that it ended so many seconds ago."""
    over = status is Status.RESOLVED
    plain = AlertState(
        source="am",
        fingerprint=PRINT,
        status=status,
        starts_at=ago(began_s),
        ends_at=ago(ended_s) if over else None,
        changed_at=ago(ended_s if over else began_s),
        labels={"alertname": "BackstageDown"},
    )
    return structs.replace(plain, **changes)


def holding(*states: AlertState, hushed: tuple[str, ...] = (), **known: Any) -> Holdings:
    """Return holdings of these states; ``known`` goes to each of them."""
    return Holdings(
        alerts={one.fingerprint: KnownAlert(state=one, **known) for one in states}, hushed=frozenset(hushed)
    )
