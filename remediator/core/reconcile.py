"""Level against edge: what Alertmanager has is held against what we believe, and the difference becomes signals.

A webhook is told once and may be lost, cut off or never sent (what is silenced is not told, nor that it has ended). So
now and then all of it is asked for. What is found is believed with care: that an alert fires, on the word of any one
Alertmanager; that it fires no more, only when all of them have said so twice in a row, each having run long enough for
Prometheus to have told it everything again. Who gives no answer says nothing, and nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import structs

from remediator.core.signals import BEGINS, transition
from remediator.model.sighting import Disposition, Holdings, Hush, KnownAlert, PeerAnswer, Sighting, View
from remediator.model.signal import AlertState, Signal, Status, StoredSignal

DATE_TICK_S = 1.0
"""How much younger a sighting may be than an Alertmanager's clock says: the header that tells its time has seconds."""

_SUPPRESSED = frozenset({Disposition.SILENCED, Disposition.INHIBITED})
_ORDER = (Disposition.SILENCED, Disposition.INHIBITED, Disposition.ACTIVE, Disposition.UNPROCESSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How much care is taken; spans in seconds.

    ``receivers``: only alerts that are routed to one of these are taken (empty: all). ``grace_s``: an alert must have
    fired for so long, for inhibitions and a first webhook have to arrive as well. ``settle_s``: what an Alertmanager
    does not have counts from so long after its start. ``apart_s``: so far apart two looks must be to count as two.
    """

    receivers: frozenset[str]
    grace_s: float
    settle_s: float
    apart_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look comes to.

    ``fires``: signals of alerts that fire and of which we did not know it. ``ended``: signals of alerts that are gone.
    ``absent``: since when the alerts that are gone, but not for sure, have been missing; all others are there, or
    nothing is known of them. ``hushed``: firing alerts that are silenced or inhibited; ``audible``: fingerprints of
    those that were so and are not any more. ``whole``: what was missing counted.
    """

    fires: tuple[Signal, ...]
    ended: tuple[Signal, ...]
    absent: Mapping[str, datetime]
    hushed: tuple[Hush, ...]
    audible: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One alert as all Alertmanagers together have it. ``sure``: one that is settled has said that it is not quiet."""

    sighting: Sighting
    sure: bool


def fingerprints(view: View) -> frozenset[str]:
    """Return the alerts that somebody has."""
    return frozenset(one.signal.fingerprint for answer in view.answers for one in answer.sightings)


def reconcile(view: View, held: Holdings, terms: Terms) -> Findings:
    """Compare. ``held`` has what fires here, and what we know of the alerts in the view."""
    known = held.alerts
    seen = _together(view.answers, terms)
    whole = bool(view.answers) and all(_counts(answer, terms) for answer in view.answers)
    unreadable = frozenset(one for answer in view.answers for one in answer.unreadable)
    missing = [one for key, one in known.items() if whole and key not in seen and key not in unreadable and _fires(one)]
    absent = {one.state.fingerprint: since for one in missing if (since := _absent_since(one, view)) is not None}
    ended = {key: since for key, since in absent.items() if _apart(view.asked_at, since) >= terms.apart_s}
    return Findings(
        fires=tuple(_news(seen.values(), known, view, terms)),
        ended=tuple(_gone(known[key].state, since, view.asked_at) for key, since in ended.items()),
        absent={key: since for key, since in absent.items() if key not in ended},
        hushed=tuple(_hush(one.sighting, view.asked_at) for one in seen.values() if _is_quiet(one, known, terms)),
        audible=tuple(sorted(key for key in held.hushed if _is_heard(seen.get(key), whole))),
        whole=whole,
    )


def _together(answers: Iterable[PeerAnswer], terms: Terms) -> dict[str, _Seen]:
    """Merge the sightings of all peers by fingerprint: silent if one says so, else as the surest of them says."""
    seen: dict[str, _Seen] = {}
    for answer in answers:
        sure = answer.settled and answer.up_for_s >= terms.grace_s
        for sighting in answer.sightings:
            key = sighting.signal.fingerprint
            one = _Seen(sighting=sighting, sure=sure)
            seen[key] = _merged(seen[key], one) if key in seen else one
    return seen


def _merged(one: _Seen, other: _Seen) -> _Seen:
    first, second = sorted((one.sighting, other.sighting), key=lambda found: _ORDER.index(found.disposition))
    latest = min(first.updated_ago_s, second.updated_ago_s)
    longest = max(first.firing_for_s, second.firing_for_s)
    receivers = tuple(dict.fromkeys((*first.receivers, *second.receivers)))
    merged = structs.replace(first, updated_ago_s=latest, firing_for_s=longest, receivers=receivers)
    return _Seen(sighting=merged, sure=one.sure or other.sure)


def _counts(answer: PeerAnswer, terms: Terms) -> bool:
    """Tell whether what this Alertmanager does not have can be taken for gone."""
    return not answer.problem and answer.whole and answer.settled and answer.up_for_s >= terms.settle_s


def _fires(one: KnownAlert) -> bool:
    return one.state.status is Status.FIRING


def _news(seen: Iterable[_Seen], known: Mapping[str, KnownAlert], view: View, terms: Terms) -> Iterable[Signal]:
    """Yield what fires and is not known to; whatever would change nothing is left out."""
    for one in seen:
        sighting = one.sighting
        if not _is_ours(sighting, terms) or sighting.disposition is Disposition.UNPROCESSED:
            continue
        if not one.sure or sighting.firing_for_s < terms.grace_s:
            continue
        # As of when it is known to fire: an Alertmanager that Prometheus cannot reach shows alerts that are over.
        at = view.asked_at - timedelta(seconds=max(0.0, sighting.updated_ago_s) + DATE_TICK_S)
        signal = structs.replace(sighting.signal, confirmed_at=at)
        before = known.get(signal.fingerprint)
        stored = StoredSignal(id=0, signal=signal, received_at=view.asked_at, last_seen_at=view.asked_at)
        if transition(stored, before.state if before else None).change in BEGINS:
            yield signal


def _absent_since(one: KnownAlert, view: View) -> datetime | None:
    """Return since when an alert that fires here has been missing there; None: our news of it is newer than theirs."""
    news = max(one.state.changed_at, one.told_at or one.state.changed_at)
    if news >= view.asked_at:
        return None
    if one.absent_since is None or news >= one.absent_since:
        return view.asked_at
    return one.absent_since


def _apart(now: datetime, since: datetime) -> float:
    return (now - since).total_seconds() if since < now else -1.0


def _gone(state: AlertState, since: datetime, asked_at: datetime) -> Signal:
    return Signal(
        source=state.source,
        fingerprint=state.fingerprint,
        status=Status.RESOLVED,
        labels=state.labels,
        annotations={},
        starts_at=state.starts_at,
        # Never before the start: where the sender's clock is ahead, the alert has to end all the same.
        ends_at=max(since, state.starts_at),
        confirmed_at=asked_at,
    )


def _is_ours(sighting: Sighting, terms: Terms) -> bool:
    return not terms.receivers or not terms.receivers.isdisjoint(sighting.receivers)


def _is_quiet(one: _Seen, known: Mapping[str, KnownAlert], terms: Terms) -> bool:
    """Tell whether an alert that concerns us is silenced or inhibited."""
    concerns = one.sighting.signal.fingerprint in known or _is_ours(one.sighting, terms)
    return concerns and one.sighting.disposition in _SUPPRESSED


def _is_heard(one: _Seen | None, whole: bool) -> bool:  # noqa: FBT001 - of this file alone
    """Tell whether an alert that was quiet is so no more: it is active for sure, or gone for sure."""
    if one is None:
        return whole
    return one.sure and one.sighting.disposition is Disposition.ACTIVE


def _hush(sighting: Sighting, at: datetime) -> Hush:
    signal = sighting.signal
    how = sighting.disposition.value
    return Hush(source=signal.source, fingerprint=signal.fingerprint, how=how, by=sighting.by, since=at)
