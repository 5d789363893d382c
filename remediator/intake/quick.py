r"""The first reading of a body: typed, in C, for bodies that are exactly what Alertmanager sends.

It gives up (returns None) on anything else, and the exact reading takes over; it never guesses. Duplicate keys, which
the decoder would let pass, are found by counting: every key of a JSON object ends in ``":``, and so does nothing else
but a ``\":`` inside a string (counted, and taken off) and the opening of a string that begins with a colon. In a body
without white space before a colon the count is therefore never less than the number of keys written; if it equals the
number of keys decoded, no key stood twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from remediator.intake.alert import (
    MAX_ANNOTATION_CHARS,
    MAX_ANNOTATIONS,
    MAX_LABEL_CHARS,
    MAX_LABELS,
    MAX_TEXT_CHARS,
    Envelope,
)
from remediator.intake.fingerprint import is_fingerprint
from remediator.model.signal import Labels, Signal, Status

_Time = Annotated[datetime, Meta(tz=True)]
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL_CHARS)]
_LabelSet = Annotated[dict[_Name, Annotated[str, Meta(max_length=MAX_LABEL_CHARS)]], Meta(max_length=MAX_LABELS)]
_Annotations = Annotated[
    dict[_Name, Annotated[str, Meta(max_length=MAX_ANNOTATION_CHARS)]], Meta(max_length=MAX_ANNOTATIONS)
]
_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]


class QuickAlert(Struct, rename="camel"):
    """One alert with every key that Alertmanager gives it."""

    status: Status
    labels: _LabelSet
    annotations: _Annotations
    starts_at: _Time
    ends_at: _Time
    fingerprint: str
    generator_url: _Text = field(name="generatorURL")


class QuickBody(Struct, rename="camel"):
    """A whole body: the ten keys of every version 4, and the two that newer Alertmanagers add."""

    version: Literal["4"]
    group_key: str
    truncated_alerts: Annotated[int, Meta(ge=0, le=2**31)]
    receiver: str
    status: str
    group_labels: Labels
    common_labels: Labels
    common_annotations: Labels
    alerts: list[QuickAlert]
    external_url: str = field(name="externalURL")
    route_labels: Labels | UnsetType = UNSET
    notification_reason: str | UnsetType = field(name="notification_reason", default=UNSET)


_ALERT_KEYS = len(QuickAlert.__struct_fields__)
_BODY_KEYS = len(QuickBody.__struct_fields__) - 2
_DECODER = msgspec.json.Decoder(QuickBody)


def read(body: bytes) -> QuickBody | None:
    """Return the body, or None where it has to be read exactly."""
    # Tabs and line breaks stand in no string of a JSON text, so these are white space wherever they are.
    if b"\t" in body or b"\n" in body or b"\r" in body or b" :" in body:
        return None
    escaped = _escaped_quotes(body)
    if escaped is None:
        return None
    try:
        whole = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the exact reading says what is wrong, and where
    return whole if body.count(b'":') - escaped == _keys(whole) else None


def _escaped_quotes(body: bytes) -> int | None:
    r"""Count the ``\":`` of the body; None where a ``\u0000`` stands in it, which PostgreSQL cannot store."""
    pieces = iter(body.split(b"\\"))
    next(pieces)
    count = 0
    for piece in pieces:
        if not piece:
            next(pieces, None)  # an escaped backslash: what follows it is plain
        elif piece.startswith(b'":'):
            count += 1
        elif piece.startswith(b"u0000"):
            return None
    return count


def _keys(whole: QuickBody) -> int:
    alerts = whole.alerts
    keys = _BODY_KEYS + _ALERT_KEYS * len(alerts)
    keys += len(whole.group_labels) + len(whole.common_labels) + len(whole.common_annotations)
    if whole.route_labels is not UNSET:
        keys += 1 + len(whole.route_labels)
    if whole.notification_reason is not UNSET:
        keys += 1
    for alert in alerts:
        keys += len(alert.labels) + len(alert.annotations)
    return keys


def signal(alert: QuickAlert, envelope: Envelope) -> Signal | None:
    """Return the signal that the alert means, or None where the exact check has to look at it."""
    labels = alert.labels
    starts_at = alert.starts_at
    if starts_at.tzinfo is not UTC:
        return None
    if not (
        labels.get("alertname")
        and envelope.earliest <= starts_at <= envelope.latest
        and is_fingerprint(alert.fingerprint)
    ):
        return None
    ends_at = None
    if alert.status is Status.RESOLVED:
        ends_at = alert.ends_at
        if ends_at.tzinfo is not UTC or not starts_at <= ends_at <= envelope.received_at:
            return None
    return Signal(
        source=envelope.source,
        fingerprint=alert.fingerprint,
        status=alert.status,
        labels=labels,
        annotations=alert.annotations,
        starts_at=starts_at,
        ends_at=ends_at,
        generator_url=alert.generator_url,
        group_key=envelope.group_key,
        receiver=envelope.receiver,
    )
