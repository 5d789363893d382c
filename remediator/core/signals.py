"""Order and duplicates: what a signal changes about the alert that it speaks of.

Alertmanager delivers at least once and in no promised order, so each signal is judged against the present state of
its fingerprint. A resolved alert stays as a tombstone: a firing signal of an episode that began before it ended is
late, and nothing is done about it. Starts are compared, never taken for identity: they move within one episode.

What is posted may be an old story; what was asked for is not. So an alert that is called resolved and fires on (its
sender had lost touch with Prometheus) is opened again by a signal that was confirmed after we were told of the end, and
by no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field, structs

from remediator.model.signal import AlertState, Labels, Signal, Status, StoredSignal

Key = tuple[str, str]
TICK = timedelta(microseconds=1)
LEVEL = "severity"
"""The label that may change while an alert of the threshold table fires: its fingerprint is made without it."""


class Change(StrEnum):
    """What a signal means for its alert."""

    OPENED = "opened"
    REOPENED = "reopened"
    CONTINUES = "continues"
    CHANGED = "changed"
    RESOLVED = "resolved"
    REPEATED = "repeated"
    LATE = "late"


BEGINS = frozenset({Change.OPENED, Change.REOPENED})
"""What makes an alert fire that did not: then rules are asked."""


class Transition(Struct, frozen=True, kw_only=True):
    """A signal, what it changes, and the state of the alert afterwards. ``before``: the labels that it had."""

    stored: StoredSignal
    change: Change
    state: AlertState
    before: Labels = field(default_factory=dict)


def transition(stored: StoredSignal, state: AlertState | None) -> Transition:
    """Judge one signal against the present state of its fingerprint (None: never heard of)."""
    signal = stored.signal
    if signal.status is Status.FIRING:
        change, after = _fire(signal, state, stored.last_seen_at)
    else:
        change, after = _resolve(signal, state, stored.last_seen_at)
    return Transition(stored=stored, change=change, state=after, before=state.labels if state is not None else {})


def fold(batch: Iterable[StoredSignal], states: dict[Key, AlertState]) -> tuple[Transition, ...]:
    """Judge a batch in order, each signal against the state that those before it left."""
    present = dict(states)
    made: list[Transition] = []
    for stored in batch:
        key = (stored.signal.source, stored.signal.fingerprint)
        step = transition(stored, present.get(key))
        present[key] = step.state
        made.append(step)
    return tuple(made)


def _fire(signal: Signal, state: AlertState | None, at: datetime) -> tuple[Change, AlertState]:
    if state is None:
        return Change.OPENED, _state(signal, Status.FIRING, None, at)
    if state.status is Status.FIRING:
        if signal.labels.get(LEVEL) != state.labels.get(LEVEL) and signal.starts_at > state.starts_at:
            return Change.CHANGED, structs.replace(state, starts_at=signal.starts_at, labels=signal.labels)
        # The latest start is kept: a resolved signal that ended before it belongs to an earlier episode.
        return Change.CONTINUES, structs.replace(state, starts_at=max(state.starts_at, signal.starts_at))
    if state.ends_at is None or signal.starts_at > state.ends_at:
        return Change.OPENED, _state(signal, Status.FIRING, None, at)
    if signal.confirmed_at is None or signal.confirmed_at <= max(state.ends_at, state.changed_at):
        return Change.LATE, state
    # It begins anew just after the end that was claimed, so that a repetition of that claim is late from now on.
    begins = state.ends_at + TICK
    return Change.REOPENED, structs.replace(_state(signal, Status.FIRING, None, at), starts_at=begins)


def _resolve(signal: Signal, state: AlertState | None, at: datetime) -> tuple[Change, AlertState]:
    ended = signal.ends_at or at
    if state is None:
        return Change.RESOLVED, _state(signal, Status.RESOLVED, ended, at)
    if state.status is Status.RESOLVED:
        last = max(ended, state.ends_at or ended)
        return Change.REPEATED, structs.replace(state, ends_at=last)
    if ended < state.starts_at:
        return Change.LATE, state
    return Change.RESOLVED, structs.replace(state, status=Status.RESOLVED, ends_at=ended, changed_at=at)


def _state(signal: Signal, status: Status, ends_at: datetime | None, at: datetime) -> AlertState:
    return AlertState(
        source=signal.source,
        fingerprint=signal.fingerprint,
        status=status,
        starts_at=signal.starts_at,
        ends_at=ends_at,
        changed_at=at,
        labels=signal.labels,
    )
