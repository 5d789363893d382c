"""Rows of our tables to the model's nouns, and back to JSON for the statements that take many rows at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from remediator.model.action import Action, ActionState, BeforeImage, PastAction
from remediator.model.entry import Entry, EntryKind, NewEntry
from remediator.model.incident import Candidate, Cause, Incident, IncidentState
from remediator.model.plan import Plan
from remediator.model.rule import Mode, Severity
from remediator.model.signal import AlertState, Signal, Status, StoredSignal
from remediator.model.target import Target


class Row(Protocol):
    """What a statement gives back: columns by name."""

    def __getitem__(self, name: str, /) -> Any:
        """Return one column."""
        ...


_labels = msgspec.json.Decoder(dict[str, str])
_plain = msgspec.json.Decoder(dict[str, Any])
_target = msgspec.json.Decoder(Target)
_plan = msgspec.json.Decoder(Plan)
_image = msgspec.json.Decoder(BeforeImage)
_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")

# An escape of JSON: a doubled backslash is passed over, so that text which only spells an escape stays what it is.
_ESCAPES = re.compile(r"\\\\|\\u0000|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\ud[89a-f][0-9a-f]{2}", re.IGNORECASE)
_WHOLE_PAIR = len(r"\ud83d\udca5")


def as_json(value: Any, *, ordered: bool = False) -> str:
    """Return JSON text for a jsonb parameter, with ``ordered`` keys if it is to be hashed.

    What jsonb cannot hold (NUL, half of a surrogate pair) becomes the replacement character.
    """
    try:
        text = (_sorted_encoder if ordered else _encoder).encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value, str_keys=True), sort_keys=ordered)
    return _ESCAPES.sub(_storable, text) if "\\u" in text else text


def _storable(escape: re.Match[str]) -> str:
    found = escape.group()
    return found if found == r"\\" or len(found) == _WHOLE_PAIR else r"\ufffd"


def plain(text: str) -> dict[str, Any]:
    """Return a jsonb object as plain data."""
    return _plain.decode(text)


def stored_signal(row: Row) -> StoredSignal:
    """Return one row of the inbox."""
    return StoredSignal(
        id=row["id"],
        received_at=row["received_at"],
        last_seen_at=row["last_seen_at"],
        signal=Signal(
            source=row["source"],
            fingerprint=row["fingerprint"],
            status=Status(row["status"]),
            labels=_labels.decode(row["labels"]),
            annotations=_labels.decode(row["annotations"]),
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            generator_url=row["generator_url"],
            group_key=row["group_key"],
            receiver=row["receiver"],
            confirmed_at=row["confirmed_at"],
        ),
    )


def alert_state(row: Row) -> AlertState:
    """Return the present state of one fingerprint."""
    return AlertState(
        source=row["source"],
        fingerprint=row["fingerprint"],
        status=Status(row["status"]),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        changed_at=row["changed_at"],
        labels=_labels.decode(row["labels"]),
    )


def state_beside(row: Row) -> AlertState:
    """Return the present state of the alert of one row of the inbox."""
    return AlertState(
        source=row["source"],
        fingerprint=row["fingerprint"],
        status=Status(row["state"]),
        starts_at=row["state_starts_at"],
        ends_at=row["state_ends_at"],
        changed_at=row["state_changed_at"],
        labels=_labels.decode(row["state_labels"]),
    )


def candidate(row: Row) -> Candidate:
    """Return one candidate."""
    return Candidate(
        id=row["id"],
        cause=Cause(row["cause"]),
        rule=row["rule"],
        rung=row["rung"],
        source=row["source"],
        fingerprint=row["fingerprint"],
        labels=_labels.decode(row["labels"]),
        first_seen_at=row["first_seen_at"],
        tries=row["tries"],
        incident=row["incident"],
        approved_by=row["approved_by"],
        approved_plan=row["approved_plan"],
    )


def incident(row: Row) -> Incident:
    """Return one incident."""
    return Incident(
        id=row["id"],
        target_key=row["target_key"],
        target=_target.decode(row["target"]) if row["target"] else None,
        severity=Severity(row["severity"]),
        state=IncidentState(row["state"]),
        rule=row["rule"],
        title=row["title"],
        opened_at=row["opened_at"],
        healthy_since=row["healthy_since"],
        resolved_at=row["resolved_at"],
    )


def past_action(row: Row) -> PastAction:
    """Return what a guard needs of an earlier action."""
    return PastAction(
        number=row["number"],
        incident=row["incident"],
        action=row["action"],
        rule=row["rule"],
        target_key=row["target_key"],
        namespace=row["namespace"],
        state=ActionState(row["state"]),
        admitted_at=row["admitted_at"],
        ended_at=row["ended_at"],
    )


def action(row: Row) -> Action:
    """Return one action."""
    return Action(
        id=row["id"],
        number=row["number"],
        incident=row["incident"],
        rule=row["rule"],
        rung=row["rung"],
        mode=Mode(row["mode"]),
        target=_target.decode(row["target"]),
        plan=_plan.decode(row["plan"]),
        state=ActionState(row["state"]),
        admitted_at=row["admitted_at"],
        good_until=row["good_until"],
        attempts=row["attempts"],
        fence=row["fence"],
        applied_at=row["applied_at"],
        note=row["note"],
    )


def target(text: str) -> Target:
    """Return a stored target."""
    return _target.decode(text)


def plan(text: str) -> Plan:
    """Return a stored plan."""
    return _plan.decode(text)


def before_image(text: str | None) -> BeforeImage | None:
    """Return the stored image of an object, if there is one."""
    return _image.decode(text) if text else None


def entry(row: Row) -> Entry:
    """Return one ledger entry."""
    return Entry(
        seq=row["seq"],
        at=row["at"],
        kind=EntryKind(row["kind"]),
        summary=row["summary"],
        incident=row["incident"],
        action=row["action"],
        rule=row["rule"],
        target_key=row["target_key"],
        reasons=tuple(row["reasons"]),
        data=_plain.decode(row["data"]),
        actor=row["actor"],
    )


def entries_json(entries: Iterable[NewEntry]) -> str:
    """Return new entries as the JSON array that ``append_entries`` takes."""
    return as_json(list(entries))
