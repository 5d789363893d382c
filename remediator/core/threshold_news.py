"""What the threshold table says to the rest: signals for the inbox, entries for the ledger, words for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from remediator.core.thresholds import RowLook, Step, Terms, Turn
from remediator.core.words import span
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.measure import SOURCE, Level, Phase, SeriesState
from remediator.model.signal import Labels, Signal, Status

SEVERITY = "severity"
"""The label that tells the level. It is no part of an alert's identity, so that a rise is the same alert's."""
MOST_NAMED = 10
_TELLING = frozenset({Turn.FIRES, Turn.RISES, Turn.EASES, Turn.ENDS})
_OWN = frozenset({"alertname", SEVERITY})


class Call(Struct, frozen=True, kw_only=True):
    """What people are told because nothing is known.

    ``urgent``: of something that was not well when it was last seen, or of the whole table.
    """

    message: str
    urgent: bool


def identity(key: Sequence[tuple[str, str]], row: str) -> Labels:
    """Return the labels that identify the alert of a series."""
    return {**{name: value for name, value in key if name not in _OWN}, "alertname": row}


def name_of(labels: Labels) -> str:
    """Return what a person calls a series: its namespace and what is in it, or all its labels."""
    own = {name: value for name, value in labels.items() if name not in _OWN and name != "workload_type"}
    return "/".join(value[:60] for _, value in sorted(own.items())[:4]) or "the whole row"


def signals(look: RowLook, terms: Terms, unit: str, at: datetime) -> tuple[Signal, ...]:
    """Return the signals of what has turned, to the same inbox as webhooks'."""
    return tuple(_signal(step, terms, unit, at) for step in look.steps if step.turn in _TELLING)


def _signal(step: Step, terms: Terms, unit: str, at: datetime) -> Signal:
    state, over = step.state, step.turn is Turn.ENDS
    level = state.level or Level.WARNING
    began = (state.fired_at if over else at) or at
    return Signal(
        source=SOURCE + terms.row,
        fingerprint=state.fingerprint,
        status=Status.RESOLVED if over else Status.FIRING,
        labels={**state.labels, SEVERITY: level.value},
        annotations={"summary": _summary(step, terms, unit)},
        starts_at=began,
        ends_at=at if over else None,
        confirmed_at=at,
    )


def retired(states: Iterable[SeriesState], at: datetime) -> tuple[Signal, ...]:
    """Return the ends of alerts whose row is in no rule any more: that was a person's decision."""
    words = {"summary": "its row is not in the rules any more"}
    return tuple(
        Signal(
            source=one.source,
            fingerprint=one.fingerprint,
            status=Status.RESOLVED,
            labels={**one.labels, SEVERITY: (one.level or Level.WARNING).value},
            annotations=words,
            starts_at=one.fired_at or at,
            ends_at=at,
            confirmed_at=at,
        )
        for one in states
        if one.phase is Phase.FIRING
    )


def _summary(step: Step, terms: Terms, unit: str) -> str:
    value = figure(step.state.value, unit)
    if step.turn is Turn.ENDS:
        return f"{value}, below {figure(terms.recover_below, unit)} for {span(terms.recover_for_s)}"
    limits = f"warning from {figure(terms.warning, unit)}, critical from {figure(terms.critical, unit)}"
    level = step.state.level or Level.WARNING
    return f"{level.value} for {span(terms.for_s)}: {value} ({limits})"


def figure(value: float | None, unit: str) -> str:
    """Return a value with its unit."""
    if value is None:
        return "no value"
    return f"{value:.4g} %" if unit == "percent" else f"{value:.4g} {unit}".strip()


def entries(looks: Sequence[RowLook], at: datetime) -> tuple[NewEntry, ...]:
    """Return what the ledger keeps of being blind, and of seeing again."""
    found: list[NewEntry] = []
    for look in looks:
        if look.row_overdue:
            found.append(_lost(look, at))
        if look.row_found:
            words = f"the row {look.row.row} of the threshold table is seen again"
            found.append(NewEntry(kind=EntryKind.MONITORING_FOUND, summary=words, rule=look.row.row))
        if look.overdue:
            found.append(_unseen(look, at))
    return tuple(found)


def _lost(look: RowLook, at: datetime) -> NewEntry:
    row = look.row
    blind_s = (at - (row.unknown_since or at)).total_seconds()
    sick = [one for one in look.states.values() if one.phase is not Phase.OK]
    tail = f"; {_several(sick)} not well when last seen, and stays as it is" if sick else ""
    words = f"the row {row.row} of the threshold table has been unknown for {span(blind_s)} ({row.unknown_why}){tail}"
    data = {"row": row.row, "why": row.unknown_why, "series": len(look.states), "not_well": len(sick)}
    return NewEntry(kind=EntryKind.MONITORING_LOST, summary=words, rule=row.row, data=data)


def _unseen(look: RowLook, at: datetime) -> NewEntry:
    first = min((one.unknown_since or at for one in look.overdue), default=at)
    why = ", ".join(sorted({one.unknown_why for one in look.overdue}))
    words = f"{look.row.row}: {_several(look.overdue)} unknown for {span((at - first).total_seconds())} ({why})"
    data = {
        "row": look.row.row,
        "why": why,
        "series": [{"labels": one.labels, "phase": one.phase.value, "value": one.value} for one in look.overdue[:100]],
        "count": len(look.overdue),
    }
    return NewEntry(kind=EntryKind.MONITORING_LOST, summary=words, rule=look.row.row, data=data)


def _several(states: Sequence[SeriesState]) -> str:
    names = ", ".join(sorted(name_of(one.labels) for one in states)[:MOST_NAMED])
    more = len(states) - MOST_NAMED
    tail = f" and {more} more" if more > 0 else ""
    return f"{len(states)} series ({names}{tail})"


def call(looks: Sequence[RowLook], at: datetime) -> Call | None:
    """Return the one message to people of a tick; None: there is nothing to be told."""
    lines = [entry.summary for entry in entries(looks, at) if entry.kind is EntryKind.MONITORING_LOST]
    if not lines:
        return None
    blind = all(look.row.unknown_since is not None for look in looks)
    urgent = blind or any(_sick(look) for look in looks)
    advice = "what is unknown sets nothing off and ends nothing; look at Prometheus and at the row's expression"
    return Call(message="; ".join([*lines, advice])[:4000], urgent=urgent)


def _sick(look: RowLook) -> bool:
    told = look.states.values() if look.row_overdue else look.overdue
    return any(one.phase is not Phase.OK for one in told)
