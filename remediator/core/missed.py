"""What fired and ended while nobody listened: history held against what we know of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.sighting import Episode, Gap, KnownAlert
from remediator.model.signal import Labels, Status

SLACK = timedelta(minutes=5)
"""How far apart the same episode may lie by Prometheus's samples and by what it sent."""
NAMED = 20
"""How many alerts a message to people names."""


def missed(episodes: Iterable[Episode], known: Sequence[KnownAlert], begin: datetime) -> tuple[Episode, ...]:
    """Return the episodes that ended after ``begin``, do not go on, and of which we have never heard."""
    return tuple(
        one for one in episodes if one.over and one.ended_at >= begin and not any(_is(held, one) for held in known)
    )


def message(gap: Gap, found: Sequence[Episode]) -> str:
    """Return what people are told of a gap in which something was missed."""
    names = ", ".join(name_of(one.labels) for one in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    away = span((gap.to_at - gap.from_at).total_seconds())
    return (
        f"nobody listened for {away} from {gap.from_at:%Y-%m-%d %H:%M:%S} UTC; {_count(found)} fired and ended"
        f" in that time: {names}{more}; nothing was done about them"
    )


def _count(found: Sequence[Episode]) -> str:
    return "1 alert" if len(found) == 1 else f"{len(found)} alerts"


def summary(one: Episode) -> str:
    """Return what the ledger says of one missed episode."""
    lasted = span((one.ended_at - one.began_at).total_seconds())
    return (
        f"{name_of(one.labels)} fired for about {lasted} from {one.began_at:%H:%M:%S} UTC while nobody listened, says"
        " Prometheus; it is over, and nothing was done"
    )


def name_of(labels: Labels) -> str:
    """Return the alert's name, and the namespace that it is about."""
    name = labels.get("alertname") or "(alert without a name)"
    namespace = labels.get("namespace")
    return f"{name} ({namespace})" if namespace else name


def _is(held: KnownAlert, one: Episode) -> bool:
    """Tell whether an alert that we know is this episode: it may have been sent with more labels than the series."""
    state = held.state
    if not one.labels.items() <= state.labels.items() or state.starts_at > one.ended_at + SLACK:
        return False
    return state.status is Status.FIRING or state.ends_at is None or state.ends_at >= one.began_at - SLACK
