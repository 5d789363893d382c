"""Alertmanager's webhook body (version 4) to a delivery of signals.

A body is read quickly when it is exactly what Alertmanager sends (``quick.py``), and exactly otherwise: then a bad
alert is put into quarantine alone, with its place and the reason, and the others are taken. Only a body that is
garbage as a whole is rejected, for Alertmanager gives up on the whole group at the first 4xx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import structs

from remediator import redaction
from remediator.intake import quick
from remediator.intake.alert import (
    FUTURE,
    MAX_TEXT_CHARS,
    PAST,
    BadAlert,
    Envelope,
    check,
    cut,
    kind_of,
    place,
    plain_text,
)
from remediator.intake.fingerprint import fingerprint
from remediator.intake.scrub import (
    annotations_without_secrets,
    labels_without_secrets,
    link_without_secrets,
    may_hold_secrets,
    scrub,
    without_secrets,
)
from remediator.intake.strict_json import Doubled, decode
from remediator.model.errors import SignalRejected
from remediator.model.signal import Delivery, Quarantined, Signal

MAX_ALERTS = 10_000
"""Alerts of one body; what goes beyond is counted as left out."""
MAX_QUARANTINED = 100
"""Alerts of one body that are kept in quarantine one by one; the rest is one entry with their number."""
RAW_CHARS = 2048
"""How much of a quarantined alert is kept."""

_VERSION = "4"
_MAX_TRUNCATED = 2**31
_QUOTED_META = re.compile(r"\\([\\.+*?()|\[\]{}^$])")


def parse(body: bytes, *, source: str, received_at: datetime) -> Delivery:
    """Read one webhook body that came from ``source`` at ``received_at`` (aware, local clock).

    Raises SignalRejected where nothing of it can be used. Never any other exception, whatever the bytes. Secrets in
    labels, annotations, links and the group's key are taken out: from here on everything is kept, told or shown.
    """
    delivery = _read(body, source, received_at.astimezone(UTC))
    return _without_secrets(delivery) if may_hold_secrets(body) else delivery


def _without_secrets(delivery: Delivery) -> Delivery:
    """Hide what looks like a credential. The fingerprint stays that of the labels as they were sent."""
    whole = {"group_key": without_secrets(delivery.group_key), "receiver": without_secrets(delivery.receiver)}
    signals = tuple(structs.replace(without_its_secrets(one), **whole) for one in delivery.signals)
    aside = tuple(
        structs.replace(bad, path=without_secrets(bad.path), reason=without_secrets(bad.reason))
        for bad in delivery.quarantined
    )
    return structs.replace(delivery, signals=signals, quarantined=aside, **whole)


def without_its_secrets(signal: Signal) -> Signal:
    """Hide what looks like a credential in labels, annotations and link."""
    return structs.replace(
        signal,
        labels=labels_without_secrets(signal.labels),
        annotations=annotations_without_secrets(signal.annotations),
        generator_url=link_without_secrets(signal.generator_url),
    )


def _read(body: bytes, source: str, received_at: datetime) -> Delivery:
    whole = quick.read(body)
    if whole is None:
        return _parse_exactly(decode(body), source, received_at)
    envelope = _envelope(source, received_at, whole.group_key, whole.receiver)
    read = [quick.signal(alert, envelope) for alert in whole.alerts[:MAX_ALERTS]]
    signals = tuple(found for found in read if found is not None)
    if len(signals) == len(whole.alerts) == len({found.fingerprint for found in signals}):
        return _delivery(envelope, signals, (), whole.truncated_alerts)
    return _check_each([msgspec.to_builtins(alert) for alert in whole.alerts], envelope, whole.truncated_alerts)


def unquote_meta(text: str) -> str:
    r"""Return a receiver's name as it was configured: Alertmanager sends ``web\.hook`` for ``web.hook``."""
    return _QUOTED_META.sub(r"\1", text) if "\\" in text else text


def _parse_exactly(document: Any, source: str, received_at: datetime) -> Delivery:
    whole = _whole(document)
    alerts = whole.get("alerts")
    if not isinstance(alerts, list):
        raise SignalRejected("$.alerts", f"expected an array of alerts, got {_found(whole, 'alerts')}")
    envelope = _envelope(source, received_at, _text(whole, "groupKey"), _text(whole, "receiver"))
    return _check_each(alerts, envelope, _truncated(whole))


def _whole(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise SignalRejected("$", f"expected an object, got {kind_of(document)}")
    if isinstance(document, Doubled):
        raise SignalRejected(place("$", document.name), "the key stands twice; nobody can know which value was meant")
    version = document.get("version")
    if version != _VERSION:
        shown = json.dumps(cut(version, 20)) if isinstance(version, str) else _found(document, "version")
        raise SignalRejected("$.version", f'expected "4", as Alertmanager\'s webhook sends, got {shown}')
    return document


def _found(whole: dict[str, Any], name: str) -> str:
    return kind_of(whole[name]) if name in whole else "nothing"


def _text(whole: dict[str, Any], name: str) -> str:
    value = whole.get(name, "")
    if not isinstance(value, str):
        raise SignalRejected(f"$.{name}", f"expected a string, got {kind_of(value)}")
    return value


def _truncated(whole: dict[str, Any]) -> int:
    value = whole.get("truncatedAlerts", 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_TRUNCATED:
        shown = str(value) if isinstance(value, int) and not isinstance(value, bool) else kind_of(value)
        raise SignalRejected("$.truncatedAlerts", f"expected a number of alerts, got {shown}")
    return value


def _envelope(source: str, received_at: datetime, group_key: str, receiver: str) -> Envelope:
    return Envelope(
        source=source,
        group_key=cut(plain_text(group_key), MAX_TEXT_CHARS),
        receiver=cut(plain_text(unquote_meta(receiver)), MAX_TEXT_CHARS),
        received_at=received_at,
        earliest=received_at - PAST,
        latest=received_at + FUTURE,
    )


def _check_each(alerts: Sequence[Any], envelope: Envelope, truncated: int) -> Delivery:
    signals: list[Signal] = []
    bad: list[Quarantined] = []
    refused = 0
    for index, alert in enumerate(alerts[:MAX_ALERTS]):
        try:
            signals.append(check(alert, envelope))
        except BadAlert as error:
            refused += 1
            if len(bad) < MAX_QUARANTINED:
                raw = scrub(_spelt(redaction.tree(alert)), RAW_CHARS)
                bad.append(Quarantined(path=f"$.alerts[{index}]{error.path}", reason=error.reason, raw=raw))
    if refused > len(bad):
        bad.append(_summary("$.alerts", f"{refused - len(bad)} more alerts of this body are bad too"))
    beyond = max(0, len(alerts) - MAX_ALERTS)
    if beyond:
        reason = f"{beyond} alerts beyond the first {MAX_ALERTS} were not read; lower max_alerts in Alertmanager"
        bad.append(_summary(f"$.alerts[{MAX_ALERTS}:]", reason))
    return _delivery(envelope, _distinct(signals), tuple(bad), truncated + beyond)


def _summary(path: str, reason: str) -> Quarantined:
    return Quarantined(path=path, reason=reason, raw="")


def _distinct(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    """Keep one of what stands twice, and tell apart what only pretends to be the same.

    A fingerprint is a hash of labels; where two label sets of one body carry the same one, something between
    Alertmanager and us has rewritten labels, and only our own hash tells those alerts apart.
    """
    first: dict[str, Signal] = {}
    mixed: set[str] = set()
    kept = tuple(signals)
    for found in kept:
        known = first.setdefault(found.fingerprint, found)
        if known.labels != found.labels:
            mixed.add(found.fingerprint)
    distinct: dict[tuple[str, str, datetime], Signal] = {}
    for found in kept:
        if found.fingerprint in mixed:
            found = structs.replace(found, fingerprint=fingerprint(found.labels))  # noqa: PLW2901 - the corrected one
        distinct[found.fingerprint, found.status, found.starts_at] = found
    return tuple(distinct.values())


def _delivery(
    envelope: Envelope, signals: tuple[Signal, ...], quarantined: tuple[Quarantined, ...], truncated: int
) -> Delivery:
    return Delivery(
        source=envelope.source,
        signals=signals,
        quarantined=quarantined,
        truncated=truncated,
        group_key=envelope.group_key,
        receiver=envelope.receiver,
    )


def _spelt(alert: Any) -> str:
    """Return the alert as JSON text, whatever it holds."""
    return json.dumps(alert, default=repr)
