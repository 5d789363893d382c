"""What Alertmanager answers when it is asked (API v2) to sightings of alerts.

The same checks, caps and masks as for what it posts, so that an alert is the same one by whichever way it comes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from remediator.intake.alert import (
    FUTURE,
    MAX_LABEL_CHARS,
    MAX_TEXT_CHARS,
    PAST,
    BadAlert,
    Envelope,
    check,
    cut,
    plain_text,
)
from remediator.intake.alertmanager import without_its_secrets
from remediator.intake.fingerprint import fingerprint, is_fingerprint
from remediator.intake.scrub import may_hold_secrets, without_secrets
from remediator.model.errors import SignalRejected
from remediator.model.sighting import Disposition, Reading, Running, Sighting
from remediator.model.signal import Labels

MAX_ALERTS = 20_000
"""Alerts of one answer; an answer with more is not whole."""
MAX_NAMES = 20
"""How many silences, inhibiting alerts or receivers of one alert are kept."""


class _Status(Struct):
    state: str
    silenced_by: list[str] = field(name="silencedBy", default_factory=list)
    inhibited_by: list[str] = field(name="inhibitedBy", default_factory=list)


class _Receiver(Struct):
    name: str


class _Rest(Struct):
    """What an answer says of an alert beyond what a webhook says."""

    status: _Status
    updated_at: datetime = field(name="updatedAt")
    receivers: list[_Receiver] = field(default_factory=list)


class _Cluster(Struct):
    status: str


class _Whole(Struct):
    uptime: datetime
    cluster: _Cluster


_alerts = msgspec.json.Decoder(list[Any])
_running = msgspec.json.Decoder(_Whole)


def read_alerts(body: bytes, source: str, at: datetime) -> Reading:
    """Read the answer to ``/api/v2/alerts``, given at ``at`` by the clock of who answers.

    An alert that cannot be used is left out, and named where it has a fingerprint. Raises SignalRejected where the
    answer is no list of alerts.
    """
    try:
        found = _alerts.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SignalRejected("$", f"expected a list of alerts: {cut(str(error), 200)}") from error
    envelope = Envelope(
        source=source, group_key="", receiver="", received_at=at, earliest=at - PAST, latest=at + FUTURE
    )
    masks = may_hold_secrets(body)
    sightings: list[Sighting] = []
    unreadable: set[str] = set()
    whole = len(found) <= MAX_ALERTS
    for alert in found[:MAX_ALERTS]:
        try:
            sightings.append(_sighting(alert, envelope, masks=masks))
        except BadAlert:
            named = alert.get("fingerprint") if isinstance(alert, dict) else None
            if isinstance(named, str) and is_fingerprint(named):
                unreadable.add(named)
            else:
                whole = False
    return Reading(sightings=tuple(sightings), unreadable=frozenset(unreadable), whole=whole)


def read_status(body: bytes) -> Running:
    """Read the answer to ``/api/v2/status``. Raises SignalRejected where it is none."""
    try:
        said = _running.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SignalRejected("$", f"expected Alertmanager's status: {cut(str(error), 200)}") from error
    if said.uptime.tzinfo is None:
        raise SignalRejected("$.uptime", "the time has no zone")
    return Running(since=said.uptime.astimezone(UTC), settled=said.cluster.status in ("ready", "disabled"))


def read_labels(labels: Labels) -> tuple[str, Labels]:
    """Return the fingerprint of a series' labels, and the labels as they may be kept."""
    kept = {name: cut(plain_text(without_secrets(value)), MAX_LABEL_CHARS) for name, value in labels.items()}
    return fingerprint(labels), kept


def _sighting(alert: Any, envelope: Envelope, *, masks: bool) -> Sighting:
    rest = _rest(alert)
    signal = check({**alert, "status": "firing"}, envelope)
    how, by = _disposition(rest.status)
    return Sighting(
        signal=without_its_secrets(signal) if masks else signal,
        disposition=how,
        by=tuple(cut(plain_text(name), MAX_TEXT_CHARS) for name in by[:MAX_NAMES]),
        receivers=tuple(cut(plain_text(one.name), MAX_TEXT_CHARS) for one in rest.receivers[:MAX_NAMES]),
        updated_ago_s=(envelope.received_at - rest.updated_at).total_seconds(),
        firing_for_s=(envelope.received_at - signal.starts_at).total_seconds(),
    )


def _rest(alert: Any) -> _Rest:
    try:
        rest = msgspec.convert(alert, _Rest)
    except msgspec.ValidationError as error:
        raise BadAlert("", cut(str(error), 200)) from error
    if rest.updated_at.tzinfo is None:
        raise BadAlert(".updatedAt", "the time has no zone")
    return rest


def _disposition(status: _Status) -> tuple[Disposition, list[str]]:
    if status.silenced_by:
        return Disposition.SILENCED, status.silenced_by
    if status.inhibited_by:
        return Disposition.INHIBITED, status.inhibited_by
    if status.state == Disposition.ACTIVE:
        return Disposition.ACTIVE, []
    # Suppressed by nobody, or a word that a newer Alertmanager has: nobody knows whether people want it looked at.
    return Disposition.UNPROCESSED, []
