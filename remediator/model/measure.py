"""What Prometheus answers for a row of the threshold table, and how each of the row's series stands."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from remediator.model.signal import Labels

SOURCE = "prometheus/"
"""Before the name of a row: the source of its alerts."""


class Unseen(StrEnum):
    """Why nothing is known about a series or a row. Unknown is neither healthy nor sick."""

    EMPTY = "empty"
    NAN = "nan"
    INFINITE = "infinite"
    STALE = "stale"
    FUTURE = "future"
    DUPLICATE = "duplicate"
    WRONG_TYPE = "wrong_type"
    HISTOGRAM = "histogram"
    PARTIAL = "partial"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    CREDENTIALS = "credentials"
    FRESH = "fresh"
    UNLABELLED = "unlabelled"
    VANISHED = "vanished"


class Level(StrEnum):
    """How bad a firing series is: the ``severity`` of its alert."""

    WARNING = "warning"
    CRITICAL = "critical"


class Phase(StrEnum):
    """How a series stood when it was last seen."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"


class Sample(Struct, frozen=True, kw_only=True):
    """One series of an answer. ``value`` None: a native histogram. ``at``: Unix seconds of the sample, where known."""

    labels: Labels
    value: float | None
    at: float | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """One answer of Prometheus, read as far as it can be. ``problem``: why it says nothing as a whole."""

    problem: Unseen | None = None
    detail: str = ""
    samples: tuple[Sample, ...] = ()


class SeriesState(Struct, frozen=True, kw_only=True):
    """How a series stands. It survives restarts; nothing else has to.

    The timers are seconds for which something has been so at every look without a break that is known of; None: it was
    not so at the last look. ``over_s``: at or above warning; ``critical_s``: at or above critical; ``eased_s``: below
    critical; ``calm_s``: below the value of recovery. ``calm_since`` is when the last calm began, ``level_at`` when the
    level was last reached. ``unknown_since``: nothing is known since then (``unknown_why``), and all timers stand
    still; ``called``: people know that.
    """

    row: str
    fingerprint: str
    labels: Labels
    phase: Phase = Phase.OK
    level: Level | None = None
    value: float | None = None
    over_s: float | None = None
    critical_s: float | None = None
    eased_s: float | None = None
    calm_s: float | None = None
    fired_at: datetime | None = None
    level_at: datetime | None = None
    calm_since: datetime | None = None
    unknown_since: datetime | None = None
    unknown_why: str = ""
    called: bool = False

    @property
    def source(self) -> str:
        """Return the source of its alerts."""
        return SOURCE + self.row


class RowState(Struct, frozen=True, kw_only=True):
    """How a row stands. ``looked_at``: the last look; ``known_at``: the last one that was answered."""

    row: str
    looked_at: datetime
    known_at: datetime | None = None
    unknown_since: datetime | None = None
    unknown_why: str = ""
    called: bool = False


class Measure(Struct, frozen=True, kw_only=True):
    """How the series of an incident's alert stands, for the judgement of an action.

    ``calm_since``: back inside since then, None if it is not. ``unknown``: why nothing is known, "" if it is.
    """

    row: str
    phase: Phase
    level: Level | None
    level_at: datetime | None
    calm_since: datetime | None
    value: float | None
    unknown: str = ""
