"""One alert of a webhook body, checked field by field: a signal, or the place and the reason why not.

What is read is checked; what is not read (keys that a newer Alertmanager adds) is not looked at.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from remediator.intake.fingerprint import fingerprint, is_fingerprint
from remediator.intake.strict_json import Doubled, Unusable
from remediator.model.signal import Labels, Signal, Status

MAX_LABELS = 64
MAX_LABEL_CHARS = 1024
MAX_ANNOTATIONS = 64
MAX_ANNOTATION_CHARS = 4096
MAX_TEXT_CHARS = 2048
"""Of a group key, a receiver, a generator URL: read by people only, so longer ones are cut."""

FUTURE = timedelta(hours=1)
"""How far ahead another machine's clock may run."""
PAST = timedelta(days=366)
"""How long an alert may have been firing. A chronic alert fires for months; an older start is a broken clock."""

ZERO_YEAR = 1
"""Go's zero time is in the year 1: "no end yet"."""

_SHOWN_NAME = 60
_AHEAD = f"more than {FUTURE.total_seconds():.0f} s ahead of our clock"
_KINDS = {dict: "an object", Doubled: "an object", list: "an array", str: "a string", bool: "a boolean"}


class BadAlert(Exception):
    """This alert cannot be used. ``path`` is relative to the alert (``.labels["x"]``)."""

    def __init__(self, path: str, reason: str) -> None:
        """Keep the place and the reason."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Envelope(Struct, frozen=True, kw_only=True):
    """What the alerts of one body have in common. ``earliest`` and ``latest`` bound a believable start."""

    source: str
    group_key: str
    receiver: str
    received_at: datetime
    earliest: datetime
    latest: datetime


def check(alert: Any, envelope: Envelope) -> Signal:
    """Return the signal that a decoded alert means; raises BadAlert."""
    whole = _object(alert, "")
    status = _status(whole)
    labels = _labels(whole)
    starts_at = _starts_at(whole, envelope)
    given = whole.get("fingerprint")
    return Signal(
        source=envelope.source,
        fingerprint=given if isinstance(given, str) and is_fingerprint(given) else fingerprint(labels),
        status=status,
        labels=labels,
        annotations=_annotations(whole),
        starts_at=starts_at,
        ends_at=_ends_at(whole, starts_at, envelope) if status is Status.RESOLVED else None,
        generator_url=_link(whole),
        group_key=envelope.group_key,
        receiver=envelope.receiver,
    )


def kind_of(value: Any) -> str:
    """Return what a JSON value is, to be read after "got"."""
    if value is None:
        return "null"
    if isinstance(value, Unusable):
        return value.why
    return _KINDS.get(type(value), "a number")


def place(container: str, name: str) -> str:
    """Return the path of a member: ``.labels["x"]``, the name quoted and cut."""
    return f"{container}[{json.dumps(name[:_SHOWN_NAME])}]"


def plain_text(text: str) -> str:
    """Return the text without what PostgreSQL or UTF-8 refuse (NUL, lone surrogates), each replaced by a mark."""
    if _storable(text):
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def cut(text: str, limit: int) -> str:
    """Return at most ``limit`` characters, the last one ``…`` where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadAlert(path, f"expected an object, got {kind_of(value)}")
    if isinstance(value, Doubled):
        raise BadAlert(place(path, value.name), "the key stands twice; nobody can know which value was meant")
    return value


def _status(whole: dict[str, Any]) -> Status:
    value = whole.get("status")
    if value not in ("firing", "resolved"):
        shown = json.dumps(cut(value, _SHOWN_NAME)) if isinstance(value, str) else kind_of(value)
        raise BadAlert(".status", f'expected "firing" or "resolved", got {shown}')
    return Status(value)


def _labels(whole: dict[str, Any]) -> Labels:
    labels = _object(whole.get("labels"), ".labels")
    if len(labels) > MAX_LABELS:
        raise BadAlert(".labels", f"{len(labels)} labels, at most {MAX_LABELS} are taken")
    for name, value in labels.items():
        _check_label(name, value)
    if not labels.get("alertname"):
        raise BadAlert('.labels["alertname"]', "missing: an alert without a name cannot be matched to a rule")
    return labels


def _check_label(name: str, value: Any) -> None:
    where = place(".labels", name)
    if not isinstance(value, str):
        raise BadAlert(where, f"expected a string, got {kind_of(value)}")
    if not name:
        raise BadAlert(where, "a label needs a name")
    for text, what in ((name, "the name"), (value, "the value")):
        if len(text) > MAX_LABEL_CHARS:
            raise BadAlert(where, f"{what} has {len(text)} characters, at most {MAX_LABEL_CHARS} are taken")
        if not _storable(text):
            raise BadAlert(where, f"{what} holds a NUL or something that is not Unicode text")


def _annotations(whole: dict[str, Any]) -> Labels:
    given = whole.get("annotations")
    annotations = _object({} if given is None else given, ".annotations")
    kept: Labels = {}
    for name, value in list(annotations.items())[:MAX_ANNOTATIONS]:
        if not isinstance(value, str):
            raise BadAlert(place(".annotations", name), f"expected a string, got {kind_of(value)}")
        kept[cut(plain_text(name), MAX_LABEL_CHARS)] = cut(plain_text(value), MAX_ANNOTATION_CHARS)
    return kept


def _link(whole: dict[str, Any]) -> str:
    value = whole.get("generatorURL", "")
    if not isinstance(value, str):
        raise BadAlert(".generatorURL", f"expected a string, got {kind_of(value)}")
    return cut(plain_text(value), MAX_TEXT_CHARS)


def _time(whole: dict[str, Any], name: str) -> datetime | None:
    """Read a time; None means none was given (missing, or Go's zero time)."""
    value = whole.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAlert(f".{name}", f"expected an RFC 3339 time, got {kind_of(value)}")
    try:
        read = msgspec.convert(value, datetime)
        if read.year == ZERO_YEAR:
            return None
        return read.astimezone(UTC) if read.tzinfo is not None else _no_zone(name)
    except (msgspec.ValidationError, OverflowError, UnicodeEncodeError) as error:
        shown = json.dumps(cut(value, _SHOWN_NAME))
        raise BadAlert(f".{name}", f"expected an RFC 3339 time, got {shown}") from error


def _no_zone(name: str) -> datetime:
    raise BadAlert(f".{name}", "the time has no zone; end it with Z or an offset")


def _starts_at(whole: dict[str, Any], envelope: Envelope) -> datetime:
    starts_at = _time(whole, "startsAt")
    if starts_at is None:
        raise BadAlert(".startsAt", "missing: an alert without a start belongs to no episode")
    if starts_at > envelope.latest:
        ahead = (starts_at - envelope.received_at).total_seconds()
        raise BadAlert(
            ".startsAt", f"{starts_at.isoformat()} lies {ahead:.0f} s ahead of our clock, at most 3600 s pass"
        )
    if starts_at < envelope.earliest:
        raise BadAlert(".startsAt", f"{starts_at.isoformat()} lies more than {PAST.days} days back")
    return starts_at


def _ends_at(whole: dict[str, Any], starts_at: datetime, envelope: Envelope) -> datetime:
    """Return when a resolved alert ended, never after our receipt: a later end would bury the next episode."""
    ends_at = _time(whole, "endsAt")
    if ends_at is None:
        return starts_at
    if ends_at > envelope.latest:
        raise BadAlert(".endsAt", f"{ends_at.isoformat()} lies {_AHEAD}")
    return max(starts_at, min(ends_at, envelope.received_at))


def _storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
