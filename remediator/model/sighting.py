"""What was seen when the monitoring was asked: alerts in Alertmanager, and what became of them while we were away."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from remediator.model.signal import AlertState, Labels, Signal


class Disposition(StrEnum):
    """Whether Alertmanager tells people of an alert. ``unprocessed``: it has not made up its mind yet."""

    ACTIVE = "active"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    UNPROCESSED = "unprocessed"


class Sighting(Struct, frozen=True, kw_only=True):
    """One firing alert in one Alertmanager.

    ``updated_ago_s``: so long ago Prometheus last told it that the alert fires; ``firing_for_s``: so long it has been
    firing; both by that Alertmanager's own clock. ``by`` are the silences, or the alerts that inhibit it. ``receivers``
    are those that its routes lead to.
    """

    signal: Signal
    disposition: Disposition
    by: tuple[str, ...]
    receivers: tuple[str, ...]
    updated_ago_s: float
    firing_for_s: float


class Reading(Struct, frozen=True, kw_only=True):
    """What could be read of the alerts that one Alertmanager has; see ``PeerAnswer``."""

    sightings: tuple[Sighting, ...]
    unreadable: frozenset[str] = frozenset()
    whole: bool = True


class Running(Struct, frozen=True, kw_only=True):
    """Since when an Alertmanager has been running, and whether its gossip has settled."""

    since: datetime
    settled: bool


class PeerAnswer(Struct, frozen=True, kw_only=True):
    """What one Alertmanager answered. ``problem`` says why there is no answer ("" where there is one).

    ``up_for_s``: how long it has been running. ``settled``: its gossip with its peers has. ``unreadable`` are the
    fingerprints of alerts that it has and that cannot be used; ``whole``: nothing else of its answer was left out.
    """

    peer: str
    problem: str = ""
    sightings: tuple[Sighting, ...] = ()
    up_for_s: float = 0.0
    settled: bool = False
    unreadable: frozenset[str] = frozenset()
    whole: bool = True


class View(Struct, frozen=True, kw_only=True):
    """What all Alertmanagers of one source answered in one round that began at ``asked_at`` (the database's clock)."""

    source: str
    asked_at: datetime
    answers: tuple[PeerAnswer, ...]


class Hush(Struct, frozen=True, kw_only=True):
    """A firing alert that people, or another alert, have silenced: ``how`` is ``silenced`` or ``inhibited``."""

    source: str
    fingerprint: str
    how: str
    by: tuple[str, ...]
    since: datetime


class KnownAlert(Struct, frozen=True, kw_only=True):
    """What we hold of an alert.

    ``told_at``: when we were last told that it fires. ``absent_since``: when it was first found to be gone from
    Alertmanager, in an unbroken row of whole answers.
    """

    state: AlertState
    told_at: datetime | None = None
    absent_since: datetime | None = None


class Holdings(Struct, frozen=True, kw_only=True):
    """What we hold of one source: alerts by fingerprint, and which were silenced or inhibited at the last look."""

    alerts: dict[str, KnownAlert]
    hushed: frozenset[str] = frozenset()


class Episode(Struct, frozen=True, kw_only=True):
    """From when to when a series of Prometheus says that an alert fired. ``over``: it does not fire any more.

    ``fingerprint`` is that of the series' labels; what is sent to Alertmanager may have more of them.
    """

    fingerprint: str
    labels: Labels
    began_at: datetime
    ended_at: datetime
    over: bool


class Gap(Struct, frozen=True, kw_only=True):
    """A time in which no replica was at work. ``tries`` counts how often its history was asked for."""

    id: int
    from_at: datetime
    to_at: datetime
    tries: int = 0
