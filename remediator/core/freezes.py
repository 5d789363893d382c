"""When a freeze is in force: calendar arithmetic with time zones, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from remediator.model.freeze import Freeze

REPEATED = timedelta(hours=1)
"""How much of a day comes twice at most when clocks are put back."""


def ends_at(freeze: Freeze, now: datetime) -> datetime | None:
    """Return when the freeze that is in force at ``now`` (aware) ends, None where none is in force.

    Where one occurrence begins before the one before it has ended, the later end counts.
    """
    if freeze.begins is not None and freeze.ends is not None:
        return freeze.ends if freeze.begins <= now < freeze.ends else None
    begun = _latest_begin(freeze, now)
    if begun is None:
        return None
    # The length is a time that passes, whatever the clocks on the wall do meanwhile.
    until = begun.astimezone(UTC) + timedelta(seconds=freeze.length_s)
    return until if now < until else None


def _latest_begin(freeze: Freeze, now: datetime) -> datetime | None:
    """Return the latest moment, ``now`` included, at which the cron expression was due."""
    zone = ZoneInfo(freeze.timezone)
    if not now.astimezone(zone).fold:
        return _due_before(freeze, now, zone)
    # An hour that comes twice: what was due in its first pass is behind us, though its clock may show a later time.
    before = now - REPEATED
    latest = _due_before(freeze, before, zone)
    for begun in CronSim(freeze.cron, before.astimezone(zone)):
        if begun.astimezone(UTC) > now:
            break
        latest = begun
    return latest


def _due_before(freeze: Freeze, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the latest moment at which the expression was due, by the clock on the wall."""
    # A step back is always to an earlier minute, so the search begins in the next one.
    after = now.astimezone(zone) + timedelta(minutes=1)
    for begun in CronSim(freeze.cron, after, reverse=True):
        if begun.astimezone(UTC) <= now:
            return begun
    return None
