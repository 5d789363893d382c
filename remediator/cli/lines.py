"""Ledger entries as lines that can be read at 3 a.m."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec

from remediator.cli.paint import Paint, fold, safe, spelt_json
from remediator.model.entry import Entry, EntryKind

# What stands in front of the sentence: a word of at most nine letters, and its colour.
WORDS: dict[EntryKind, tuple[str, str]] = {
    EntryKind.SIGNAL_UNMATCHED: ("no rule", "dim"),
    EntryKind.SIGNAL_LATE: ("late", "dim"),
    EntryKind.SIGNAL_QUARANTINED: ("bad alert", "yellow"),
    EntryKind.SIGNALS_TRUNCATED: ("gap", "yellow"),
    EntryKind.ALERT_FIRING: ("firing", "red"),
    EntryKind.ALERT_REOPENED: ("again", "red"),
    EntryKind.ALERT_CHANGED: ("level", "red"),
    EntryKind.ALERT_RESOLVED: ("resolved", "green"),
    EntryKind.ALERT_MISSED: ("missed", "yellow"),
    EntryKind.INCIDENT_OPENED: ("OPEN", "red"),
    EntryKind.INCIDENT_ESCALATED: ("PEOPLE", "magenta"),
    EntryKind.INCIDENT_RESOLVED: ("CLOSED", "green"),
    EntryKind.DECISION_ACT: ("act", "cyan"),
    EntryKind.DECISION_OBSERVE: ("observe", "blue"),
    EntryKind.DECISION_ASK: ("ask", "magenta"),
    EntryKind.DECISION_HOLD: ("hold", "yellow"),
    EntryKind.APPROVAL: ("answer", "magenta"),
    EntryKind.UNDO_ASKED: ("undo?", "magenta"),
    EntryKind.RETURN_DUE: ("return?", "cyan"),
    EntryKind.RETURN_ENDED: ("returned", "cyan"),
    EntryKind.ACTION_DISPATCHED: ("send", "cyan"),
    EntryKind.ACTION_APPLIED: ("done", "cyan"),
    EntryKind.ACTION_OBSERVED: ("dry run", "blue"),
    EntryKind.ACTION_IN_DOUBT: ("in doubt", "yellow"),
    EntryKind.ACTION_REFUSED: ("refused", "yellow"),
    EntryKind.ACTION_EXPIRED: ("expired", "yellow"),
    EntryKind.ACTION_VERIFIED: ("verdict", "green"),
    EntryKind.ACTION_UNDONE: ("undone", "cyan"),
    EntryKind.EVIDENCE: ("evidence", "blue"),
    EntryKind.FORGOTTEN: ("forgot", "dim"),
    EntryKind.NOTIFIED: ("told", "magenta"),
    EntryKind.NOTIFY_FAILED: ("UNTOLD", "red"),
    EntryKind.MONITORING_LOST: ("BLIND", "red"),
    EntryKind.MONITORING_FOUND: ("sees", "green"),
    EntryKind.RULES_LOADED: ("rules", "dim"),
    EntryKind.RULES_REJECTED: ("RULES", "red"),
    EntryKind.CLOCKS: ("CLOCKS", "red"),
    EntryKind.FENCES: ("fences", "yellow"),
    EntryKind.STARTED: ("started", "dim"),
    EntryKind.STOPPED: ("stopped", "dim"),
    EntryKind.STORM: ("STORM", "red"),
    EntryKind.UNDECIDABLE: ("STUCK", "red"),
    EntryKind.PAUSED: ("PAUSED", "magenta"),
    EntryKind.RESUMED: ("resumed", "green"),
}
HEAD = f"{'TIME (UTC)':<19}  {'INCIDENT':<8}  {'ACTION':<6}  {'WHAT':<9}  SENTENCE"
SENTENCE = HEAD.index("SENTENCE")
NARROW = 40
"""Columns of a sentence below which what goes on begins further to the left."""


def moment(at: datetime) -> str:
    """Return ``2026-03-14 03:12:45``."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def line(entry: Entry, paint: Paint, margin: int = 0) -> str:
    """Return one entry as one aligned line, ``margin`` columns from the left; on a terminal its sentence is folded."""
    word, colour = _word(entry)
    incident = f"#{entry.incident}" if entry.incident is not None else ""
    action = f"A{entry.action}" if entry.action is not None else ""
    # A rule's name is one word, so it is whole at the end of the last line.
    rule = f"[{safe(entry.rule)}]" if entry.rule else ""
    indent = margin + (SENTENCE if paint.columns >= margin + SENTENCE + NARROW else HEAD.index("INCIDENT"))
    *sentence, last = fold(f"{safe(entry.summary)}  {rule}".rstrip(), paint.columns, indent, margin + SENTENCE)
    sentence.append(last.removesuffix(rule) + paint(rule, "dim"))
    head = (
        f"{' ' * margin}{paint(moment(entry.at), 'dim')}  {incident:<8}  {action:<6}  "
        f"{paint(f'{word:<9}', colour, *(('bold',) if word.isupper() else ()))}  "
    )
    return head + ("\n" + " " * indent).join(sentence)


def as_json(value: object) -> str:
    """Return plain data or structs as one line of JSON; foreign control characters in it are spelt, as JSON can."""
    return spelt_json(msgspec.json.encode(value).decode())


def pretty(value: Any, indent: str) -> list[str]:
    """Return plain data as indented JSON lines, made safe for a terminal."""
    text = json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    return [indent + safe(part) for part in text.splitlines()]


def _word(entry: Entry) -> tuple[str, str]:
    word, colour = WORDS[entry.kind]
    if entry.kind is EntryKind.ACTION_VERIFIED and entry.data.get("verdict") != "recovered":
        return word, "yellow"
    return word, colour
