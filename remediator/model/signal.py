"""What came in: one firing or resolved fact about one label set."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

Labels = dict[str, str]


class Status(StrEnum):
    """Alertmanager's two states of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Signal(Struct, frozen=True, kw_only=True):
    """One alert of a webhook, a series over its threshold, or an alert found by asking Alertmanager.

    ``fingerprint`` is the hash of the labels as Alertmanager makes it (16 hex digits), the same for every episode.
    ``ends_at`` is None while the alert fires. ``confirmed_at`` is the moment (by the database's clock) at which it was
    so, where we asked; None where it was posted to us, for what is posted may be an old story told once more. Times are
    aware, in UTC.
    """

    source: str
    fingerprint: str
    status: Status
    labels: Labels
    annotations: Labels
    starts_at: datetime
    ends_at: datetime | None = None
    generator_url: str = ""
    group_key: str = ""
    receiver: str = ""
    confirmed_at: datetime | None = None


class Quarantined(Struct, frozen=True, kw_only=True):
    """One alert of a good body that cannot be used; kept so that somebody can see it. ``raw`` is cut and scrubbed."""

    path: str
    reason: str
    raw: str


class Delivery(Struct, frozen=True, kw_only=True):
    """All that one request brought. ``truncated`` counts alerts that Alertmanager left out of the body."""

    source: str
    signals: tuple[Signal, ...]
    quarantined: tuple[Quarantined, ...] = ()
    truncated: int = 0
    group_key: str = ""
    receiver: str = ""


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of a delivery, after COMMIT: how many facts were new, and how many were known already."""

    new: int
    known: int
    quarantined: int


class StoredSignal(Struct, frozen=True, kw_only=True):
    """A signal as the inbox holds it. ``received_at`` and ``last_seen_at`` are the database's time."""

    id: int
    signal: Signal
    received_at: datetime
    last_seen_at: datetime


class AlertState(Struct, frozen=True, kw_only=True):
    """The present state of one fingerprint of one source, after all signals matched so far.

    A resolved one is a tombstone: a firing signal that started at or before ``ends_at`` comes too late, unless it was
    confirmed after ``changed_at``. ``changed_at`` is when we learned of the state, by the database's clock.
    """

    source: str
    fingerprint: str
    status: Status
    starts_at: datetime
    ends_at: datetime | None
    changed_at: datetime
    labels: Labels = field(default_factory=dict)
